from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from monitor.common.http import MAX_REPLY, Http, RemoteError, Reply, proxy_for, retry_after
from tests.fakes.clock import turn
from tests.fakes.ports import free_port
from tests.fakes.server import FAULTS, PERMANENT, FakeServer, Fault
from tests.fakes.smtp import certificate

PATH = "/hidden-path-7d1f"


async def post(http: Http, url: str) -> Reply:
    reply = await http.post(url, b"{}")
    reply.check({404: "look at the URL"})
    return reply


async def test_posts_json_once_and_says_who_it_is(http: Http) -> None:
    async with FakeServer() as server:
        assert (await post(http, server.url + PATH)).body == b"ok"
    (request,) = server.requests
    assert (request.method, request.path, request.body) == ("POST", PATH, b"{}")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"].startswith("exposure-monitor")


async def test_a_ca_of_ones_own(tmp_path: Path, http: Http) -> None:
    pem, key = certificate(tmp_path)
    server = FakeServer()
    server.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.tls.load_cert_chain(pem, key)
    (tmp_path / "none.pem").write_text("no certificate")
    async with server:
        trusting = Http(ca_file=str(pem))
        assert (await post(trusting, server.url)).body == b"ok"
        await trusting.close()
        with pytest.raises(RemoteError, match="TLS certificate is not valid"):
            await post(http, server.url)
        for wrong in ("none.pem", "missing.pem"):
            with pytest.raises(RemoteError, match="ca_file: no certificates") as caught:
                await post(Http(ca_file=str(tmp_path / wrong)), server.url)
            assert not caught.value.retry


@pytest.mark.parametrize("name", FAULTS)
async def test_every_fault_is_classified_and_names_no_url(http: Http, name: str) -> None:
    async with FakeServer() as server:
        server.faults.append(FAULTS[name])
        with pytest.raises(RemoteError) as caught:
            await post(http, server.url + PATH)
        assert len(server.requests) == 1  # a redirect is not followed, a failure is not repeated here
    assert caught.value.retry is (name not in PERMANENT)
    assert caught.value.after == {"429": 7.0, "503": 3.0}.get(name)
    assert "hidden" not in str(caught.value)
    assert str(server.port) not in str(caught.value)
    assert caught.value.__context__ is None


async def test_messages_say_what_happened(http: Http) -> None:
    async with FakeServer() as server:
        server.faults += [Fault(404), Fault(302), Fault(hang=True, passes=60)]
        for message in ("HTTP 404 Not Found: look at the URL", "redirects are not followed", "no answer in time"):
            with pytest.raises(RemoteError, match=message):
                await post(http, server.url)
    with pytest.raises(RemoteError, match="cannot connect or send: Connection refused"):
        await post(http, f"http://127.0.0.1:{free_port()}{PATH}")
    with pytest.raises(RemoteError, match="host name cannot be resolved"):
        await post(http, f"http://name.invalid{PATH}")
    async with FakeServer() as server:
        with pytest.raises(RemoteError, match="TLS handshake failed") as caught:
            await post(http, server.url.replace("http:", "https:"))
        assert caught.value.retry


@pytest.mark.parametrize(
    "url", ["", "hidden", "ftp://hidden/x", "http://[hidden", "http:///hidden", "http://h:99999/x"]
)
async def test_a_senseless_url_is_permanent_and_not_shown(http: Http, url: str) -> None:
    with pytest.raises(RemoteError) as caught:
        await post(http, url)
    assert not caught.value.retry
    assert "hidden" not in str(caught.value)


async def test_reads_no_more_than_it_needs(http: Http) -> None:
    async with FakeServer() as server:
        server.faults.append(Fault(200, body="x" * 5_000_000))
        assert len((await post(http, server.url)).body) == MAX_REPLY
        await post(http, server.url)  # the session is still good


def test_what_a_cloud_tells_its_machine_goes_through_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert proxy_for("http://169.254.169.254/latest/") is None
    assert proxy_for("http://127.0.0.1:1/") is None
    assert proxy_for("http://receiver.invalid/") == "http://proxy.invalid:3128"


