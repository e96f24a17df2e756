from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from aiohttp import web

from monitor.common.httpd import serve
from monitor.common.mqtt import BrokerKeys
from monitor.drill import send
from monitor.drill.send import SendError
from tests.fakes.mosquitto import broker
from tests.fakes.ports import free_port, unread
from tests.fakes.smtp import certificate


@pytest.mark.skipif(Path("/run/systemd/journal/socket").exists(), reason="this host has a journal")
def test_without_a_journal_it_says_so() -> None:
    with pytest.raises(SendError, match=r"there is no journal on this host: /run/systemd/journal/socket is not there"):
        send.to_journal("", {"MESSAGE": "text"})
    with pytest.raises(SendError, match=r"/run/systemd/journal.lab/socket is not there"):
        send.to_journal("lab", {"MESSAGE": "text"})


async def test_where_nobody_listens_it_says_so(tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(SendError, match=r"unix:.*/log: No such file"):
        await send.to_syslog_socket(str(tmp_path / "log"), "text")
    with pytest.raises(SendError, match=rf"tcp:127.0.0.1:{port}: .*refused: is the monitor running"):
        await send.to_syslog_tcp("127.0.0.1", port, "text", None)
    with pytest.raises(SendError, match=r"udp:no.such.invalid:514: the host name cannot be resolved"):
        await send.to_syslog_udp("no.such.invalid", 514, "text")
    with pytest.raises(SendError, match=rf"127.0.0.1:{port}/v1/logs: .*refused: is the monitor running"):
        await send.to_http("127.0.0.1", port, "/v1/logs", "text", token=None, certificate=None)
    keys = BrokerKeys(host="127.0.0.1", port=port)
    with pytest.raises(SendError, match=r"broker 127.0.0.1: cannot connect or send: Connection refused"):
        await send.to_mqtt(keys, "logs", "text")


async def test_only_who_shows_the_certificate_of_the_source_is_told(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
        certificate(folder)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(theirs / "server.pem", theirs / "server.key")
    got = bytearray()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.extend(await reader.read())
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SendError, match="not valid for this host"):
            await send.to_syslog_tcp("127.0.0.1", port, "text", ours / "server.pem")
        assert not got
        await send.to_syslog_tcp("127.0.0.1", port, "text", theirs / "server.pem")
        while not got.endswith(b" - - - text"):
            await asyncio.sleep(0.01)


async def test_the_authority_behind_the_certificate_of_the_source_vouches_for_nobody_else(tmp_path: Path) -> None:
    ours, authority = tmp_path / "ours", tmp_path / "authority"
    for folder in (ours, authority):
        folder.mkdir()
        certificate(folder)
    chain = tmp_path / "chain.pem"
    chain.write_text("".join((folder / "server.pem").read_text() for folder in (ours, authority)))

    async def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    async with await asyncio.start_server(take, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SendError, match="not valid for this host"):
            await send.to_syslog_tcp("127.0.0.1", port, "text", chain)
    (tmp_path / "empty.pem").touch()
    for name, why in (("empty.pem", "holds no certificate"), ("absent.pem", "No such file")):
        with pytest.raises(SendError, match=why):
            await send.to_syslog_tcp("127.0.0.1", port, "text", tmp_path / name)


async def test_why_it_is_not_taken_is_always_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SendError, match=r"unix:/tmp/x+: AF_UNIX path too long: is the monitor running"):
        await send.to_syslog_socket(f"/tmp/{'x' * 120}", "text")
    monkeypatch.setattr(send, "_PATIENCE", 0.05)
    with (
        unread(tmp_path / "log"),
        pytest.raises(SendError, match=r"log: timed out: is the monitor running"),
    ):
        await send.to_syslog_socket(str(tmp_path / "log"), "text")


async def test_what_a_listener_answers_is_told(tmp_path: Path) -> None:
    asked: list[tuple[str, Any]] = []

    async def refuse(request: web.Request) -> web.Response:
        asked.append((request.headers.get("Authorization", ""), await request.text()))
        return web.Response(status=401)

    app = web.Application()
    app.add_routes([web.post("/", refuse)])
    where = tmp_path / "http"
    async with serve(app, str(where), 0):
        with pytest.raises(SendError, match="localhost/ answers 401: `monitor sources` says why"):
            await send.to_http(str(where), 0, "/", "text", token="of a test", certificate=None)
        with pytest.raises(SendError, match="header value: check the credential") as wrong:
            await send.to_http(str(where), 0, "/", "text", token="first\nsecond", certificate=None)
        assert "second" not in str(wrong.value)
    assert asked == [("Bearer of a test", "text\n")]


async def test_what_a_broker_answers_is_told(tmp_path: Path) -> None:
    async with broker(tmp_path, access="topic write logs/#\ntopic read logs/#") as port:
        keys = BrokerKeys(host="127.0.0.1", port=port)
        with pytest.raises(SendError, match="has nobody who follows logs/app: is the monitor running and subscribed"):
            await send.to_mqtt(keys, "logs/app", "text")
        with pytest.raises(SendError, match="does not let this user publish on the topic"):
            await send.to_mqtt(keys, "other", "text")
        async with aiomqtt.Client("127.0.0.1", port) as reader:
            await reader.subscribe("logs/#")
            await send.to_mqtt(keys, "logs/app", "text")
            message = await anext(aiter(reader.messages))
    assert bytes(message.payload) == b"text"  # type: ignore[arg-type]
    assert not message.retain


async def test_a_datagram_is_one_message() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        await send.to_syslog_udp("127.0.0.1", listener.getsockname()[1], "text")
        data = listener.recv(4096)
    assert data.startswith(b"<14>1 20")
    assert data.endswith(b" exposure-monitor-drill - - - text")
