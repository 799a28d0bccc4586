"""The engine: lanes that claim, deliver and record; sessions, quota and rescue."""
