from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sinks.slack.config import SlackConfig

BOT: dict[str, Any] = {"token": "env:T", "channel": "#a"}
TWO_WAY: dict[str, Any] = BOT | {"app_token": "env:A", "people": {"U0ADA": "ada", "U0BOB": "bob.b"}}


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({}, "webhook_url, or token and channel, is missing"),
        ({"token": "env:T"}, "channel is missing"),
        ({"channel": "#a"}, "token is missing"),
        ({"webhook_url": "env:U", "channel": "#a"}, "not both"),
        ({"webhook_url": "https://hooks.example/hidden"}, "must be a reference"),
        ({"token": "env:T", "channel": "#a", "api_url": "slack.com"}, r"must be an http\(s\) URL"),
        (BOT | {"app_token": "env:A"}, "people is missing"),
        ({"webhook_url": "env:U", "signing_secret": "env:S"}, "go with token and channel"),
        (BOT | {"people": {"U0ADA": "ada"}}, "go with app_token or signing_secret"),
        (TWO_WAY | {"people": {"ada": "U0ADA"}}, "a key is a member id"),
        (TWO_WAY | {"people": {"U0ADA": "ada lovelace"}}, "a name is 1 to 64"),
        (TWO_WAY | {"people": {"U0ADA": "\u0430da"}}, "a name is 1 to 64"),
        (TWO_WAY | {"allow": {"run": ["bob"]}}, 'allow.run names "bob", who is not among people'),
        (TWO_WAY | {"allow": {"runn": ["ada"]}}, "Input should be 'ack'"),
        (TWO_WAY | {"api_url": "http://slack.example.org/api"}, "would go over the network unencrypted"),
        ({"webhook_url": "env:U", "chanel": "#a"}, "Extra inputs are not permitted"),
    ],
)
def test_configuration_errors_are_clear(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        SlackConfig(name="chat", type="slack", **keys)
    assert "hidden" not in str(caught.value)


def test_two_way_needs_people_and_says_who_may() -> None:
    assert not SlackConfig(name="chat", type="slack", **BOT).two_way
    config = SlackConfig(name="chat", type="slack", **TWO_WAY, allow={"run": ["ada"]})
    assert config.two_way
    assert config.person("U0ADA", "run") == ("ada", "")
    assert config.person("U0BOB", "ack") == ("bob.b", "")
    assert config.person("U0BOB", "run")[1].startswith("bob.b may not do this")
    spoken = SlackConfig(name="chat", type="slack", **TWO_WAY | {"people": {"U0ADA": "Ada"}}, allow={"run": ["ADA"]})
    assert spoken.person("U0ADA", "run") == ("ada", "")
    assert config.person("U0EVE", "ack")[1].startswith("U0EVE is not among the people")
