"""The demo: 10,000 contacts to two CRMs that misbehave, and an account that must balance."""

from crmsync_server.demo.program import run

__all__ = ["run"]
