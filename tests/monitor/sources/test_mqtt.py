from __future__ import annotations

import asyncio
import contextlib
import gc
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiomqtt
import pytest
from paho.mqtt.client import MQTTMessage
from pydantic import ValidationError

from monitor.common.http import RemoteError
from monitor.sources import mqtt as module
from monitor.sources.mqtt import MqttSource, MqttSourceConfig
from tests.fakes.intake import FakeIntake, running, until
from tests.fakes.mosquitto import broker
from tests.fakes.peer import Way
from tests.fakes.ports import free_port
from tests.fakes.smtp import certificate

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


@contextlib.asynccontextmanager
async def way_in(folder: Path) -> AsyncIterator[Way]:
    async with broker(folder) as port:

        async def feed(lines: Sequence[str]) -> None:
            async with aiomqtt.Client("127.0.0.1", port) as client:
                for line in lines:
                    await client.publish("logs/app", line, 1)

        yield Way({"host": "127.0.0.1", "port": port, "topics": ["logs/#"]}, feed)


def config(port: int, **keys: Any) -> MqttSourceConfig:
    keys = {"host": "127.0.0.1", "port": port, "topics": ["logs/#"], "client_id": "test", **keys}
    return MqttSourceConfig.model_validate({"name": "bus", "type": "mqtt", **keys})


@contextlib.asynccontextmanager
async def following(intake: FakeIntake, port: int, **keys: Any) -> AsyncIterator[MqttSource]:
    source = MqttSource(config(port, **keys), intake, b"k" * 32)
    intake.begun = False
    async with running(source):
        await until(lambda: intake.begun)
        yield source


async def publish(port: int, *texts: str, topic: str = "logs/app", qos: int = 1, **keys: Any) -> None:
    async with aiomqtt.Client("127.0.0.1", port, **keys) as client:
        for text in texts:
            await client.publish(topic, text, qos)


@VERSIONS
async def test_messages_are_read_as_they_come(tmp_path: Path, version: str) -> None:
    intake = FakeIntake()
    async with broker(tmp_path) as port, following(intake, port, version=version, topics=["logs/#", "+/errors"]):
        await publish(port, *(f"text <{number}>" for number in range(50)))
        await publish(port, "<50>", topic="web/errors", qos=2)
        await publish(port, "<51>", qos=0)
        await publish(port, "<99>", topic="other")
        await until(lambda: intake.marks == list(range(52)))
        assert {seen.path for seen in intake.found.values()} == {"logs/app", "web/errors"}
        assert intake.hits == 52
    assert not intake.lost
    assert not intake.problems


@VERSIONS
async def test_what_was_not_kept_when_it_was_killed_comes_again_and_is_found_once(tmp_path: Path, version: str) -> None:
    intake = FakeIntake()
    async with broker(tmp_path) as port:
        async with following(intake, port, version=version):
            await publish(port, "<1>")
            await until(lambda: intake.marks == [1])
        first = FakeIntake()
        first.saved = intake.saved
        first.gate.clear()
        source = MqttSource(config(port, version=version), first, b"k" * 32)
        task = asyncio.create_task(source.run(False))
        await until(lambda: first.begun)
        await publish(port, *(f"<{number}>" for number in range(2, 12)))
        await until(lambda: first.scanned)
        # As a SIGKILL would: between what was received and what was kept.
        module_drain, module._DRAIN = module._DRAIN, 0.0
        task.cancel()
        await asyncio.wait([task])
        module._DRAIN = module_drain
        assert not first.found

        await publish(port, "<12>")  # while nobody is there
        async with following(intake, port, version=version):
            await until(lambda: intake.marks == list(range(1, 13)), lambda: str(intake.marks))
        generations = {seen[0] for seen in intake.found}
        async with following(intake, port, version=version):  # all was acknowledged
            await publish(port, "<13>")
            await until(lambda: intake.marks == list(range(1, 14)))
        assert len(intake.found) == 13
        assert len(generations) == 12


async def test_over_a_restart_of_the_broker_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST", 0.05)
    intake = FakeIntake()
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        async with broker(tmp_path, port=port, keeps=True):
            await stack.enter_async_context(following(intake, port))
            await publish(port, "<1>")
            await until(lambda: intake.marks == [1])
            intake.gate.clear()
            await publish(port, "<2>", "<2>")
            await until(lambda: intake.scanned > 3)
        await until(lambda: intake.problems)
        assert "broker" in intake.problems
        async with broker(tmp_path, port=port, keeps=True):
            await until(lambda: not intake.problems)
            intake.gate.set()
            await publish(port, "<3>")
            await until(lambda: intake.marks == [1, 2, 2, 3])
            assert intake.hits == 6  # two came again, with their numbers
            assert not intake.lost


