from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from hypothesis import given
from pydantic import ValidationError

from monitor.common.http import Http, RemoteError
from monitor.common.notification import Notification
from sinks import mqtt
from sinks.mqtt import Mqtt, MqttSinkConfig, topic
from tests.fakes.mosquitto import broker
from tests.fakes.notifications import EXAMPLES, event, incident, notification, notifications
from tests.fakes.peer import Peer
from tests.fakes.ports import free_port
from tests.fakes.smtp import certificate
from tests.fakes.webhook import check_payload

Put = Callable[[str, str], str]


@asynccontextmanager
async def _broker(credential: str, folder: Path) -> AsyncIterator[Peer]:
    received: list[bytes] = []

    async def listen(client: aiomqtt.Client) -> None:
        async for message in client.messages:
            payload = bytes(message.payload)  # type: ignore[arg-type]
            received.append(str(message.topic).encode() + b"\n" + payload)

    def elsewhere(sink: Any, patch: pytest.MonkeyPatch, **keys: Any) -> None:
        patch.setattr(mqtt, "TIMEOUT", 1.0)
        sink._config = sink._config.model_copy(update=keys)

    async with (
        broker(folder, login=("me", credential)) as port,
        aiomqtt.Client("127.0.0.1", port, username="me", password=credential) as client,
    ):
        await client.subscribe("#")
        listening = asyncio.create_task(listen(client))
        yield Peer(
            {"host": "127.0.0.1", "port": port, "username": "me", "password": "env:MQTT_PASSWORD"},
            {
                "down": lambda sink, patch: elsewhere(sink, patch, port=free_port()),
                "login": lambda sink, patch: patch.setenv("MQTT_PASSWORD", credential[::-1]),
                "name": lambda sink, patch: elsewhere(sink, patch, host="name.invalid"),
            },
            {"MQTT_PASSWORD": credential},
            lambda: received,
        )
        listening.cancel()


PEERS = {"mqtt": _broker}


def sink(port: int, **keys: Any) -> Mqtt:
    return Mqtt(MqttSinkConfig(name="bus", type="mqtt", host="127.0.0.1", port=port, **keys), Http())


async def test_publishes_the_payload_on_a_topic_of_its_severity(tmp_path: Path) -> None:
    async with broker(tmp_path) as port, aiomqtt.Client("127.0.0.1", port) as listener:
        await listener.subscribe("exposure-monitor/#", qos=1)
        target = sink(port)
        await asyncio.gather(target.send(notification()), target.send(event()))
        received = [await anext(listener.messages) for _ in range(2)]
    assert {str(message.topic) for message in received} == {"exposure-monitor/critical", "exposure-monitor/high"}
    assert {message.qos for message in received} == {1}
    payloads = [json.loads(bytes(message.payload)) for message in received]  # type: ignore[arg-type]
    assert [check_payload(payload) for payload in payloads] == [[], []]
    assert {payload["id"] for payload in payloads} == {"42", "43"}


async def test_a_broker_that_comes_back_gets_the_next_message(tmp_path: Path) -> None:
    port = free_port()
    target = sink(port)
    for _ in range(2):
        with pytest.raises(RemoteError, match="Connection refused") as caught:
            await target.send(notification())
        assert caught.value.retry
        async with broker(tmp_path, port=port):
            await target.send(notification())


async def test_a_topic_that_the_broker_does_not_let_us_write_is_a_refusal(tmp_path: Path) -> None:
    async with broker(tmp_path, access="topic readwrite allowed/#\ntopic read exposure-monitor/#") as port:
        with pytest.raises(RemoteError, match="check its access rules") as caught:
            await sink(port).send(notification())
        assert not caught.value.retry
        await sink(port, topic="allowed/{severity}").send(notification())
        # The older protocol has no word for it: a success that is none.
        await sink(port, version="3.1.1").send(notification())


async def test_a_broker_of_the_older_protocol_says_which_key_to_set(tmp_path: Path) -> None:
    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(bytes.fromhex("20020001"))  # CONNACK: unacceptable protocol version
        await writer.drain()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(old, "127.0.0.1", 0) as server:
        with pytest.raises(RemoteError, match=r'set version = "3\.1\.1"') as caught:
            await sink(server.sockets[0].getsockname()[1]).send(notification())
    assert not caught.value.retry


# paho leaves the socket of a failed handshake to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_login_over_tls(tmp_path: Path, credential: Put) -> None:
    pem = certificate(tmp_path)
    async with broker(tmp_path, login=("monitor", "canary-password"), certificate=pem) as port:
        keys: dict[str, Any] = {"tls": True, "username": "monitor"}
        right, wrong = credential("right", "canary-password"), credential("wrong", "canary-nonsense")
        await sink(port, password=right, ca_file=pem[0], **keys).send(notification())
        with pytest.raises(RemoteError, match="check username and password") as caught:
            await sink(port, password=wrong, ca_file=pem[0], **keys).send(notification())
        assert not caught.value.retry
        assert "canary" not in str(caught.value)
        with pytest.raises(RemoteError, match="certificate") as caught:
            await sink(port, password=right, **keys).send(notification())
        assert caught.value.retry
        gc.collect()


async def test_a_silent_or_rude_broker_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "TIMEOUT", 0.3)
    monkeypatch.setattr("monitor.common.mqtt.TIMEOUT", 0.3)
    release = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    for behaviour in (silent, rude):
        async with await asyncio.start_server(behaviour, "127.0.0.1", 0) as server:
            with pytest.raises(RemoteError) as caught:
                await sink(server.sockets[0].getsockname()[1]).send(notification())
            assert caught.value.retry
            release.set()


def test_topics_are_filled_in_safely() -> None:
    template = "alerts/{severity}/{rule}/{source}/{reason}"
    assert topic(template, notification()) == "alerts/critical/github-pat/services/new"
    assert topic(template, notification(incident(rule="a/+#{reason}"))) == "alerts/critical/a____reason_/services/new"
    assert topic(template, event()) == "alerts/high/none/none/operational"


@EXAMPLES
@given(notifications)
def test_any_topic_can_be_published_on(message: Notification) -> None:
    filled = topic("a/{rule}/{source}", message)
    assert filled.count("/") == 2
    assert not set(filled) & set("+#\0{}")
    assert len(filled.encode()) < 65536


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"topic": "a/{fingerprint}"}, "may hold only {severity}"),
        ({"topic": "a/#"}, "without wildcards"),
        ({"topic": "$SYS/x"}, "without wildcards"),
        ({"topic": ""}, "may hold only"),
        ({"password": "env:P"}, "password needs username"),
        ({"password": "hidden", "username": "u"}, "must be a reference"),
        ({"ca_file": "/ca.pem"}, "ca_file needs tls"),
        ({"port": 70000}, "less than or equal to 65535"),
    ],
)
def test_configuration_errors_are_clear(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        MqttSinkConfig(name="bus", type="mqtt", host="broker", **keys)
    assert "hidden" not in str(caught.value)
