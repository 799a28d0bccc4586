"""Simulated CRMs with a fault dial: real paths, headers, limits and error bodies, state in memory.

Nothing here talks to a real CRM. `server.Sandbox` runs them; `/_sandbox/*` on each listener shows
what a CRM holds, what was asked of it, and turns its faults on and off.
"""
