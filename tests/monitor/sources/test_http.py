from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import gzip
import logging
import ssl
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import cramjam
import msgpack
import orjson
import pytest
import zstandard
from loki_logger_handler.loki_logger_handler import LokiLoggerHandler
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from pydantic import ValidationError

from monitor.sources import http as module
from monitor.sources.http import HttpSource, HttpSourceConfig
from monitor.sources.pushed import Pushed
from tests.fakes.intake import FakeIntake, running, until
from tests.fakes.peer import Way
from tests.fakes.ports import free_port
from tests.fakes.smtp import certificate
from tests.monitor.sources.test_loki import JSON as LOKI
from tests.monitor.sources.test_loki import protobuf


@contextlib.asynccontextmanager
async def way_in(folder: Path) -> AsyncIterator[Way]:
    port = free_port()

    async def feed(lines: Sequence[str]) -> None:
        status = 503
        async with aiohttp.ClientSession() as session:
            while status == 503:  # the database is slow: whoever sends it does so again
                async with session.post(f"http://127.0.0.1:{port}/", data="\n".join(lines)) as answer:
                    status = answer.status
        assert status == 204

    yield Way({"listen": f"127.0.0.1:{port}"}, feed)


def config(**keys: Any) -> HttpSourceConfig:
    return HttpSourceConfig.model_validate({"name": "push", "type": "http", "listen": "127.0.0.1:0", **keys})


@contextlib.asynccontextmanager
async def listening(intake: FakeIntake, **keys: Any) -> AsyncIterator[str]:
    source = HttpSource(config(**keys), intake, b"k" * 32)
    async with running(source):
        await until(lambda: source.address)
        assert source.address
        yield source.address


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


