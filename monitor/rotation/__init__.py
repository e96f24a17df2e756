"""Rotation: which of our own secrets are due for a new value, why, and how far that is."""
