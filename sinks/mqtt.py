"""MQTT: the webhook's payload on a topic, at least once (QoS 1, the broker's acknowledgement awaited)."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import Field, field_validator, model_validator

from monitor.common.credential import Credential
from monitor.common.http import CLEAR, Http, RemoteError, loopback, network_error
from monitor.common.notification import Notification, Receipt
from monitor.common.text import clean
from sinks.base import Limits, SinkConfig
from sinks.text import NAME
from sinks.webhook import MOST, encode

__all__ = ["Mqtt", "MqttConfig", "topic"]

FIELDS = ("severity", "reason", "rule", "source")  # what a topic template may name
BODY = 128 * 1024  # bytes of a payload: what the tightest of the hosted brokers takes
TIMEOUT = 10.0  # seconds for the connection, and for each acknowledgement
NOT_AUTHORISED = frozenset({4, 5, 134, 135})  # CONNACK codes of MQTT 3.1.1 and 5
UNKNOWN_VERSION = 132
PASSING = frozenset({128, 131, 147, 149, 151})  # PUBACK codes of a broker that may take it another time
VERSIONS = {"5": aiomqtt.ProtocolVersion.V5, "3.1.1": aiomqtt.ProtocolVersion.V311}


class MqttConfig(SinkConfig):
    """`topic` may hold `{severity}`, `{reason}`, `{rule}` and `{source}`. `ca_file`: a CA of one's own for `tls`.

    `version`: in MQTT 3.1.1 a broker has no way to say that it refuses a message (by its access rules, say).
    """

    type: Literal["mqtt"]
    host: str = Field(min_length=1)
    port: int = Field(default=0, ge=0, le=65535)
    version: Literal["5", "3.1.1"] = "5"
    tls: bool = False
    ca_file: Path | None = None
    username: str | None = None
    password: Credential | None = None
    topic: str = f"{NAME}/{{severity}}"
    retain: bool = False

    @field_validator("topic")
    @classmethod
    def _topic(cls, value: str) -> str:
        rest = value
        for name in FIELDS:
            rest = rest.replace(f"{{{name}}}", "x")
        if not rest or "{" in rest or "}" in rest:
            raise ValueError(f"may hold only {', '.join(f'{{{name}}}' for name in FIELDS)} in braces")
        if rest.startswith("$") or any(c in "+#" or not c.isprintable() for c in rest) or len(rest.encode()) > 1000:
            raise ValueError("must be a topic to publish on: without wildcards, not starting with $")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.password and not self.username:
            raise ValueError("password needs username")
        if self.password and not (self.tls or self.insecure or loopback(self.host)):
            raise ValueError(f"password {CLEAR}")
        if self.ca_file and not self.tls:
            raise ValueError("ca_file needs tls = true")
        return self


class Mqtt:
    """Connects for each message: alerts are few, and a connection that is not kept cannot be lost unnoticed."""

    Config: ClassVar[type[SinkConfig]] = MqttConfig
    limits = Limits(BODY, MOST)

    def __init__(self, config: MqttConfig, http: Http) -> None:
        self._config = config
        # One session a sink and host: the broker drops a connection of ours that hangs when the next one comes.
        self._identifier = f"{NAME}-{socket.gethostname()}-{config.name}"
        self._lock = asyncio.Lock()

    async def send(self, notification: Notification) -> Receipt | None:
        config = self._config
        password = config.password.resolve("password") if config.password else None
        body = encode(notification, BODY)  # before the connection, whose time is short
        try:
            context = await asyncio.to_thread(ssl.create_default_context, cafile=config.ca_file) if config.tls else None
            async with (
                self._lock,
                asyncio.timeout(3 * TIMEOUT),
                _Publisher(
                    config.host,
                    config.port or (8883 if config.tls else 1883),
                    username=config.username,
                    password=password,
                    identifier=self._identifier,
                    tls_context=context,
                    protocol=VERSIONS[config.version],
                    timeout=TIMEOUT,
                ) as client,
            ):
                await client.publish(topic(config.topic, notification), body, 1, config.retain)
                answer = client.answer
        except aiomqtt.MqttError as error:
            failure = _mqtt_error(error)
        except (OSError, TimeoutError, ValueError) as error:  # ValueError: what paho refuses before it connects
            failure = network_error(error)
        else:
            if answer is None or not answer.is_failure:
                return None
            failure = _refusal(answer.value)
        raise failure

    async def close(self) -> None:
        return


class _Publisher(aiomqtt.Client):
    """A client that keeps the broker's answer to the only message it sends; aiomqtt drops it."""

    answer: ReasonCode | None = None

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: ReasonCode, properties: Any) -> None:
        self.answer = reason_code
        super()._on_publish(client, userdata, mid, reason_code, properties)


def _refusal(code: int) -> RemoteError:
    if code == 135:
        return RemoteError(
            "the broker does not let this user publish on the topic: check its access rules", retry=False
        )
    return RemoteError(f"the broker refused the message (code {code}): check topic", retry=code in PASSING)


def topic(template: str, notification: Notification) -> str:
    """The template filled in; values lose the characters that mean something in a topic."""
    first = notification.incidents[0] if notification.incidents else None
    values = {
        "severity": notification.severity,
        "reason": notification.reason,
        "rule": first.rule if first else "none",
        "source": first.locations[0].source if first and first.locations else "none",
    }
    filled = template
    for name, value in values.items():
        # Braces go too, so that a value cannot bring a placeholder of its own.
        filled = filled.replace(f"{{{name}}}", re.sub(r"[^\w.:@-]", "_", clean(value))[:100] or "none")
    return filled


def _mqtt_error(error: aiomqtt.MqttError) -> RemoteError:
    code = error.rc if isinstance(error, aiomqtt.MqttCodeError) else None
    number = code.value if isinstance(code, ReasonCode) else code
    if number in NOT_AUTHORISED and isinstance(error, aiomqtt.exceptions.MqttConnectError):
        return RemoteError("the broker refuses the login: check username and password", retry=False)
    if number == UNKNOWN_VERSION:
        return RemoteError('the broker does not know MQTT 5: set version = "3.1.1"', retry=False)
    if isinstance(error.__context__, OSError):  # aiomqtt keeps only the text of what went wrong on the way
        return network_error(error.__context__)
    detail = f" (code {number})" if isinstance(number, int) else ""
    return RemoteError(f"the broker cannot be reached or did not acknowledge{detail}", retry=True)
