"""The configuration of a source of syslog: where it listens, and what it takes."""

from __future__ import annotations

import re
from typing import ClassVar, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from monitor.sources.tls import TlsConfig

__all__ = ["Address", "SyslogConfig", "address"]


class Address(NamedTuple):
    """Where to listen; of a unix socket `host` is its path."""

    kind: Literal["udp", "tcp", "tls", "unix"]
    host: str
    port: int


def address(text: str) -> Address:
    """`udp:HOST:PORT`, `tcp:…`, `tls:…` or `unix:/PATH`. Raises ValueError."""
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest.startswith("/") and len(rest.encode()) < 108:
        return Address("unix", rest, 0)
    host, colon, port = rest.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if kind not in ("udp", "tcp", "tls") or not colon or not host or not re.fullmatch("[0-9]{1,5}", port):
        raise ValueError('must be "udp:HOST:PORT", "tcp:HOST:PORT", "tls:HOST:PORT" or "unix:/PATH"')
    if int(port) > 65535:
        raise ValueError("the port must be 65535 at most")
    return Address(kind, host, int(port))  # type: ignore[arg-type]


EXAMPLE = """
# Syslog that others send: rsyslog, syslog-ng, devices, `logger`. What it can lose: docs/configuration.md.
#[[sources]]
#name = "syslog"
#type = "syslog"
#audit = "vault"                # as for files
#environment = "staging"        # default: "", as for files
#listen = ["udp:127.0.0.1:5514", "tcp:127.0.0.1:5514"]  # also "tls:0.0.0.0:6514", "unix:/run/exposure-monitor/log"
#allow = ["10.0.0.0/8", "::1"]  # default: whoever can reach it
#rate = 5000                    # default: none; messages a second of one address
#max_message = 65536            # bytes; a longer one is scanned in parts
#max_connections = 256
#mode = "0660"                  # of a unix socket
#certificate = "/etc/ssl/certs/monitor.pem"    # default: none; with tls:
#private_key = "file:/etc/ssl/private/monitor.key"  # default: none
#client_ca = "/etc/ssl/certs/internal-ca.pem"  # default: none; who connects must show a certificate of it
"""


class SyslogConfig(TlsConfig):
    """Takes RFC 5424 and RFC 3164 over UDP, TCP, TLS and a datagram socket ([more](sources.md#syslog)).

    - `listen`: `udp:HOST:PORT`, `tcp:HOST:PORT`, `tls:HOST:PORT`, `unix:/PATH` (a datagram socket, as `/dev/log`)
    - `rate`: messages a second of one address. What is beyond it waits (TCP, TLS), or is dropped and counted (UDP)
    - `max_message`: bytes; a longer message is scanned in parts, none of it is left out
    - `max_connections`: of all addresses together; when all are taken, one that was silent for a minute gives way
    - `mode`: of a unix socket

    **Reads** at most once: the protocol has no answer. **Can lose**

    - at a SIGKILL, what was received and not yet stored: at most 8 MiB and the kernel's buffers; reason `killed`, at
      the next start (how much, nobody can know). At a SIGTERM all that was received is scanned first; reason `stopped`
      when that took longer than 3 s
    - over UDP also what the network loses, and what came faster than it could be taken: `udp_dropped`, in datagrams,
      from the kernel's own figures for the socket; what was beyond `rate`: reason `rate`, in bytes
    - of a unix socket, what was beyond 1 MiB of one datagram: `too_long`
    """

    reach: ClassVar[tuple[str, ...]] = ("listen",)
    type: Literal["syslog"] = "syslog"
    listen: tuple[str, ...] = Field(default=("udp:127.0.0.1:5514", "tcp:127.0.0.1:5514"), min_length=1)
    max_connections: int = Field(default=256, ge=1, le=10_000)
    max_message: int = Field(default=65536, ge=1024, le=1 << 20)  # bytes; a longer one is scanned in parts
    rate: int | None = Field(default=None, ge=1)
    mode: str = Field(default="0660", pattern=r"^0?[0-7]{3}$")

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            address(text)
        return value

    @model_validator(mode="after")
    def _certified(self) -> Self:
        if any(text.startswith("tls:") for text in self.listen) and not self.certificate:
            raise ValueError("listen has tls:, which needs certificate and private_key")
        return self
