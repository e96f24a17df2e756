from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from monitor.common.duration import Duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("1m30s", 90), ("4h", 14_400), ("7d", 604_800), ("1.5h", 5_400), (" 2w ", 1_209_600)],
)
def test_parses(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("value", ["", "30", "s", "30 s", "-5s", "5y", 30, 1.5, None, True, ["30s"], "30s,"])
def test_refuses_what_has_no_unit(value: object) -> None:
    class Config(BaseModel):
        interval: Duration = 1.0

    with pytest.raises(ValidationError, match='must be a duration such as "30s"'):
        Config.model_validate({"interval": value})
    assert Config().interval == 1.0


def test_refuses_what_no_date_can_say_the_end_of() -> None:
    assert parse_duration("36500d") == 36_500 * 86_400
    with pytest.raises(ValueError, match="must be 36500d at most"):
        parse_duration("36501d")
