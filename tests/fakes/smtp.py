"""A small SMTP server with STARTTLS and AUTH, on a real socket; it fails on command."""

from __future__ import annotations

import asyncio
import base64
import email
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1: (certificate file, key file)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / "server.pem", folder / "server.key"
    pem.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, private


@dataclass(frozen=True)
class Mail:
    sender: str
    to: tuple[str, ...]
    message: EmailMessage
    encrypted: bool
    login: str | None


class FakeSmtp:
    """`mails` in the order they came. `answers`: a verb, or `.` for the end of a mail, → the line to answer with
    instead, or `HANG` or `DROP`. `held`: a verb → what its answer waits for. `ended`: conversations that have."""

    HANG, DROP = "hang", "drop"

    def __init__(self, certificate: tuple[Path, Path] | None = None, *, password: str | None = None) -> None:
        self.mails: list[Mail] = []
        self.answers: dict[str, str] = {}
        self.held: dict[str, asyncio.Event] = {}
        self.heard: list[str] = []  # verbs
        self.ended = 0
        self.refusals: dict[str, str] = {}  # a recipient → the line to answer with
        self.raw: list[bytes] = []
        self._password = password
        self._context: ssl.SSLContext | None = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*certificate)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=2**24)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self.ended += 1
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender, to, encrypted, login = "", [], False, None
        writer.write(b"220 fake ESMTP\r\n")
        while line := (await reader.readline()).decode("utf-8", "replace").strip():
            verb, _, rest = line.partition(" ")
            verb = verb.upper()
            self.heard.append(verb)
            if held := self.held.get(verb):
                await held.wait()
            answer = self.answers.get(verb, "")
            if answer == self.HANG:
                await asyncio.sleep(3600)
            if answer == self.DROP:
                return
            if answer:
                writer.write(answer.format(line=line).encode() + b"\r\n")
                continue
            if verb == "EHLO":
                offers = ["fake"]
                offers += ["STARTTLS"] if self._context and not encrypted else []
                offers += ["AUTH PLAIN"] if self._password and encrypted else []
                rows = [f"250{'-' if offer != offers[-1] else ' '}{offer}" for offer in offers]
                writer.write("".join(f"{row}\r\n" for row in rows).encode())
            elif verb == "STARTTLS" and self._context:
                writer.write(b"220 go\r\n")
                await writer.drain()
                await writer.start_tls(self._context)
                encrypted = True
            elif verb == "AUTH":
                _, name, password = base64.b64decode(rest.split()[1]).decode().split("\0")
                if password == self._password:
                    login = name
                    writer.write(b"235 welcome\r\n")
                else:
                    writer.write(f"535 no: {line} {password}\r\n".encode())
            elif verb == "MAIL":
                sender = rest.partition("<")[2].partition(">")[0]
                writer.write(b"250 ok\r\n")
            elif verb == "RCPT":
                recipient = rest.partition("<")[2].partition(">")[0]
                refusal = self.refusals.get(recipient)
                to += [] if refusal else [recipient]
                writer.write(f"{refusal or '250 ok'}\r\n".encode())
                if refusal and refusal.startswith("421"):
                    await writer.drain()
                    return
            elif verb == "DATA":
                writer.write(b"354 go\r\n")
                data = await reader.readuntil(b"\r\n.\r\n")
                self.raw.append(data)
                message = email.message_from_bytes(data[:-3].replace(b"\r\n..", b"\r\n."), policy=default)
                self.mails.append(Mail(sender, tuple(to), message, encrypted, login))
                if held := self.held.get("."):
                    await held.wait()
                if self.answers.get(".") == self.DROP:
                    return
                writer.write(b"250 kept\r\n")
            elif verb == "QUIT":
                writer.write(b"221 bye\r\n")
                await writer.drain()
                return
            else:
                writer.write(b"250 ok\r\n")
