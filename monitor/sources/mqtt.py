"""Messages of a broker of MQTT, with a session that outlives us: acknowledged once what was found in them is safe.

What is not acknowledged the broker sends again, with the same number: its findings have the same ids then.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import aiomqtt
import orjson
import structlog
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions
from pydantic import Field, field_validator

from monitor.common.backoff import backoff
from monitor.common.duration import Duration
from monitor.common.http import RemoteError, network_error
from monitor.common.mqtt import BrokerKeys, connection, mqtt_error
from monitor.common.tasks import cancel, within
from monitor.common.text import token_like
from monitor.domain.model import Block, Position
from monitor.intake.protocol import Intake
from monitor.sources.base import LogConfig, SourceConfig, Where, nothing_yet
from monitor.sources.lines import facts
from monitor.sources.pushed import FormError, identity, text_of
from monitor.sources.settle import SourceQueue

__all__ = ["MqttSource", "MqttSourceConfig"]

log = structlog.get_logger(__name__)

_FIRST, _LONGEST = 1.0, 60.0  # seconds before the broker is tried again
_QUIET = 2.0  # seconds without a message, after which `once` has all there is
_DRAIN = 3.0  # seconds for what waits for the scanner at the end
_SAME = 3600  # seconds within which the same number, topic and text are the same message
_NOT_THERE = 17  # the code of a subscription that is given up and was not there
_REFUSED = 128  # from this code on a subscription was refused


EXAMPLE = """
# Messages of an MQTT broker, with a session that outlives the monitor.
#[[sources]]
#name = "devices"
#type = "mqtt"
#audit = "vault"                # as for files
#environment = "staging"        # default: "", as for files
#host = "127.0.0.1"
#port = 0                       # 0: 1883, or 8883 with tls
#topics = ["logs/#", "$share/monitors/events/+"]
#qos = 1                        # 0: what comes while the monitor is away or too slow is lost
#client_id = "exposure-monitor-1"   # default: made of the host's name; names the session
#session = "7d"                 # for how long the broker keeps messages (MQTT 5)
#receive_maximum = 256          # messages that the broker sends before it waits (MQTT 5)
#fields = ["message"]           # default: all; of messages that are JSON
#version = "5"                  # or "3.1.1"
#tls = true                     # default: false
#ca_file = "/etc/ssl/certs/ca-certificates.crt"
#insecure = false               # true: the password may travel unencrypted
#username = "monitor"
#password = "credential:mqtt-password"
"""


class MqttSourceConfig(LogConfig, BrokerKeys):
    """Reads messages of an MQTT broker, with a session that outlives the monitor.

    - `topics`: filters; `$share/GROUP/FILTER` shares the messages with the others of the group
    - `qos`: 0: what comes while the monitor is away or too slow is lost
    - `client_id` (from the host's name and the source's): names the session at the broker. Set it where the host's name
      changes, as in containers; each monitor needs its own
    - `session`: for how long the broker stores messages while the monitor is away (MQTT 5)
    - `receive_maximum`: messages that the broker sends before it waits for them to be stored (MQTT 5)
    - `fields` (all): of a message that is a JSON object, these alone are scanned; of one that has none of them all of
      it

    **Reads** with `qos = 1` at least once: a message is acknowledged once what was found is safe; what comes again has
    the same ids. **Can lose** what the broker drops: its queue for a client that is away is bounded, and so is its
    life; reasons `session_lost` and `share_lost` (how much, nobody can know). With `qos = 0`, or of what was published
    so, it reads at most once: what was published while the monitor was away, and what was received and not stored at a
    SIGKILL, is lost; reason `qos0_dropped`, when 8 MiB wait.
    """

    reach: ClassVar[tuple[str, ...]] = ("host", "port", "client_id", "topics")
    type: Literal["mqtt"] = "mqtt"
    topics: tuple[str, ...] = Field(min_length=1)
    qos: Literal[0, 1] = 1
    client_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.:-]{1,120}$")
    session: Duration = Field(default=604_800.0, gt=0)
    receive_maximum: int = Field(default=256, ge=1, le=65535)
    fields: tuple[str, ...] = ()

    @field_validator("topics")
    @classmethod
    def _filters(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for topic in value:
            levels = topic.split("/")
            if levels[0] == "$share":
                if len(levels) < 3 or not levels[1] or set(levels[1]) & set("+#"):
                    raise ValueError("a shared topic must be $share/GROUP/FILTER")
                levels = levels[2:]
            wrong = any("#" in level and level != "#" for level in levels) or "#" in levels[:-1]
            wrong |= any("+" in level and level != "+" for level in levels)
            if wrong or not topic or "\0" in topic or levels == [""] or len(topic.encode()) > 1000:
                raise ValueError('must be topic filters, such as "logs/#" or "+/errors": # stands last, each a level')
        return value

    @field_validator("client_id")
    @classmethod
    def _no_token(cls, value: str | None) -> str | None:
        if value is not None and token_like(value):
            raise ValueError("looks like a secret, and it is shown: choose another")
        return value


class MqttSource:
    """See `MqttSourceConfig`. The position holds the filters that the session has; how far it is the broker knows."""

    Config: ClassVar[type[SourceConfig]] = MqttSourceConfig
    present = staticmethod(nothing_yet)

    def __init__(self, config: MqttSourceConfig, intake: Intake, key: bytes) -> None:
        self.config, self._intake, self._key = config, intake, key
        self._identifier = config.client_id or f"exposure-monitor-in-{socket.gethostname()}-{config.name}"
        self._place = f"mqtt:{config.host}:{config.port}:{self._identifier}"
        self._queue = SourceQueue(intake)
        self._heard = 0.0  # monotonic time of the last message

    @staticmethod
    def where(positions: Mapping[str, Mapping[str, Any]]) -> Where:
        """How far it is the broker knows."""
        topics = sum(len(state.get("topics", ())) for state in positions.values())
        return Where(f"session at the broker, {topics} topics")

    async def run(self, once: bool) -> None:
        """Follow until cancelled; with `once`, until the broker has had nothing for a while."""
        settling = asyncio.create_task(self._queue.run())
        following = asyncio.create_task(self._follow(once))
        try:
            done, _ = await asyncio.wait({settling, following}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await cancel(following)
            await cancel(settling)

    async def _follow(self, once: bool) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                await self._session(once)
                return
            except aiomqtt.MqttError as error:
                failure = mqtt_error(error)
            except RemoteError as error:  # a credential that cannot be read
                failure = error
            except (OSError, ValueError) as error:
                failure = network_error(error)
            self._intake.degraded("broker", str(failure))
            await self._intake.started()
            if once:
                raise failure
            failures = 1 if time.monotonic() - began > _LONGEST else failures + 1
            await asyncio.sleep(backoff(failures, _FIRST, _LONGEST))

    # One connection

    async def _session(self, once: bool) -> None:
        """Until it ends. Raises what tells why."""
        if self.config.client_id is None:
            self._go_on_as(await self._intake.positions())
        options = await connection(self.config)
        if self.config.version == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = min(int(self.config.session), 0xFFFFFFFF)
            properties.ReceiveMaximum = self.config.receive_maximum
            options |= {"clean_start": False, "properties": properties}
        else:
            options["clean_session"] = False
        async with _Subscriber(self._take, identifier=self._identifier, **options) as client:
            try:
                await self._subscribe(client)
                self._intake.degraded("broker", None)
                log.info("subscribed", source=self.config.name, topics=len(self.config.topics))
                await self._intake.started()
                await (self._quiet(client) if once else client.over())
            finally:
                # What was received is acknowledged while there is a connection; the rest the broker sends again.
                await within(_DRAIN, self._queue.empty())

    def _go_on_as(self, saved: Mapping[str, Mapping[str, Any]]) -> None:
        """A source that got another name goes on with the session of the former: what is queued for it is there."""
        begin = f"mqtt:{self.config.host}:{self.config.port}:"
        former = [place for place in saved if place.startswith(f"{begin}exposure-monitor-in-{socket.gethostname()}-")]
        if self._place not in saved and len(former) == 1:
            self._place = former[0]
            self._identifier = self._place.removeprefix(begin)

    async def _subscribe(self, client: _Subscriber) -> None:
        saved = (await self._intake.positions()).get(self._place)
        had: Sequence[str] = saved.get("topics", ()) if saved is not None else ()
        if saved is not None and not client.session_present:
            # The session expired, or the broker lost it: what it would have kept is gone, if there was anything.
            self._intake.missed("session_lost", 0, self._place, unit="messages")
        elif saved is not None and saved.get("sentinels"):
            await self._look_at_shares(client, had)
        for topic in had:
            if topic not in self.config.topics:
                await client.unsubscribe(topic)
        for topic in self.config.topics:
            if self.config.version == "5":
                # What is retained comes with a new subscription only, not with each connection.
                how: dict[str, Any] = {"options": SubscribeOptions(qos=self.config.qos, retainHandling=1)}
            else:
                how = {"qos": self.config.qos}
            [code] = await client.subscribe(topic, **how)
            number = code if isinstance(code, int) else code.value
            refused = number >= _REFUSED
            self._intake.degraded(f"topic {topic}", f"the broker refuses it (code {number})" if refused else None)
        for sentinel in self._sentinels(self.config.topics):
            await client.subscribe(sentinel, qos=0)
        state = {"topics": list(self.config.topics), "sentinels": bool(self._sentinels(self.config.topics))}
        if saved != state:
            await self._intake.record((), [Position(self.config.name, self._place, state)])

    async def _look_at_shares(self, client: _Subscriber, had: Sequence[str]) -> None:
        """Tell of a broker that kept the session and not its shares: mosquitto after a restart. Nothing is queued for
        them until they are subscribed to anew, and the broker does not say so; but what is not there cannot be given
        up. That is tried with a share of nothing: to give up another one would lose what comes meanwhile."""
        for sentinel in self._sentinels(had):
            await client.unsubscribe(sentinel)
            if client.missing:
                self._intake.missed("share_lost", 0, sentinel.split("/")[1], unit="messages")

    def _sentinels(self, topics: Sequence[str]) -> list[str]:
        """A share for each group, of a topic that nobody publishes under. MQTT 3.1.1 knows no answer to ask for."""
        groups = dict.fromkeys(topic.split("/")[1] for topic in topics if topic.startswith("$share/"))
        return [f"$share/{group}/exposure-monitor/{self._identifier}" for group in groups if self.config.version == "5"]

    async def _quiet(self, client: _Subscriber) -> None:
        self._heard = time.monotonic()
        while (left := self._heard + _QUIET - time.monotonic()) > 0:
            await within(left, client.over())
        await self._queue.empty()

    # Messages

    def _take(self, client: _Subscriber, message: MQTTMessage) -> None:
        """Must not raise: paho would hand on the same message again at once, and for ever."""
        self._heard = time.monotonic()
        if message.qos == 0:
            if self._queue.full:
                # Nobody sends it again, and there is no way to hold up only these.
                self._intake.missed("qos0_dropped", len(message.payload), _topic(message))
                return
            self._queue.put(self._block(message, secrets.token_bytes(8)))
            return
        self._queue.put(self._block(message, b"%d" % message.mid), lambda: client.acknowledge(message))

    def _block(self, message: MQTTMessage, number: bytes) -> Block:
        topic, payload = _topic(message), bytes(message.payload)
        again = b"%d" % (time.time() // _SAME)
        return Block(
            source=self.config.name,
            path=topic,
            generation=identity(self._key, number, again, topic.encode("utf-8", "replace"), payload).hex(),
            offset=0,
            data=self._text(payload),
            time=time.time(),
            attributes={"topic": topic, **facts(payload)},
        )

    def _text(self, payload: bytes) -> bytes:
        """The fields that are wanted, or all of it where there are none of them."""
        if self.config.fields:
            with contextlib.suppress(orjson.JSONDecodeError, FormError):
                item = orjson.loads(payload)
                if isinstance(item, dict):
                    return text_of(*(item.get(name) for name in self.config.fields)) or payload
        return payload


def _topic(message: MQTTMessage) -> str:
    try:
        return str(message.topic)
    except UnicodeDecodeError:  # not every broker looks at what its clients publish under
        return "a topic that is no text"


class _Subscriber(aiomqtt.Client):
    """A client that hands on each message as it comes, and acknowledges it when it is told to."""

    def __init__(self, take: Any, **options: Any) -> None:
        super().__init__(**options)
        self.session_present = False
        self.missing = False  # what was given up last was not there
        self._take = take
        self._client.manual_ack_set(True)

    async def over(self) -> None:
        """Raises aiomqtt.MqttError when the connection has ended."""
        async for _ in self.messages:
            pass

    def acknowledge(self, message: MQTTMessage) -> None:
        self._client.ack(message.mid, message.qos)

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        self.session_present = bool(flags.session_present)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_unsubscribe(self, client: Any, userdata: Any, mid: int, reason_codes: Any, properties: Any = None) -> None:
        codes = reason_codes if isinstance(reason_codes, list) else [reason_codes]
        self.missing = any(getattr(code, "value", code) == _NOT_THERE for code in codes)
        super()._on_unsubscribe(client, userdata, mid, reason_codes, properties)

    def _on_message(self, client: Any, userdata: Any, message: MQTTMessage) -> None:
        self._take(self, message)
