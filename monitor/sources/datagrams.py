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

__all__ = ["Drops", "bind_datagrams", "read_datagrams", "rest_of_datagrams"]

_LARGEST = 1 << 16  # bytes: no datagram of IP is larger; one of a unix socket is cut there
_LARGEST_LOCAL = 1 << 20
_AT_ONCE = 256  # datagrams until others of the loop have their turn
_REST = 1.0  # seconds for what is left at the end
_BUFFER = 16 << 20  # bytes that the kernel is asked to keep for us; it gives what net.core.rmem_max allows
_SO_MEMINFO, _DROPS, _FIGURES = 55, 8, 9  # linux/sock_diag.h: SK_MEMINFO_DROPS of SK_MEMINFO_VARS

Take = Callable[[bytes, Any], None]


def bind_datagrams(host: str, port: int, mode: int = 0o660) -> socket.socket:
    """A bound socket; a `host` that begins with a slash is the path of one of unix, of `mode`. Raises OSError."""
    if host.startswith("/"):
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.stat(host, follow_symlinks=False).st_mode):
                os.unlink(host)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address: Any = host
    else:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)[0]
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


async def read_datagrams(bound: socket.socket, room: Callable[[], Any], full: Callable[[], bool], take: Take) -> None:
    """For ever. While `full` it waits for `room`: the kernel keeps some, and counts what it drops."""
    loop = asyncio.get_running_loop()
    size = _size(bound)
    while True:
        await room()
        take(*await loop.sock_recvfrom(bound, size))
        for _ in range(_AT_ONCE):
            if full():
                break
            try:
                take(*bound.recvfrom(size))
            except BlockingIOError:
                break
        else:
            await asyncio.sleep(0)


def rest_of_datagrams(bound: socket.socket, take: Take) -> None:
    """What the kernel still keeps: nobody gets it afterwards. However much comes meanwhile, it has an end."""
    over = time.monotonic() + _REST
    with contextlib.suppress(OSError):
        while time.monotonic() < over:
            take(*bound.recvfrom(_size(bound)))


def _size(bound: socket.socket) -> int:
    return _LARGEST_LOCAL if bound.family == socket.AF_UNIX else _LARGEST


class Drops:
    """Counts the datagrams that one socket has lost."""

    def __init__(self, bound: socket.socket) -> None:
        self._socket = bound
        self._last = self._figure()

    def new(self) -> int:
        """Since the last call."""
        now = self._figure()
        fresh = (now - self._last) & 0xFFFFFFFF
        self._last = now
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