async def test_a_source_under_another_name_goes_on_with_its_session(tmp_path: Path) -> None:
    intake = FakeIntake()
    async with broker(tmp_path) as port:
        async with following(intake, port, client_id=None):
            await publish(port, "<1>")
            await until(lambda: intake.marks == [1])
        await publish(port, "<2>")  # the broker keeps it for who was there
        again = MqttSource(config(port, client_id=None).model_copy(update={"name": "another"}), intake, b"k" * 32)
        async with running(again):
            await until(lambda: intake.marks == [1, 2], lambda: str(intake.marks))
    assert not intake.lost


async def test_a_session_that_the_broker_has_lost_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST", 0.05)
    intake = FakeIntake()
    port = free_port()
    for _ in range(2):
        async with broker(tmp_path, port=port):
            async with following(intake, port):
                await publish(port, "<1>")
                await until(lambda: intake.marks)
    assert [(reason, count) for reason, count, _ in intake.lost] == [("session_lost", 0)]


async def test_a_group_shares_its_messages(tmp_path: Path) -> None:
    one, other = FakeIntake(), FakeIntake()
    shared = {"topics": ["$share/monitors/logs/#"]}
    async with (
        broker(tmp_path) as port,
        following(one, port, client_id="one", **shared),
        following(other, port, client_id="other", **shared),
    ):
        await publish(port, *(f"<{number}>" for number in range(100)))
        await until(lambda: sorted(one.marks + other.marks) == list(range(100)))
        assert one.marks
        assert other.marks


