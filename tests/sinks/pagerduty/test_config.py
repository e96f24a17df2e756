from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sinks.pagerduty.config import PagerDutyConfig


def config(**changes: Any) -> PagerDutyConfig:
    return PagerDutyConfig.model_validate({"name": "pager", "type": "pagerduty", "routing_key": "env:R"} | changes)


def test_the_region_names_the_hosts_unless_they_are_named() -> None:
    assert config().events_url == "https://events.pagerduty.com"
    there = config(region="eu")
    assert (there.events_url, there.rest_url) == ("https://events.eu.pagerduty.com", "https://api.eu.pagerduty.com")
    assert config(region="eu", api_url="http://127.0.0.1:1/").rest_url == "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"api_token": "env:T"}, "go together"),
        ({"priorities": {"critical": "P1"}}, "go with api_token"),
        ({"people": {"PLH1HKV": "ada"}}, "goes with webhook_secret"),
        ({"people": {"ada": "ada"}, "webhook_secret": "env:S"}, "id of a user"),
        ({"people": {"PLH1HKV": "ada\n"}, "webhook_secret": "env:S"}, "a name is"),
        ({"webhook_secret": "plain"}, "reference"),
        ({"api_url": "http://api.example.org", "api_token": "env:T", "from_email": "a@b.c"}, "api_token"),
        ({"urgencies": {"critical": "loud"}}, "high"),
        ({"region": "mars"}, "us"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        config(**changes)
