"""The organisation's own secrets, known by name: what its secret managers hold, and what is kept of it."""
