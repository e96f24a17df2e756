"""MQTT: the webhook's payload on a topic, at least once (QoS 1, the broker's acknowledgement awaited)."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence
from typing import ClassVar, Literal

import aiomqtt
from pydantic import field_validator

from monitor.common.http import Http, network_error
from monitor.common.mqtt import TIMEOUT, BrokerKeys, Publisher, connection, mqtt_error, publish_refused
from monitor.common.notification import Notification, Receipt
from monitor.common.problems import refuse
from monitor.common.text import clean
from sinks.base import Limits, SinkConfig
from sinks.payload import MOST, encode
from sinks.text import NAME

__all__ = ["Mqtt", "MqttSinkConfig", "topic"]

FIELDS = ("severity", "reason", "rule", "source")  # what a topic template may name
BODY = 128 * 1024  # bytes of a payload: what the tightest of the hosted brokers takes


EXAMPLE = """
#[[sinks]]
#name = "bus"
#type = "mqtt"
#host = "127.0.0.1"
#port = 0                       # 0: 1883, or 8883 with tls
#version = "5"                  # or "3.1.1", in which a broker cannot say that it refuses a message
#tls = true                     # default: false
#ca_file = "/etc/ssl/certs/ca-certificates.crt"
#insecure = false               # any sink: true lets its credential travel unencrypted
#username = "monitor"
#password = "credential:mqtt-password"
#topic = "exposure-monitor/{severity}"
#retain = false
"""


class MqttSinkConfig(SinkConfig, BrokerKeys):
    """Publishes to an MQTT broker.

    - `topic`: may have `{severity}`, `{reason}`, `{rule}` and `{source}`
    - `retain`: `true`: the broker stores the last message of a topic

    MQTT 5 lets the broker say that it refuses a message, by its access rules for one, and then the alert counts as
    refused. In MQTT 3.1.1 there is no such answer: a message that the broker drops looks delivered, so `version =
    "3.1.1"` is only for brokers that know nothing newer.
    """

    type: Literal["mqtt"]
    topic: str = f"{NAME}/{{severity}}"
    retain: bool = False

    def servers(self) -> Sequence[str]:
        return (f"mqtts://{self.host}:{self.port or 8883}" if self.tls else f"mqtt://{self.host}:{self.port or 1883}",)

    @field_validator("topic")
    @classmethod
    def _topic(cls, value: str) -> str:
        rest = value
        for name in FIELDS:
            rest = rest.replace(f"{{{name}}}", "x")
        holes = ", ".join(f"{{{name}}}" for name in FIELDS)
        refuse(
            (not rest or "{" in rest or "}" in rest, f"may hold only {holes} in braces"),
            (
                rest.startswith("$")
                or any(c in "+#" or not c.isprintable() for c in rest)
                or len(rest.encode()) > 1000,
                "must be a topic to publish on: without wildcards, not starting with $",
            ),
        )
        return value


class Mqtt:
    """Connects for each message: alerts are few, and a connection that is not kept cannot be lost unnoticed."""

    Config: ClassVar[type[SinkConfig]] = MqttSinkConfig
    limits = Limits(BODY, MOST)

    def __init__(self, config: MqttSinkConfig, http: Http) -> None:
        self._config = config
        # One session a sink and host: the broker drops a connection of ours that hangs when the next one comes.
        self._identifier = f"{NAME}-{socket.gethostname()}-{config.name}"
        self._lock = asyncio.Lock()

    async def send(self, notification: Notification) -> Receipt | None:
        config = self._config
        body = encode(notification, BODY)  # before the connection, whose time is short
        try:
            options = await connection(config)
            async with (
                self._lock,
                asyncio.timeout(3 * TIMEOUT),
                Publisher(identifier=self._identifier, **options) as client,
            ):
                await client.publish(topic(config.topic, notification), body, 1, config.retain)
                answer = client.answer
        except aiomqtt.MqttError as error:
            failure = mqtt_error(error)
        except (OSError, TimeoutError, ValueError) as error:  # ValueError: what paho refuses before it connects
            failure = network_error(error)
        else:
            if answer is None or not answer.is_failure:
                return None
            failure = publish_refused(answer.value)
        raise failure


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
