"""Secrets that are planted on purpose: in fire drills, and as canaries."""
