"""A line sent to a source of this host, as a service would: to journald, to syslog, to a broker, over HTTP.

Nothing here is handed to a program: what is planted stands on no command line.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import socket
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.common.http import RemoteError, network_error
from monitor.common.wording import stamp

if TYPE_CHECKING:
    from monitor.common.mqtt import BrokerKeys

__all__ = [
    "DOORS",
    "SendError",
    "to_http",
    "to_journal",
    "to_mqtt",
    "to_syslog_socket",
    "to_syslog_tcp",
    "to_syslog_udp",
]

_NAME = "exposure-monitor-drill"
_PATIENCE = 10.0  # seconds for whoever listens
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_NOBODY = 16  # PUBACK of MQTT 5: taken, and no session wants it


class SendError(Exception):
    """It could not be sent. The message says where, why and what to do."""


def to_journal(namespace: str, fields: Mapping[str, str]) -> None:
    """One record, in journald's own protocol. No value may hold a newline. Raises SendError."""
    path = f"/run/systemd/journal{'.' if namespace else ''}{namespace}/socket"
    record = "".join(f"{name}={value}\n" for name, value in fields.items()).encode()
    try:
        _to_socket(path, record)
    except FileNotFoundError:
        raise SendError(f"there is no journal on this host: {path} is not there") from None
    except OSError as error:
        raise SendError(f"journald does not take it: {path}: {_why(error)}") from None


async def to_syslog_socket(path: str, line: str) -> None:
    """One message of RFC 5424 to a datagram socket. Raises SendError."""
    try:
        _to_socket(path, _message(line))
    except OSError as error:
        raise SendError(f"unix:{path}: {_why(error)}: is the monitor running, and may you write there?") from None


async def to_syslog_udp(host: str, port: int, line: str) -> None:
    """One message of RFC 5424 in a datagram. Nobody says whether it came. Raises SendError."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as sender:
            sender.connect(where)
            sender.send(_message(line))
    except OSError as error:
        raise SendError(f"udp:{host}:{port}: {network_error(error)}") from None


async def to_syslog_tcp(host: str, port: int, line: str, certificate: Path | None) -> None:
    """One message of RFC 5424 with its length before it. `certificate`: what the listener must show, over TLS. Raises
    SendError."""
    message = _message(line)
    try:
        async with asyncio.timeout(_PATIENCE):
            tls = None if certificate is None else _trusting(certificate)
            _, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=host if tls else None)
            writer.write(b"%d %b" % (len(message), message))
            await writer.drain()
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError) as error:
        kind = "tcp" if certificate is None else "tls"
        raise SendError(f"{kind}:{host}:{port}: {network_error(error)}: is the monitor running?") from None


async def to_mqtt(keys: BrokerKeys, topic: str, payload: str) -> None:
    """Publish once, acknowledged, not retained. Raises SendError."""
    import aiomqtt

    from monitor.common.mqtt import Publisher, connection, mqtt_error, publish_refused

    try:
        options = await connection(keys)
        async with (
            asyncio.timeout(_PATIENCE),
            Publisher(identifier=f"{_NAME}-{secrets.token_hex(4)}", **options) as client,
        ):
            await client.publish(topic, payload.encode(), 1)
            answer = client.answer
    except aiomqtt.MqttError as error:
        raise SendError(f"broker {keys.host}: {mqtt_error(error)}") from None
    except (OSError, TimeoutError, ValueError) as error:
        raise SendError(f"broker {keys.host}: {network_error(error)}") from None
    except RemoteError as error:  # a credential that cannot be read
        raise SendError(str(error)) from None
    if answer is not None and answer.is_failure:
        raise SendError(f"broker {keys.host}: {publish_refused(answer.value)}")
    if answer is not None and answer.value == _NOBODY:
        raise SendError(f"broker {keys.host} has nobody who follows {topic}: is the monitor running and subscribed?")


def _otlp(line: str) -> dict[str, Any]:
    record = {"timeUnixNano": str(time.time_ns()), "body": {"stringValue": line}}
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}


def _loki(line: str) -> dict[str, Any]:
    return {"streams": [{"stream": {"service_name": _NAME}, "values": [[str(time.time_ns()), line]]}]}


# path → the form it takes
DOORS: Mapping[str, Any] = {"/": None, "/v1/logs": _otlp, "/loki/api/v1/push": _loki}


async def to_http(host: str, port: int, path: str, line: str, *, token: str | None, certificate: Path | None) -> None:
    """Push the line; returns once it is safe. `host`: of a unix socket its path. Raises SendError."""
    import aiohttp  # not by way of the client of all others: no proxy, and no name in the certificate is asked for

    form = DOORS[path]
    headers = {"Content-Type": "application/json" if form else "text/plain"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps(form(line)) if form else f"{line}\n"
    unix = host.startswith("/")
    connector = aiohttp.UnixConnector(host) if unix else aiohttp.TCPConnector()
    at = "localhost" if unix else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    url = f"{'https' if certificate else 'http'}://{at}{path}"
    try:
        tls = _trusting(certificate) if certificate else True
        timeout = aiohttp.ClientTimeout(total=_PATIENCE)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.post(url, data=body.encode(), headers=headers, ssl=tls, allow_redirects=False) as answer,
        ):
            status = answer.status
    except ValueError as error:  # a token that may not stand in a header
        raise SendError(f"{at}{path}: {network_error(error)}") from None
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise SendError(f"{at}{path}: {network_error(error)}: is the monitor running?") from None
    if status >= 300:
        raise SendError(f"{at}{path} answers {status}: `monitor sources` says why")


def _message(line: str) -> bytes:
    now = stamp(time.time(), "milliseconds")
    return f"<14>1 {now} {socket.gethostname() or '-'} {_NAME} - - - {line}".encode()


def _to_socket(path: str, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(_PATIENCE)
        sender.sendto(data, path)


def _why(error: OSError) -> str:
    return error.strerror or str(error)  # a timeout has no other, nor has a path that is too long


def _trusting(certificate: Path) -> ssl.SSLContext:
    """Of the listener's own certificate, whatever its name and whoever has signed it: it is the one of this host. Those
    behind it in the file are of authorities, which sign for others, too. Raises SendError."""
    try:
        own = _CERTIFICATE.search(certificate.read_text(encoding="ascii", errors="replace"))
        if own is None:
            raise SendError(f"{certificate} holds no certificate")
        context = ssl.create_default_context(cadata=own[0])
    except OSError as error:
        raise SendError(f"{certificate}: {_why(error)}: it is what the listener is known by") from None
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
