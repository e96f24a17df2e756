from __future__ import annotations

import pytest

from monitor.common.http import Http, RemoteError
from sinks.pagerduty.api import Api
from sinks.pagerduty.config import PagerDutyConfig
from tests.fakes.pagerduty import FakePagerDuty
from tests.sinks.pagerduty.test_sink import Put

TOKEN = "t" * 20


def api(http: Http, fake: FakePagerDuty, credential: Put, token: str = TOKEN) -> Api:
    values = {
        "name": "pager",
        "type": "pagerduty",
        "routing_key": "env:R",
        "webhook_secret": "env:S",
        "api_url": fake.url,
        "api_token": credential("token", token),
        "from_email": "oncall@example.org",
        "priorities": {"critical": "P1", "high": "P9"},
        "urgencies": {"critical": "high", "low": "low"},
    }
    return Api(PagerDutyConfig.model_validate(values), http)


async def test_notes_priority_and_urgency(http: Http, credential: Put) -> None:
    async with FakePagerDuty(TOKEN) as fake:
        one = api(http, fake, credential)
        await one.note("PGR0VU2", "said")
        await one.rank("PGR0VU2", "critical")
        await one.rank("PGR0VU2", "critical")
        await one.rank("PGR0VU2", "low")
        await one.rank("PGR0VU2", "medium")
    assert fake.notes == [("PGR0VU2", "said")]
    whole = {"urgency": "high", "priority": {"id": "PP1", "type": "priority_reference"}}
    assert [change for _, change in fake.changes] == [whole, whole, {"urgency": "low"}]
    assert [one.path for one in fake.requests].count("/priorities") == 1


async def test_what_is_refused_says_what_to_look_at(http: Http, credential: Put) -> None:
    async with FakePagerDuty(TOKEN) as fake:
        with pytest.raises(RemoteError, match="check api_token") as caught:
            await api(http, fake, credential, "wrong").note("P1", "said")
        assert not caught.value.retry
        with pytest.raises(RemoteError, match="no priority 'P9'"):
            await api(http, fake, credential).rank("P1", "high")
