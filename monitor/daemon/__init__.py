"""The daemon: sources, scanner, store, delivery and HTTP, taken through start, reload and end."""

from monitor.daemon.lifecycle import Daemon

__all__ = ["Daemon"]
