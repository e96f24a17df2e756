"""A broker of MQTT: the keys that name it, how to connect, and its failures without a word of what it said."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Literal, Self

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import BaseModel, Field, model_validator

from monitor.common.credential import Credential
from monitor.common.fields import LocalPath
from monitor.common.http import CLEAR, RemoteError, loopback, network_error
from monitor.common.problems import refuse

__all__ = ["TIMEOUT", "BrokerKeys", "Publisher", "connection", "mqtt_error", "publish_refused"]

TIMEOUT = 10.0  # seconds for the connection, and for each acknowledgement
NOT_AUTHORISED = frozenset({4, 5, 134, 135})  # CONNACK codes of MQTT 3.1.1 and 5
UNKNOWN_VERSION = 132
TAKEN_OVER = 142
PASSING = frozenset({128, 131, 147, 149, 151})  # PUBACK codes of a broker that may take it another time
VERSIONS = {"5": aiomqtt.ProtocolVersion.V5, "3.1.1": aiomqtt.ProtocolVersion.V311}


class BrokerKeys(BaseModel):
    """How to reach an MQTT broker.

    - `host`: of the broker
    - `port`: `0`: 1883, or 8883 with `tls`
    - `version`: or `"3.1.1"`
    - `tls`: `true`: encrypted
    - `ca_file` (the system's): whom to trust with `tls`
    - `username`, `password`: a name, and a credential reference
    - `insecure`: `true`: the password may travel unencrypted
    """

    host: str = Field(min_length=1)
    port: int = Field(default=0, ge=0, le=65535)
    version: Literal["5", "3.1.1"] = "5"
    tls: bool = False
    ca_file: LocalPath | None = None
    username: str | None = None
    password: Credential | None = None
    insecure: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        clear = not (self.tls or self.insecure or loopback(self.host))
        refuse(
            (self.password and not self.username, "password needs username"),
            (self.password and clear, f"password {CLEAR}"),
            (self.ca_file and not self.tls, "ca_file needs tls = true"),
        )
        return self


async def connection(keys: BrokerKeys) -> dict[str, Any]:
    """The arguments of an `aiomqtt.Client` that connects there. Raises CredentialError, OSError and ValueError."""
    context = await asyncio.to_thread(ssl.create_default_context, cafile=keys.ca_file) if keys.tls else None
    return {
        "hostname": keys.host,
        "port": keys.port or (8883 if keys.tls else 1883),
        "username": keys.username,
        "password": keys.password.resolve("password") if keys.password else None,
        "tls_context": context,
        "protocol": VERSIONS[keys.version],
        "timeout": TIMEOUT,
    }


def mqtt_error(error: aiomqtt.MqttError) -> RemoteError:
    code = error.rc if isinstance(error, aiomqtt.MqttCodeError) else None
    number = code.value if isinstance(code, ReasonCode) else code
    if number in NOT_AUTHORISED and isinstance(error, aiomqtt.exceptions.MqttConnectError):
        return RemoteError("the broker refuses the login: check username and password", retry=False)
    if number == UNKNOWN_VERSION:
        return RemoteError('the broker does not know MQTT 5: set version = "3.1.1"', retry=False)
    if number == TAKEN_OVER:
        return RemoteError("another client has connected with our client id", retry=True)
    if isinstance(error.__context__, OSError):  # aiomqtt keeps only the text of what went wrong on the way
        return network_error(error.__context__)
    detail = f" (code {number})" if isinstance(number, int) else ""
    return RemoteError(f"the broker cannot be reached or did not acknowledge{detail}", retry=True)


class Publisher(aiomqtt.Client):
    """A client that keeps the broker's answer to the only message it sends; aiomqtt drops it."""

    answer: ReasonCode | None = None

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: ReasonCode, properties: Any) -> None:
        self.answer = reason_code
        super()._on_publish(client, userdata, mid, reason_code, properties)


def publish_refused(code: int) -> RemoteError:
    """What the code of a PUBACK that is a failure says."""
    if code == 135:
        return RemoteError(
            "the broker does not let this user publish on the topic: check its access rules", retry=False
        )
    return RemoteError(f"the broker refused the message (code {code}): check topic", retry=code in PASSING)
