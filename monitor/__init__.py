"""The exposure monitor: sources, incidents, delivery, runbooks and the command line."""

__version__ = "0.1.0"
