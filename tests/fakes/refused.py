"""A process that files can be refused to, also when the tests run as root."""

from __future__ import annotations

import os
import subprocess

__all__ = ["refused"]

_DROP = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def refused() -> list[str] | None:
    """What to put before a command; None: this root cannot give up its rights."""
    if os.geteuid():
        return []
    try:
        subprocess.run([*_DROP, "true"], check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.CalledProcessError):
        return None
    return _DROP
