"""Runs one command, and ends with it all that it has started, whatever session or parent that has fled to.

A program of its own, `python -I -S reaper.py SECONDS GRACE STATUS COMMAND…`: what loses its parent goes to the
nearest subreaper above it, and this process has nothing else below it. On the descriptor STATUS it says what came of
the command: `e` and an error number (not started), `c` and its exit code (below zero: the signal), `t` (no end in
SECONDS).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time

__all__: list[str] = []

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, linux/prctl.h
_LOOK = 0.02  # seconds between two looks at what is left
_MOST = 5.0  # seconds for which it is killed; what root started by setuid is not ours to kill
_WOKEN = (signal.SIGCHLD, signal.SIGTERM)


def main(seconds: float, grace: float, status: int, command: list[str]) -> None:
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, _WOKEN)
    os.set_inheritable(status, False)
    try:
        pid = os.posix_spawnp(command[0], command, os.environ, setsid=True, setsigmask=(), setsigdef=_WOKEN)
    except OSError as error:
        os.write(status, f"e{error.errno}".encode())
        return
    _let_go(status)
    code = _await(pid, seconds)
    os.write(status, b"t" if code is None else f"c{code}".encode())
    if code is not None:
        _await(0, grace)
    _end_all()


def _let_go(status: int) -> None:
    """Of what was opened for the command: an end of a pipe is seen once only that has closed it."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    os.closerange(3, status)
    os.closerange(status + 1, 1 << 16)


def _await(pid: int, seconds: float) -> int | None:
    """The exit code of a child (0: the last of them); None: no end in time, or we are told to end."""
    until = time.monotonic() + seconds
    while True:
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == pid:
                    return os.waitstatus_to_exitcode(ended[1])
        except ChildProcessError:
            return 0
        received = signal.sigtimedwait(_WOKEN, max(until - time.monotonic(), 0.0))
        if received is None or received.si_signo == signal.SIGTERM:
            return None


def _end_all() -> None:
    """Kill until nothing is left: what is killed leaves its children to us."""
    until = time.monotonic() + _MOST
    while (below := _below()) and time.monotonic() < until:
        for pid in below:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        _await(0, _LOOK)


def _below() -> list[int]:
    """The processes that stand below this one, at any depth."""
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError, IndexError, ValueError), open(f"/proc/{name}/stat", "rb") as file:
            # The name of a program, in brackets, may hold anything.
            parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    found = [os.getpid()]
    for one in found:
        found += [pid for pid, parent in parents.items() if parent == one]
    return found[1:]


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
