"""Ports of this machine for servers that must know theirs before they start, and a socket that nobody reads."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path

__all__ = ["free_port", "unread"]

_LOWEST = 10_000  # below are those that programs have by default


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens, which nobody else is given before this process ends.

    Not one that the kernel gives to whoever asks for any: between the moment it is found free here and the moment the
    server takes it, another test's server or connection would get it.
    """
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    every = range(_LOWEST, 1 << 16)
    ports = [port for port in every if not first <= port <= last] or list(every)
    for port in random.sample(ports, len(ports)):
        if _reserved(port) and _free(port):
            return port
    raise OSError("no port of this machine is free")


def _reserved(port: int) -> bool:
    """Whether it is ours now: a name that the kernel gives to one process, until that ends."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as name:
        with contextlib.suppress(OSError):
            name.bind(f"\0port-of-a-test-{port}")
            name.detach()
            return True
    return False


def _free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


@contextlib.contextmanager
def unread(path: Path) -> Iterator[socket.socket]:
    """A datagram socket of which nothing was read, and that has no room for more."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
    ):
        listener.bind(str(path))
        sender.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                sender.sendto(b"text", str(path))
        yield listener
