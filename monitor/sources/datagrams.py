"""Datagrams from a socket, and how many of them the kernel dropped as nobody was quick enough."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = [
    "Drops",
    "bind_datagrams",
    "leave_datagrams",
    "left_datagrams",
    "read_datagrams",
    "resolved",
    "rest_of_datagrams",
]

_LARGEST = 1 << 16  # bytes: no datagram of IP is larger; one of a unix socket is cut there
_LARGEST_LOCAL = 1 << 20
_AT_ONCE = 256  # datagrams until others of the loop have their turn
_REST = 1.0  # seconds for what is left at the end
_BUFFER = 16 << 20  # bytes that the kernel is asked to keep for us; it gives what net.core.rmem_max allows
_SO_MEMINFO, _DROPS, _FIGURES = 55, 8, 9  # linux/sock_diag.h: SK_MEMINFO_DROPS of SK_MEMINFO_VARS

Take = Callable[[bytes, Any], None]
Cut = Callable[[int], None]


def bind_datagrams(host: str, port: int, mode: int = 0o660) -> socket.socket:
    """A bound socket; a `host` that begins with a slash is the path of one of unix, of `mode`. Raises OSError."""
    if host.startswith("/"):
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.stat(host, follow_symlinks=False).st_mode):
                os.unlink(host)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address: Any = host
    else:
        family, address = resolved(host, port)
        bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        bound.bind(address)
        if host.startswith("/"):
            Path(host).chmod(mode)
    except BaseException:
        bound.close()
        raise
    return bound


async def read_datagrams(
    bound: socket.socket, room: Callable[[], Any], full: Callable[[], bool], take: Take, cut: Cut = lambda _: None
) -> None:
    """For ever. While `full` it waits for `room`: the kernel keeps some, and counts what it drops. `cut`: told of bytes
    of one that was larger than what is taken."""
    receive = _receiver(bound, cut)
    while True:
        await room()
        for _ in range(_AT_ONCE):
            try:
                take(*receive())
            except BlockingIOError:
                await _readable(bound)
                break
            if full():
                break
        else:
            await asyncio.sleep(0)


def rest_of_datagrams(bound: socket.socket, take: Take, cut: Cut = lambda _: None) -> None:
    """What the kernel still keeps: nobody gets it afterwards. However much comes meanwhile, it has an end."""
    over = time.monotonic() + _REST
    receive = _receiver(bound, cut)
    with contextlib.suppress(OSError):
        while time.monotonic() < over:
            take(*receive())


def _receiver(bound: socket.socket, cut: Cut) -> Callable[[], tuple[bytes, Any]]:
    """What takes one datagram and who sent it. Raises OSError."""
    size = _LARGEST_LOCAL if bound.family == socket.AF_UNIX else _LARGEST
    buffer = memoryview(bytearray(size))

    def receive() -> tuple[bytes, Any]:
        # With this flag the kernel tells the whole length of what it cuts.
        length, _, _, sender = bound.recvmsg_into([buffer], 0, socket.MSG_TRUNC)
        if length > size:
            cut(length - size)
        return bytes(buffer[:length]), sender

    return receive


async def _readable(bound: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(bound, wake)
    try:
        await ready
    finally:
        loop.remove_reader(bound)


def resolved(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    """Family and address of IP to bind to. Blocking. Raises OSError."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)[0]
    return family, address


def left_datagrams(
    left: dict[tuple[int, int], int], family: socket.AddressFamily, address: Any
) -> tuple[socket.socket, int] | None:
    """Out of what a source before this one has left (by `leave_datagrams`) the socket that is bound to an address, with
    the figure of its `Drops`; None: none is."""
    for key, descriptor in left.items():
        bound = socket.socket(fileno=descriptor)
        if (bound.family, bound.getsockname()[:2]) == (family, address[:2]):
            del left[key]
            bound.setblocking(False)
            return bound, key[0]
        bound.detach()
    return None


def leave_datagrams(left: dict[tuple[int, int], int], bound: socket.socket, figure: int) -> None:
    """Let it listen on, for the source that takes this one's place."""
    inode = os.fstat(bound.fileno()).st_ino
    left[figure, inode] = bound.detach()


class Drops:
    """Counts the datagrams that one socket has lost."""

    def __init__(self, bound: socket.socket, last: int | None = None) -> None:
        """`last`: what the kernel said when they were counted last; None: now."""
        self._socket = bound
        self.last = self._figure() if last is None else last

    def new(self) -> int:
        """Since the last call."""
        now = self._figure()
        fresh = (now - self.last) & 0xFFFFFFFF
        self.last = now
        return fresh

    def _figure(self) -> int:
        try:
            figures = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * _FIGURES)
            return int(struct.unpack(f"={_FIGURES}I", figures)[_DROPS])
        except (OSError, struct.error):  # before Linux 4.12
            return _listed(os.fstat(self._socket.fileno()).st_ino)


def _listed(inode: int) -> int:
    """The last column of the kernel's list of sockets; 0 where there is none."""
    for table in (Path("/proc/net/udp"), Path("/proc/net/udp6")):
        with contextlib.suppress(OSError):
            for line in table.read_text(encoding="ascii").splitlines()[1:]:
                columns = line.split()
                if columns[9] == str(inode):
                    return int(columns[-1])
    return 0
