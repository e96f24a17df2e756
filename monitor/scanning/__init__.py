"""Blocks of bytes to findings, and what of a text may be shown."""
