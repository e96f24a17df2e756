"""Keeps the memory of a process to itself. Imports little, as every command begins with it."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

__all__ = ["end_with_parent", "harden"]

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4  # linux/prctl.h


def harden() -> None:
    """No core dump and no ptrace by the same user: memory holds the blocks that are being scanned.

    And as many open files as we are granted: a followed file stays open, to be read to its end when it is deleted.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def end_with_parent(parent: int) -> None:
    """Of a child that was forked off `parent`: it is killed when that ends, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # which has ended before
        os._exit(1)
