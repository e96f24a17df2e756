"""Where to listen, as the configuration writes it."""

from __future__ import annotations

import re

__all__ = ["split_listen"]


def split_listen(listen: str) -> tuple[str, int]:
    """`HOST:PORT` or `[IPV6]:PORT` → host, port; `unix:/PATH` → path, 0. Raises ValueError."""
    if listen.startswith("unix:"):
        path = listen.removeprefix("unix:")
        if not path.startswith("/"):
            raise ValueError('must be an absolute path after "unix:", such as "unix:/run/exposure-monitor/http"')
        return path, 0
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError('must be "HOST:PORT", such as "127.0.0.1:9321"')
    return host, int(port)
