from __future__ import annotations

import pytest

from monitor.config.config import parse
from monitor.config.locate import ConfigError
from monitor.domain.retention import RetentionConfig

DAY = 86_400.0


def test_ages_are_durations_or_never() -> None:
    assert parse("").retention == RetentionConfig()
    ages = parse('[retention]\nincidents = "30d"\nfingerprints = "never"\nhooks = "1w"').retention
    assert (ages.incidents, ages.fingerprints, ages.hooks) == (30 * DAY, float("inf"), 7 * DAY)


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ('incidents = "30"', "retention.incidents", 'must be a duration such as "90d", or "never"'),
        ("sent = 7", "retention.sent", "or"),
        ('sent = "1h"', "retention.sent", 'must be at least "1d"'),
        ('hooks = "3d"', "retention.hooks", 'must be at least "4d"'),
        ('incidents = "never"', "retention", "fingerprints must be stored at least as long as incidents"),
        ('audit = "1d"', "retention.audit", "unknown key"),
    ],
)
def test_what_is_wrong_is_named(text: str, key: str, message: str) -> None:
    with pytest.raises(ConfigError) as failure:
        parse(f"[retention]\n{text}")
    [problem] = failure.value.problems
    assert problem.key == key
    assert message in problem.message
