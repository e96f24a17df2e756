from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from monitor.sources.tls import Identity, TlsConfig, TlsError
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
        Identity(config(tmp_path, client_ca="ca.pem"))


async def shown(identity: Identity, port: int, name: str | None) -> bytes:
    """The certificate that who connects is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name or "")
    der: bytes = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    await writer.wait_closed()
    return der


async def test_a_renewed_certificate_is_shown_to_the_next_and_a_broken_one_is_not(tmp_path: Path) -> None:
    certificate(tmp_path)
    identity = Identity(config(tmp_path))
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=identity.context)
    port = server.sockets[0].getsockname()[1]
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