async def push(
    client: aiohttp.ClientSession, url: str, body: bytes, path: str = "/", **headers: str
) -> tuple[int, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.post(url + path, data=body, headers=named) as answer:
        return answer.status, answer.headers.get("Retry-After", "")


def log_with_the_sdk(url: str, compression: Compression, count: int, token: str = "") -> None:
    """As an application does. Blocking."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    exporter = OTLPLogExporter(endpoint=f"{url}/v1/logs", compression=compression, headers=headers)
    provider = LoggerProvider(resource=Resource.create({"service.name": "pay", "host.name": "web-1"}))
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, schedule_delay_millis=20))
    logger = logging.Logger("app")
    logger.addHandler(LoggingHandler(logger_provider=provider))
    for number in range(count):
        logger.error("refused <%d>", number, extra={"header": f"<{1000 + number}>"})
    assert provider.force_flush(20_000)
    provider.shutdown()


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_the_sdk_of_opentelemetry(compression: Compression) -> None:
    intake = FakeIntake()
    async with listening(intake) as url:
        await asyncio.to_thread(log_with_the_sdk, url, compression, 600)
    assert intake.marks == [*range(600), *range(1000, 1600)]
    assert {seen.path for seen in intake.found.values()} == {"pay"}
    assert intake.hits == 1200
    assert not intake.refused


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_the_sdk_comes_again_when_it_is_told_to_and_nothing_is_found_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_ANSWER", 0.2)
    monkeypatch.setattr(module, "_AGAIN", {"Retry-After": "1"})
    intake = FakeIntake()
    intake.gate.clear()
    async with listening(intake) as url:
        sending = asyncio.create_task(asyncio.to_thread(log_with_the_sdk, url, Compression.Gzip, 10))
        await until(lambda: intake.scanned)
        await asyncio.sleep(0.5)  # an answer that the database was too slow for
        assert not intake.found
        monkeypatch.setattr(module, "_ANSWER", 60.0)
        intake.gate.set()
        await asyncio.wait_for(sending, 120)
    assert intake.marks == [*range(10), *range(1000, 1010)]
    assert len(intake.found) == 20


@pytest.mark.parametrize("kind", ["json", "gzip", "protobuf"])
async def test_loki_push(client: aiohttp.ClientSession, kind: str) -> None:
    intake = FakeIntake()
    body, headers = {
        "json": (orjson.dumps(LOKI), {"Content_Type": "application/json"}),
        "gzip": (gzip.compress(orjson.dumps(LOKI)), {"Content_Type": "application/json", "Content_Encoding": "gzip"}),
        "protobuf": (bytes(cramjam.snappy.compress_raw(protobuf())), {"Content_Type": "application/x-protobuf"}),
    }[kind]
    async with listening(intake) as url:
        for _ in range(3):  # whoever gets no answer comes again
            assert await push(client, url, body, "/loki/api/v1/push", **headers) == (204, "")
        async with client.get(f"{url}/ready") as answer:
            assert answer.status == 200
    assert intake.marks == [1, 2, 3, 4, 5]
    assert intake.hits == 15


def log_with_a_handler_for_loki(url: str, count: int, compressed: bool) -> LokiLoggerHandler:
    """As an application does. It sends in a thread of its own, which goes on; close its session and let it wait."""
    handler = LokiLoggerHandler(f"{url}/loki/api/v1/push", {"application": "pay"}, timeout=0.05, compressed=compressed)
    logger = logging.Logger("app")
    logger.addHandler(handler)
    for number in range(count):
        logger.error("refused <%d>", number, extra={"header": f"<{1000 + number}>"})
    return handler


@pytest.mark.parametrize("compressed", [True, False])
async def test_a_handler_that_pushes_to_loki(compressed: bool) -> None:
    intake = FakeIntake()
    async with listening(intake) as url:
        handler = await asyncio.to_thread(log_with_a_handler_for_loki, url, 300, compressed)
        await until(lambda: len(intake.found) == 600)
        handler.timeout = None
        await asyncio.to_thread(handler.request.session.close)
    assert intake.marks == [*range(300), *range(1000, 1300)]
    assert not intake.refused


async def test_lines_of_vector_and_fluent_bit(client: aiohttp.ClientSession) -> None:
    intake = FakeIntake()
    async with listening(intake) as url:
        lines = b"".join(b'{"message": "m <%d>", "host": "web-1"}\n' % number for number in range(5000))
        assert (await push(client, url, gzip.compress(lines), Content_Encoding="gzip"))[0] == 204
        array = orjson.dumps([{"log": "<5000>", "date": 1.5}, {"log": "<5001>"}])
        assert (await push(client, url, zstandard.compress(array), Content_Encoding="zstd"))[0] == 204
        assert (await push(client, url, b"plain <5002>"))[0] == 204
    assert intake.marks == list(range(5003))
    assert len(intake.blocks) < 20


@pytest.mark.parametrize("form", ["application/msgpack", "application/x-msgpack"])
async def test_fluent_bit_in_the_format_it_has_by_default(client: aiohttp.ClientSession, form: str) -> None:
    intake = FakeIntake()
    body = b"".join(msgpack.packb([[1_700_000_000 + n, {}], {"log": f"m <{n}>"}]) for n in range(60))
    async with listening(intake) as url:
        assert await push(client, url, body, Content_Type=form) == (204, "")
        packed = gzip.compress(body)  # and says nothing of it
        assert await push(client, url, packed, Content_Type=form) == (204, "")
    assert intake.marks == list(range(60))
    assert intake.hits == 120
    assert {offset for _, offset, _ in intake.found} == {len(b'{"log":"m ')}


async def test_a_bad_record_of_otlp_is_told_and_costs_no_other_one(client: aiohttp.ClientSession) -> None:
    intake = FakeIntake()
    records = [{"body": {"stringValue": "<1>"}}, "<2>", {"body": {"stringValue": "<3>"}}]
    body = orjson.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]})
    async with listening(intake) as url:
        headers = {"Content-Type": "application/json"}
        async with client.post(f"{url}/v1/logs", data=body, headers=headers) as answer:
            assert answer.status == 200
            assert (await answer.json())["partialSuccess"]["rejectedLogRecords"] == "1"
    assert intake.marks == [1, 2, 3]
    assert intake.refused == {"record": 1}


async def test_forwarders_of_splunk(client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSH_TOKEN", "the token of this test")
    intake = FakeIntake()
    hec = "/services/collector"
    known = {"Authorization": "Splunk the token of this test"}

    async def send(path: str, body: bytes, **headers: str) -> tuple[int, int]:
        async with client.post(url + hec + path, data=body, headers=headers) as answer:
            return answer.status, (await answer.json())["code"]

    async with listening(intake, token="env:PUSH_TOKEN", max_body=2000) as url:
        for number, path in enumerate(("", "/event", "/event/1.0")):
            body = b'{"event":"<%d>"}{"event":{"m":"<%d>"}}' % (number, 10 + number)
            assert await send(path, body, **known) == (200, 0)
        packed = {"Content-Encoding": "gzip", **known}
        assert await send("/raw", gzip.compress(b"first <3>\nsecond <13>"), **packed) == (200, 0)
        assert await send(
            "/event", b'{"event":"<4>"}', Authorization=aiohttp.encode_basic_auth("x", "the token of this test")
        ) == (200, 0)
        assert await send("/event", b'{"event":"<5>"}{"event"', **known) == (400, 6)
        assert await send("/event", b"", **known) == (400, 5)
        assert await send("/event", b"x" * 2001, **known) == (413, 27)
        assert await send("/event", b"<90>") == (401, 2)
        assert await send("/event", b"<90>", Authorization="Splunk of another") == (403, 4)
        assert await send("/ack?channel=1", b'{"acks":[1]}', **known) == (400, 14)
        async with client.get(f"{url}{hec}/health/1.0") as answer:
            assert (answer.status, (await answer.json())["code"]) == (200, 17)
        monkeypatch.setattr(module, "_ANSWER", 0.1)
        intake.gate.clear()
        assert await send("/event", b'{"event":"<6>"}', **known) == (503, 9)
        intake.gate.set()
    assert intake.marks == [0, 1, 2, 3, 4, 5, 10, 11, 12, 13]
    assert intake.refused == {"unauthorized": 2, "too_large": 1, "record": 1}


async def test_shippers_of_elastic(client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSH_TOKEN", "the token of this test")
    intake = FakeIntake()
    pair = base64.b64encode(b"id:the token of this test").decode()
    body = b'{"create":{"_index":"a"}}\n{"message":"<%d>"}\n{"index":{}}\n{"message":"<%d>"}\n'
    async with listening(intake, token="env:PUSH_TOKEN") as url:
        for number, given in enumerate(
            (f"ApiKey {pair}", aiohttp.encode_basic_auth("elastic", "the token of this test"))
        ):
            client.headers["Authorization"] = given
            for path in ("/", "/_license", "/_cluster/health"):
                async with client.get(url + path) as answer:
                    assert answer.status == 200
                    assert answer.headers["X-Elastic-Product"] == "Elasticsearch"
            async with client.head(url) as answer:
                assert answer.status == 200
            for path in ("/_bulk", "/logs-pay/_bulk?filter_path=errors"):
                async with client.post(url + path, data=body % (number, 10 + number)) as answer:
                    assert answer.status == 200
                    assert answer.headers["X-Elastic-Product"] == "Elasticsearch"
                    said = await answer.json()
                    assert said["errors"] is False
                    assert [one["status"] for item in said["items"] for one in item.values()] == [201, 201]
        async with client.post(f"{url}/_bulk", data=b"<5>\n{}") as answer:
            assert (answer.status, (await answer.json())["status"]) == (400, 400)
        client.headers["Authorization"] = "ApiKey nothing"
        async with client.post(f"{url}/_bulk", data=b"{}") as answer:
            assert answer.status == 401
            assert (await answer.json())["error"]["type"] == "security_exception"
    assert intake.marks == [0, 1, 5, 10, 11]
    assert intake.refused == {"form": 1, "unauthorized": 1}


async def test_it_answers_only_once_what_was_found_is_safe(client: aiohttp.ClientSession) -> None:
    intake = FakeIntake()
    intake.gate.clear()
    async with listening(intake) as url:
        answer = asyncio.create_task(push(client, url, b"<1>"))
        await until(lambda: intake.scanned)
        await asyncio.sleep(0.05)
        assert not answer.done()
        intake.gate.set()
        assert (await answer)[0] == 204
        assert intake.marks == [1]


async def test_under_pressure_senders_are_told_when_to_come_again(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TAKEN", 1)
    monkeypatch.setattr(module, "_ANSWER", 60.0)
    intake = FakeIntake()
    intake.gate.clear()
    large = 200_000
    source = HttpSource(config(max_body=large), intake, b"k" * 32)
    async with running(source):
        await until(lambda: source.address)
        url, under_way = str(source.address), []
        for number in range(2):
            under_way.append(asyncio.create_task(push(client, url, b"<%d>" % number + b"x" * (large - 9))))
            await until(lambda number=number: intake.scanned > number * large)  # type: ignore[misc]
        waits = asyncio.create_task(push(client, url, b"<2>" + b"x" * (large - 9)))
        await until(lambda: source._bodies.left < large // 2)
        # What waits takes all that may wait; what is small finds room, and waits in vain.
        assert await push(client, url, b"<3>" + b"x" * (large - 9)) == (503, "1")
        monkeypatch.setattr(module, "_ANSWER", 0.1)
        assert await push(client, url, b"<3>") == (503, "5")
        monkeypatch.setattr(module, "_ANSWER", 60.0)
        intake.gate.set()
        assert [(await answer)[0] for answer in (*under_way, waits)] == [204] * 3
        assert (await push(client, url, b"<3>"))[0] == 204

        monkeypatch.setattr(module, "_ANSWER", 0.1)
        intake.gate.clear()
        assert await push(client, url, b"<4>") == (503, "5")
        monkeypatch.setattr(module, "_ANSWER", 60.0)
        intake.gate.set()
        assert await push(client, url, b"<4>") == (204, "")
    assert intake.marks == [0, 1, 2, 3, 4]
    assert not intake.lost


async def test_who_is_no_longer_waited_for_holds_its_place_until_it_ends(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    go, reading = threading.Event(), []

    def slow(body: bytes) -> Iterator[Pushed]:
        reading.append(body)
        go.wait(60)
        yield Pushed(body, "p")

    monkeypatch.setattr(module, "from_lines", slow)
    monkeypatch.setattr(module, "_ANSWER", 0.1)
    async with listening(FakeIntake()) as url:
        sending = [asyncio.create_task(push(client, url, b"<%d>" % number)) for number in range(5)]
        await until(lambda: sum(task.done() for task in sending) == 4)
        assert len(reading) == 1
        go.set()
        assert {(await task)[0] for task in sending} == {503}


async def test_what_cannot_be_used_is_refused_counted_and_stops_nothing(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake = FakeIntake()
    otlp = {"path": "/v1/logs", "Content_Type": "application/x-protobuf"}
    async with listening(intake, max_body=400_000) as url:
        bomb = gzip.compress(bytes(64 << 20))
        assert (await push(client, url, bomb, Content_Encoding="gzip"))[0] == 413
        assert (await push(client, url, b"x" * 400_001))[0] == 413
        assert (await push(client, url, b"no gzip", Content_Encoding="gzip"))[0] == 400
        assert (await push(client, url, b"x", Content_Encoding="br"))[0] == 400
        assert (await push(client, url, b"\xff\xff\xff", **otlp))[0] == 400
        assert (await push(client, url, b" \n" * 200_000))[0] == 204
        monkeypatch.setattr("monitor.sources.pushed.MOST", 1000)
        assert (await push(client, url, b" \n" * 1001))[0] == 413
        assert (await push(client, url, b"x", Content_Type="application/cbor"))[0] == 415
        assert (await push(client, url, bytes(range(256)) * 4))[0] == 415
        assert (await push(client, url, b"\xc1", Content_Type="application/msgpack"))[0] == 400
        assert (await push(client, url, b'{"resourceLogs": [', "/v1/logs", Content_Type="application/json"))[0] == 400
        assert (await push(client, url, b"x", "/v1/logs", Content_Type="text/plain"))[0] == 415
        assert (await push(client, url, b"\xff", "/loki/api/v1/push"))[0] == 400
        assert (await push(client, url, b"x", "/somewhere"))[0] == 404
        assert (await push(client, url, b"<1>", Origin="https://page.example"))[0] == 403
        assert (await push(client, url, b"<2>"))[0] == 204
    assert intake.refused == {**{"too_large": 2, "packed": 3, "form": 3, "peer_refused": 1, "too_many": 1, "binary": 2}}
    assert intake.marks == [2]


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/services/collector/event", "application/json", b'{"event": "a"}' * 1001),
        ("/_bulk", "application/x-ndjson", b'{"create":{}}\n{"message":"a"}\n' * 1001),
        ("/", "application/msgpack", msgpack.packb([1, {"log": "a"}]) * 1001),
        ("/", "application/json", b'[' + b'{"message":"a"},' * 1000 + b'{"message":"a"}]'),
        ("/", "application/json", b'{"message":"a"}\n' * 1001),
        ("/loki/api/v1/push", "application/json",
         orjson.dumps({"streams": [{"stream": {}, "values": [["1", "a"]] * 1001}]})),
        ("/v1/logs", "application/json", orjson.dumps(
            {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "a"}}] * 1001}]}]})),
    ],
)  # fmt: skip
async def test_more_records_than_are_taken_are_too_large(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, path: str, kind: str, body: bytes
) -> None:
    monkeypatch.setattr("monitor.sources.pushed.MOST", 1000)
    intake = FakeIntake()
    async with listening(intake) as url:
        assert (await push(client, url, body, path, Content_Type=kind))[0] == 413
    assert intake.refused == {"too_many": 1}


async def test_nothing_of_a_refused_body_waits_for_the_collector(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake = FakeIntake()
    json = {"Content_Type": "application/json"}
    async with listening(intake, max_body=5000) as url:
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            assert (await push(client, url, b'{"resourceLogs": [', "/v1/logs", **json))[0] == 400
            assert (await push(client, url, gzip.compress(bytes(6000)), Content_Encoding="gzip"))[0] == 413
            assert (await push(client, url, bytes(range(256)) * 4))[0] == 415
            assert (await push(client, url, b"x\n{}", "/_bulk"))[0] == 400
            monkeypatch.setattr(module, "_ANSWER", 0.1)
            intake.gate.clear()
            assert (await push(client, url, b"<1>"))[0] == 503
            intake.gate.set()
            gc.collect()
            kept = [one for one in gc.garbage if isinstance(one, Exception)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
    # An exception in a circle keeps the frames it went through, and these the body.
    assert not kept


async def test_a_body_is_read_of_nobody_who_has_no_token(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUSH_TOKEN", "the token of this test")
    intake = FakeIntake()
    async with listening(intake, token="env:PUSH_TOKEN") as url:
        for given in ("", "Bearer wrong", "Bearer ", "Basic !!", "Bearer \u00e9"):
            assert (await push(client, url, b"<1>", Authorization=given))[0] == 401
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        assert b" 401 " in await asyncio.wait_for(reader.readline(), 120)  # before any of the body has come
        writer.close()
        await writer.wait_closed()
        assert (await push(client, url, b"<2>", Authorization="Bearer the token of this test"))[0] == 204
        basic = aiohttp.encode_basic_auth("alloy", "the token of this test")
        assert (await push(client, url, b"<3>", Authorization=basic))[0] == 204
        monkeypatch.delenv("PUSH_TOKEN")
        assert await push(client, url, b"<4>", Authorization=basic) == (503, "5")
        assert "PUSH_TOKEN" in intake.problems["token"]
    assert intake.marks == [2, 3]
    assert intake.refused["unauthorized"] == 6


async def test_who_must_show_a_certificate(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    intake = FakeIntake()
    ca, key = certificate(tmp_path)
    keys = {"certificate": str(ca), "private_key": f"file:{key}", "client_ca": str(ca)}
    async with listening(intake, max_connections=8, **keys) as url:
        assert url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=ca)
        with pytest.raises(aiohttp.ClientError):
            await client.post(url, data=b"<1>", ssl=context)
        known = ssl.create_default_context(cafile=ca)
        known.load_cert_chain(ca, key)
        port = int(url.rpartition(":")[2])
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
        with pytest.raises((aiohttp.ClientError, OSError)):  # those that shake no hands count, too
            await client.post(url, data=b"<2>", ssl=known)
        for _, writer in silent:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        async with client.post(url, data=b"<3>" + b"x" * 500_000, ssl=known) as answer:
            assert answer.status == 204
    assert intake.marks == [3]


async def test_only_who_is_allowed(client: aiohttp.ClientSession) -> None:
    intake = FakeIntake()
    async with listening(intake, allow=["192.0.2.0/24"]) as url:
        assert (await push(client, url, b"<1>"))[0] == 403
    assert not intake.found


async def test_an_address_that_is_taken_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST", 0.05)
    intake = FakeIntake()
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    source = HttpSource(config(listen=f"127.0.0.1:{port}"), intake, b"k" * 32)
    async with running(source):
        await until(lambda: intake.begun)
        assert "in use" in intake.problems["listen"]
        server.close()
        await server.wait_closed()
        await until(lambda: source.address)
        assert not intake.problems


async def test_run_once_has_nothing_to_read() -> None:
    intake = FakeIntake()
    await asyncio.wait_for(HttpSource(config(), intake, b"k" * 32).run(True), 120)
    assert intake.begun


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"listen": "4318"}, "HOST:PORT"),
        ({"listen": "0.0.0.0:4318"}, "open to other machines"),
        ({"listen": "0.0.0.0:4318", "token": "env:X"}, "token would go over the network unencrypted"),
        ({"token": "literal"}, "must be a reference"),
        ({"allow": ["web"]}, "addresses or networks"),
        ({"max_body": 1}, "greater"),
    ],
)
def test_keys_that_do_not_fit(keys: dict[str, Any], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        config(**keys)
    config(listen="0.0.0.0:4318", token="env:X", insecure=True)
