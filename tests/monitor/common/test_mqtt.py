from __future__ import annotations

from typing import Any

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import ValidationError

from monitor.common.credential import CredentialError
from monitor.common.mqtt import BrokerKeys, connection, mqtt_error


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"password": "env:X"}, "password needs username"),
        ({"username": "u", "password": "env:X", "host": "broker"}, "password would go over the network unencrypted"),
        ({"username": "u", "password": "literal"}, "must be a reference"),
        ({"ca_file": "ca.pem"}, "ca_file needs tls"),
        ({"version": "4"}, "'5' or '3.1.1'"),
    ],
)
def test_keys_that_do_not_fit(keys: dict[str, Any], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        BrokerKeys.model_validate({"host": "127.0.0.1", **keys})


def test_a_relative_path_counts_from_the_folder_of_the_configuration() -> None:
    keys = BrokerKeys.model_validate({"host": "b", "tls": True, "ca_file": "ca.pem"}, context={"folder": "/etc/x"})
    assert str(keys.ca_file) == "/etc/x/ca.pem"


async def test_how_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await connection(BrokerKeys(host="b")))["port"] == 1883
    found = await connection(BrokerKeys(host="b", tls=True))
    assert found["port"] == 8883
    assert found["tls_context"] is not None
    keys = BrokerKeys.model_validate({"host": "b", "port": 7, "username": "u", "password": "env:PW", "insecure": True})
    with pytest.raises(CredentialError, match="password: environment variable PW"):
        await connection(keys)
    monkeypatch.setenv("PW", "a value")
    found = await connection(keys)
    assert (found["port"], found["username"], found["password"]) == (7, "u", "a value")


def refused(code: int) -> aiomqtt.MqttError:
    return aiomqtt.exceptions.MqttConnectError(ReasonCode(PacketTypes.CONNACK, identifier=code))


def test_failures_say_what_to_do() -> None:
    assert "check username" in str(mqtt_error(refused(134)))
    assert not mqtt_error(refused(135)).retry
    assert 'version = "3.1.1"' in str(mqtt_error(refused(132)))
    gone = aiomqtt.MqttCodeError(ReasonCode(PacketTypes.DISCONNECT, identifier=142), "text of the broker")
    assert str(mqtt_error(gone)) == "another client has connected with our client id"
    plain = mqtt_error(aiomqtt.MqttError("text of the broker"))
    assert "text of the broker" not in str(plain)
    assert plain.retry
