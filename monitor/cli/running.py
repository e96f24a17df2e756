"""The daemon that runs on this host, as it says of itself: what a command of another user's shell cannot know."""

from __future__ import annotations

import contextlib
import os
import socket
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

import orjson

from monitor.common.listen import split_listen

if TYPE_CHECKING:
    from monitor.config.config import Config

__all__ = ["NoAnswerError", "daemon_status"]

_PATIENCE = 5.0  # seconds for an answer
_LARGEST = 16 << 20  # bytes of it


class NoAnswerError(Exception):
    """Why the daemon's answer cannot be had."""


def daemon_status(settings: Config) -> dict[str, Any]:
    """What it answers to `/status` (monitor.status). Raises NoAnswerError."""
    from monitor.common.credential import CredentialError

    listen = settings.http.listen
    host, port = split_listen(listen) if listen else ("", 0)
    if not port and not host.startswith("/"):
        raise NoAnswerError("http.listen names no port where it could be asked")
    headers = {}
    if settings.http.token is not None:
        with contextlib.suppress(CredentialError):  # then it answers that it is asked for
            headers["Authorization"] = f"Bearer {settings.http.token.resolve()}"
    connection = _Connection(host, port)
    try:
        connection.request("GET", "/status", headers=headers)
        answer = connection.getresponse()
        body = answer.read(_LARGEST)
        if answer.status != 200:
            raise NoAnswerError(f"what listens on {listen} answers {answer.status} when asked for its status")
        status = orjson.loads(body)
    except (OSError, HTTPException) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
        raise NoAnswerError(f"no daemon answers on {listen} ({why})") from None
    except orjson.JSONDecodeError:
        raise NoAnswerError(f"what listens on {listen} is no exposure monitor") from None
    finally:
        connection.close()
    if not isinstance(status, dict) or not {"daemon", "sources", "sinks"} <= status.keys():
        raise NoAnswerError(f"what listens on {listen} is no exposure monitor")
    return status


class _Connection(HTTPConnection):
    """To where the daemon of this host listens: an address, or a path of a unix socket."""

    def __init__(self, host: str, port: int) -> None:
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound
        self._path = host if host.startswith("/") else None
        super().__init__("localhost" if self._path else everywhere.get(host, host), port or None, timeout=_PATIENCE)

    def connect(self) -> None:
        if self._path is None:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_PATIENCE)
        self.sock.connect(self._path)
