"""Promises of the checkout itself: its contract, generated code, pins and documentation."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
