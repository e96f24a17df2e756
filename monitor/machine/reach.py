"""Whether the servers of sinks can be reached: name, connection, TLS. Nothing is sent to a sink itself."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from email.utils import parsedate_to_datetime
from typing import Protocol
from urllib.parse import urlsplit

from monitor.common.credential import CredentialError
from monitor.common.http import Http, RemoteError, network_error
from monitor.machine.clock import drift
from monitor.machine.finding import CheckFinding

__all__ = ["reach"]

_TIMEOUT = 5.0  # seconds


class _Sink(Protocol):
    @property
    def name(self) -> str: ...
    def servers(self) -> Sequence[str]: ...


def reach(sinks: Iterable[_Sink]) -> list[CheckFinding]:
    """In the order of the sinks. Credentials that cannot be resolved are for others to report."""
    servers: list[tuple[int, _Sink, str, str | None]] = []
    for index, sink in enumerate(sinks):
        try:
            servers += [(index, sink, origin, ca_file) for origin, ca_file in _origins(sink)]
        except (CredentialError, ValueError):
            continue

    async def ask() -> list[list[CheckFinding]]:
        return await asyncio.gather(*(_reach(*server) for server in servers))

    return [finding for findings in asyncio.run(ask()) for finding in findings]


def _origins(sink: _Sink) -> Iterator[tuple[str, str | None]]:
    """Scheme, host and port of each server, as what follows them in a webhook's URL is its password."""
    ca_file = getattr(sink, "ca_file", None)
    for origin in dict.fromkeys(map(_origin, sink.servers())):
        yield origin, str(ca_file) if ca_file else None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


async def _reach(index: int, sink: _Sink, origin: str, ca_file: str | None) -> list[CheckFinding]:
    try:
        seconds = await (_http if origin.startswith("http") else _connect)(origin, ca_file)
    except RemoteError as error:
        # Without the host: even that may be the secret of a webhook.
        shown = f'sink "{sink.name}": its server cannot be reached: {error}'
        return [CheckFinding("environment", f"sinks[{index}]", shown, mend=f"monitor sinks test {sink.name}")]
    return [] if seconds is None else list(drift(sink.name, seconds))


async def _http(origin: str, ca_file: str | None) -> float | None:
    """Seconds by which our clock is ahead of the server's; None: it does not say. Raises RemoteError."""
    http = Http(timeout=_TIMEOUT, connect=_TIMEOUT, ca_file=ca_file)
    try:
        reply = await http.request("HEAD", f"{origin}/")
    finally:
        await http.close()
    try:
        return time.time() - parsedate_to_datetime(reply.headers.get("Date", "")).timestamp()
    except (ValueError, TypeError):
        return None


async def _connect(origin: str, ca_file: str | None) -> None:
    """Of what speaks no HTTP. Raises RemoteError."""
    parts = urlsplit(origin)
    tls = parts.scheme in ("mqtts", "smtps")
    try:
        async with asyncio.timeout(_TIMEOUT):
            context = ssl.create_default_context(cafile=ca_file) if tls else None
            _, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=context)
            writer.close()
        return
    except (OSError, TimeoutError) as error:
        failure = network_error(error)
    raise failure  # outside of the handler, as the original may know more