async def shared_over_a_restart(folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """mosquitto keeps the session and what is queued, and not the share itself: what comes before we are back is gone,
    and told; whatever is missing is told."""
    monkeypatch.setattr(module, "_FIRST", 0.05)
    rng = random.Random(seed)
    intake, port, sent = FakeIntake(), free_port(), 0

    async def more(least: int) -> None:
        nonlocal sent
        numbers = range(sent + 1, sent + rng.randrange(least, 20))
        await publish(port, *(f"<{number}>" for number in numbers))
        sent += len(numbers)

    keys = {"topics": ["$share/monitors/logs/#"]}
    for turn in range(3):
        async with broker(folder, port=port, keeps=True):
            if turn and rng.random() < 0.7:
                await more(2)  # before we are back
            async with following(intake, port, **keys):
                await more(2)
                last = sent
                await until(lambda last=last: last in intake.marks)  # type: ignore[misc]
            if rng.random() < 0.7:
                await more(2)  # while we are away: the share is there, and they are queued
    assert len(set(intake.marks)) == len(intake.marks)
    assert set(intake.marks) <= set(range(1, sent + 1))
    told = [reason for reason, _, _ in intake.lost]
    assert told == ["share_lost"] * 2


@pytest.mark.parametrize("seed", range(1))
async def test_a_share_that_a_broker_forgot_over_a_restart_is_told(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shared_over_a_restart(tmp_path, seed, monkeypatch)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(100, 120))
async def test_a_share_over_many_restarts(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    await shared_over_a_restart(tmp_path, seed, monkeypatch)


async def test_a_share_that_is_there_is_not_told_lost(tmp_path: Path) -> None:
    intake = FakeIntake()
    async with broker(tmp_path, keeps=True) as port:
        for number in range(1, 4):
            async with following(intake, port, topics=["$share/monitors/logs/#"]):
                await publish(port, f"<{number}>")
                await until(lambda n=number: n in intake.marks)  # type: ignore[misc]
        async with following(intake, port, topics=["logs/#"]):
            await publish(port, "<4>")
            await until(lambda: 4 in intake.marks)
    assert not intake.lost


async def test_the_broker_waits_for_us(tmp_path: Path) -> None:
    intake = FakeIntake()
    async with broker(tmp_path) as port, following(intake, port, receive_maximum=5) as source:
        intake.gate.clear()
        await publish(port, *(f"<{number:04}>" for number in range(100)))
        await until(lambda: intake.scanned)
        await asyncio.sleep(0.2)
        assert source._queue.waiting <= 5 * 6
        intake.gate.set()
        await until(lambda: intake.marks == list(range(100)))


async def test_what_nobody_sends_again_is_counted_lost_when_too_much_waits(tmp_path: Path) -> None:
    intake = FakeIntake()
    async with broker(tmp_path) as port, following(intake, port):
        intake.gate.clear()
        text = "x" * (1 << 20)
        while not intake.lost:
            await publish(port, *[text] * 4, qos=0)
        assert intake.lost[0] == ("qos0_dropped", 1 << 20, "logs/app")
        intake.gate.set()
        await publish(port, "<1>")
        await until(lambda: intake.marks == [1])


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored:pytest.PytestUnraisableExceptionWarning")
async def test_tls_login_and_what_the_broker_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_PASSWORD", "a password of this test")
    monkeypatch.setattr("monitor.common.mqtt.TIMEOUT", 60.0)
    monkeypatch.setattr(module, "_FIRST", 0.05)
    intake = FakeIntake()
    ca, key = certificate(tmp_path)
    login = ("monitor", "a password of this test")
    keys: dict[str, Any] = {"tls": True, "ca_file": str(ca), "username": "monitor", "password": "env:MQTT_PASSWORD"}
    async with broker(tmp_path, login=login, certificate=(ca, key), more="max_qos 2") as port:
        async with following(intake, port, **{**keys, "username": "another"}):
            assert "check username and password" in intake.problems["broker"]
        async with following(intake, port, **{**keys, "ca_file": None}):
            assert "certificate" in intake.problems["broker"], intake.problems
        async with following(intake, port, **{**keys, "host": "localhost"}):
            assert "certificate" in intake.problems["broker"], intake.problems
        async with following(intake, port, **{**keys, "password": "env:NO_SUCH"}):
            assert "NO_SUCH is not set" in intake.problems["broker"]
        monkeypatch.setattr("monitor.common.mqtt.TIMEOUT", 1.0)
        async with following(intake, port, username="monitor", password="env:MQTT_PASSWORD"):
            assert intake.problems["broker"]  # without TLS
        monkeypatch.setattr("monitor.common.mqtt.TIMEOUT", 60.0)
        intake.problems.clear()
        async with following(intake, port, **keys):
            assert not intake.problems
    gc.collect()


async def test_topics_that_are_not_wanted_any_more_are_given_up(tmp_path: Path) -> None:
    intake = FakeIntake()
    async with broker(tmp_path) as port:
        async with following(intake, port, topics=["logs/#", "old/#"]):
            await publish(port, "<1>", topic="old/x")
            await until(lambda: intake.marks == [1])
        async with following(intake, port, topics=["logs/#"]):
            await publish(port, "<2>", topic="old/x")
            await publish(port, "<3>")
            await until(lambda: 3 in intake.marks)
        assert intake.marks == [1, 3]


async def test_fields_of_json_and_what_it_says_of_itself(tmp_path: Path) -> None:
    intake = FakeIntake()
    async with broker(tmp_path) as port, following(intake, port, fields=["message", "more"]):
        await publish(port, '{"message": "<1>", "more": {"a": "<2>"}, "other": "<3>"}', "plain <4>", '{"other": "<5>"}')
        await until(lambda: intake.marks == [1, 2, 4, 5])


async def test_run_once_takes_what_the_broker_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_QUIET", 2.0)
    intake = FakeIntake()
    async with broker(tmp_path) as port:
        await MqttSource(config(port), intake, b"k" * 32).run(True)
        await publish(port, *(f"<{number}>" for number in range(500)))
        await MqttSource(config(port), intake, b"k" * 32).run(True)
        assert intake.marks == list(range(500))
    with pytest.raises(RemoteError):
        await MqttSource(config(port), intake, b"k" * 32).run(True)


@pytest.mark.parametrize(
    "topic", ["", "logs/#/more", "logs#", "lo+gs/x", "$share/logs", "$share//logs", "$share/g/", "a\0b", "x" * 2000]
)
def test_filters_that_are_none(topic: str) -> None:
    with pytest.raises(ValidationError, match=r"topic filters|shared topic"):
        config(1883, topics=[topic])


def test_filters() -> None:
    config(1883, topics=["#", "+", "a/+/b", "a/#", "$share/g/#", "$share/g/+/x", "/a", "ä/b"])
    with pytest.raises(ValidationError, match="at least 1"):
        config(1883, topics=[])


async def test_a_filter_that_a_broker_refuses_is_told_and_the_others_are_read() -> None:
    class Refusing:  # mosquitto grants every filter and delivers nothing instead
        session_present = False

        async def subscribe(self, topic: str, **_: object) -> list[int]:
            return [{"secret/#": 135, "old/#": 128}.get(topic, 1)]

    intake = FakeIntake()
    source = MqttSource(config(1883, topics=["logs/#", "secret/#", "old/#"]), intake, b"k" * 32)
    await source._subscribe(Refusing())  # type: ignore[arg-type]
    assert intake.problems == {
        "topic secret/#": "the broker refuses it (code 135)",
        "topic old/#": "the broker refuses it (code 128)",  # the only one that MQTT 3.1.1 knows
    }


async def test_no_message_is_a_trap(tmp_path: Path) -> None:
    """What cannot be taken paho hands on again at once, for ever."""
    intake = FakeIntake()
    deep = '{"msg": ' + "[" * 300 + '"text <0>"' + "]" * 300 + "}"
    async with broker(tmp_path) as port, following(intake, port, fields=("msg",)):
        await publish(port, deep, '{"msg": "text <1>"}')
        await until(lambda: intake.marks == [0, 1])
    source = MqttSource(config(1), intake, b"k" * 32)
    client: Any = SimpleNamespace(acknowledge=None)
    source._take(client, MQTTMessage(mid=1, topic=b"logs/\xff"))
