from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from monitor.sources.tls import TlsConfig, TlsError, TlsIdentity
from tests.fakes.smtp import certificate


def config(folder: Path, **keys: Any) -> TlsConfig:
    given = {"certificate": "server.pem", "private_key": f"file:{folder}/server.key", **keys}
    given = {key: value for key, value in given.items() if value is not None}
    return TlsConfig.model_validate({"name": "s", "type": "t", **given}, context={"folder": str(folder)})


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"private_key": None}, "need each other"),
        ({"certificate": None}, "need each other"),
        ({"certificate": None, "private_key": None, "client_ca": "ca.pem"}, "client_ca needs"),
        ({"private_key": "server.key"}, "must be a reference"),
    ],
)
def test_keys_that_do_not_fit(tmp_path: Path, keys: dict[str, Any], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        config(tmp_path, **keys)


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("server.pem", None, "certificate: .*server.pem with its private_key: No such file"),
        ("server.key", None, "private_key: file:.*server.key: No such file"),
        ("server.pem", "nonsense", "certificate: .*server.pem with its private_key: not pem"),
        ("ca.pem", "nonsense", "client_ca: .*ca.pem: "),
    ],
)
def test_what_cannot_be_read_names_its_key(tmp_path: Path, name: str, text: str | None, what: str) -> None:
    certificate(tmp_path)
    (tmp_path / "ca.pem").write_bytes((tmp_path / "server.pem").read_bytes())
    if text is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(text)
    with pytest.raises(TlsError, match=what):
        TlsIdentity(config(tmp_path, client_ca="ca.pem"))


async def shown(identity: TlsIdentity, port: int, name: str | None) -> bytes:
    """The certificate that who connects is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name or "")
    der: bytes = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    await writer.wait_closed()
    return der


async def serving(identity: TlsIdentity) -> tuple[asyncio.Server, int]:
    """Takes whoever connects by the context of that moment, as sources do."""

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await writer.start_tls(identity.context)
            writer.write(b"welcome")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def test_a_renewed_certificate_is_shown_to_the_next_and_a_broken_one_is_not(tmp_path: Path) -> None:
    certificate(tmp_path)
    identity = TlsIdentity(config(tmp_path))
    server, port = await serving(identity)
    first = await shown(identity, port, "host")
    identity.renew()
    assert await shown(identity, port, "host") == first

    certificate(tmp_path)
    assert await shown(identity, port, "host") == first
    identity.renew()
    second = await shown(identity, port, "host")
    assert second != first
    assert await shown(identity, port, None) == second

    (tmp_path / "server.pem").write_text("half of it")
    with pytest.raises(TlsError, match="certificate: "):
        identity.renew()
    assert await shown(identity, port, "host") == second
    server.close()
    await server.wait_closed()


async def test_a_renewed_ca_decides_who_may_connect(tmp_path: Path) -> None:
    """Also of who has a session from before."""
    before, after = tmp_path / "before", tmp_path / "after"
    for folder in (before, after, tmp_path):
        folder.mkdir(exist_ok=True)
        certificate(folder)
    ca = tmp_path / "ca.pem"
    ca.write_bytes((before / "server.pem").read_bytes())
    identity = TlsIdentity(config(tmp_path, client_ca="ca.pem"))
    server, port = await serving(identity)

    def asking(folder: Path) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=tmp_path / "server.pem")
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # where the session is known before anything is read
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        return context

    def welcome(context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSession | None:
        """The session; None: not let in."""
        with socket.create_connection(("127.0.0.1", port)) as plain:
            try:
                with context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as secure:
                    return secure.session if secure.recv(7) == b"welcome" else None
            except OSError:
                return None

    old, new = asking(before), asking(after)
    session = await asyncio.to_thread(welcome, old)
    assert session is not None
    assert await asyncio.to_thread(welcome, new) is None

    ca.write_bytes((after / "server.pem").read_bytes())
    identity.renew()
    assert await asyncio.to_thread(welcome, new) is not None
    assert await asyncio.to_thread(welcome, old) is None
    assert await asyncio.to_thread(welcome, old, session) is None

    ca.unlink()
    with pytest.raises(TlsError, match=r"client_ca: .*ca.pem: "):
        identity.renew()
    assert await asyncio.to_thread(welcome, new) is not None
    server.close()
    await server.wait_closed()


async def test_a_key_that_was_changed_after_its_certificate_is_taken(tmp_path: Path) -> None:
    certificate(tmp_path)
    identity = TlsIdentity(config(tmp_path))
    server, port = await serving(identity)
    first = await shown(identity, port, "host")
    (tmp_path / "new").mkdir()
    certificate(tmp_path / "new")
    (tmp_path / "new/server.pem").rename(tmp_path / "server.pem")
    with pytest.raises(TlsError, match="certificate: "):
        identity.renew()
    assert await shown(identity, port, "host") == first
    (tmp_path / "new/server.key").rename(tmp_path / "server.key")
    identity.renew()
    assert await shown(identity, port, "host") != first
    server.close()
    await server.wait_closed()
