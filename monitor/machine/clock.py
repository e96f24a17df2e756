"""Whether the clock is right: alerts, deadlines, signatures and log-ins go by it."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator

from monitor.machine.finding import CheckFinding, host_error, host_notice

__all__ = ["clock", "drift"]

_TIMEX = struct.Struct("@illlli")  # the head of struct timex (adjtimex(2)): the last is its status
_SIZE = 512  # bytes; the whole of it has 208
_UNSYNCHRONISED = 0x40
_MOST = 30.0  # seconds: what Slack signs and a JWT are refused at some minutes
SYNCHRONISE = "timedatectl set-ntp true"


def clock() -> Iterator[CheckFinding]:
    """As the kernel has it; a system that does not say is left alone."""
    buffer = ctypes.create_string_buffer(_SIZE)  # zeros change nothing
    state = ctypes.CDLL(None).adjtimex(buffer)
    if state >= 0 and _TIMEX.unpack_from(buffer)[-1] & _UNSYNCHRONISED:
        message = "nothing keeps the clock right, and times of alerts, deadlines and signatures go by it"
        yield host_notice("clock", message, SYNCHRONISE)


def drift(name: str, seconds: float) -> Iterator[CheckFinding]:
    """`seconds`: our clock minus that of a sink's server."""
    if abs(seconds) > _MOST:
        way = "ahead of" if seconds > 0 else "behind"
        message = f'the clock is {abs(seconds):,.0f} s {way} that of sink "{name}"'
        yield host_error("clock", message, SYNCHRONISE)