async def test_goes_through_the_proxy_of_the_environment(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeServer() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        await post(http, "http://receiver.invalid/x")
        monkeypatch.setenv("no_proxy", "receiver.invalid")
        with pytest.raises(RemoteError):
            await post(http, "http://receiver.invalid/x")
    assert [request.headers["Host"] for request in proxy.requests] == ["receiver.invalid"]


async def test_sends_no_password_of_netrc(http: Http, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hidden\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with FakeServer() as server:
        await post(http, server.url)
    assert "Authorization" not in server.requests[0].headers


def _after(headers: dict[str, str], skew: float = 0.0) -> float | None:
    return retry_after(CIMultiDict(headers), skew)


def test_retry_after_takes_seconds_and_dates_within_an_hour() -> None:
    assert _after({}) is None
    assert _after({"Retry-After": "12"}) == 12
    assert _after({"retry-after": "1.5"}) == 1.5
    assert _after({"Retry-After": "0"}) == 0
    assert _after({"Retry-After": "9" * 400}) == 3600
    for senseless in ("", "-5", "1e9", "nan", "soon", "٣", "1.", "12 s"):
        assert _after({"Retry-After": senseless}) is None
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 80 < (_after({"Retry-After": date}) or 0) <= 90
    past = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)
    assert _after({"Retry-After": past}) == 0
    assert 20 < (_after({"Retry-After": date}, skew=60.0) or 0) <= 30  # by the server's own clock


@given(st.text())
def test_retry_after_never_fails(value: str) -> None:
    after = _after({"Retry-After": value})
    assert after is None or 0 <= after <= 3600


async def test_an_answer_that_is_wanted_whole_is_refused_when_it_is_too_large(http: Http) -> None:
    async with FakeServer() as server:
        server.faults += [Fault(200, body="x" * (2 << 20)), Fault(200, body="x" * (1 << 20))]
        with pytest.raises(RemoteError, match="larger than 1 MiB") as caught:
            await http.request("GET", server.url, limit=1 << 20, whole=True)
        assert (caught.value.retry, caught.value.status) == (False, 200)
        assert len((await http.request("GET", server.url, limit=1 << 20, whole=True)).body) == 1 << 20


async def test_a_websocket_outlives_the_time_of_one_exchange_and_its_end_is_not_waited_for() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Says one word after a while, and answers nothing, not even a farewell."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(line.split()[1] for line in head.splitlines() if line.lower().startswith("sec-websocket-key:"))
        accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
        answer = (
            f"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        writer.write(answer.encode())
        await opened.wait()
        turn(2.5)
        await asyncio.sleep(0)
        writer.write(b"\x81\x02hi")
        await reader.read(-1)
        writer.close()
        await writer.wait_closed()
        gone.set()

    opened, gone = asyncio.Event(), asyncio.Event()
    http = Http(timeout=2.0)
    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, asyncio.timeout(240) as limit:
        async with http.websocket(f"ws://127.0.0.1:{port}/link", limit=1000) as socket:
            opened.set()
            assert (await socket.receive()).data == "hi"
            limit.reschedule(asyncio.get_running_loop().time() + 8)  # it would wait for ten seconds
        await http.close()
        await gone.wait()


async def test_a_websocket_that_is_none_is_told_without_its_address(http: Http) -> None:
    async with FakeServer() as server:
        for url in (f"ws{server.url[4:]}/link?ticket=hidden", "ws://127.0.0.1:9/hidden", "nonsense://hidden"):
            with pytest.raises(RemoteError) as caught:
                async with http.websocket(url, limit=1000):
                    raise AssertionError("it opened")
            assert "hidden" not in str(caught.value)


async def all_of(http: Http, url: str) -> int:
    async with http.stream(url, {"X-A": "b"}, total=60) as answer:
        return sum([len(piece) async for piece in answer.pieces])


async def test_what_may_be_large_comes_in_pieces_for_as_long_as_somebody_reads(http: Http) -> None:
    async with FakeServer() as server:
        server.faults.append(Fault(200, body="x" * 1_000_000))
        assert await all_of(http, server.url + PATH) == 1_000_000
        server.faults.append(Fault(200, body="x" * 10_000_000))
        async with http.stream(server.url + PATH, total=60) as answer:
            assert await anext(answer.pieces)
        assert server.requests[0].headers["X-A"] == "b"


async def test_a_body_that_breaks_off_is_an_error_that_names_no_url(http: Http) -> None:
    async with FakeServer() as server:
        server.faults.append(Fault(cut=True))
        with pytest.raises(RemoteError) as caught:
            await all_of(http, server.url + PATH)
    assert caught.value.retry
    assert PATH not in str(caught.value)
