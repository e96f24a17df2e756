from __future__ import annotations

import pytest

from monitor.web.console.query import ListQuery

NOW = 1_800_000_000.0


def parsed(**said: str) -> ListQuery:
    return ListQuery.parse(said)


def test_what_says_nothing_is_left_out() -> None:
    query = parsed(state="unresolved", severity="", q="  ", sort="urgent")
    assert query.said == {}
    assert query.address() == "/incidents"
    filters = query.filters(NOW, lambda _: ())
    assert filters["states"] == ("open", "acknowledged")
    assert not any(filters[name] for name in ("severities", "confidences", "rules"))  # type: ignore[literal-required]
    assert filters["drill"] is None


def test_each_parameter_becomes_a_filter() -> None:
    query = parsed(
        state="all", severity="high", confidence="medium", works="valid", drill="hidden", sort="recent", q="a b",
        owner="ada", host="web-1", service="pay", source="app", rule="old", since="24h",
    )  # fmt: skip
    assert query.order == "recent"
    assert query.filters(NOW, lambda name: (name, "new")) == {
        "states": (),
        "severities": ("high", "critical"),
        "confidences": ("medium", "high"),
        "rules": ("old", "new"),
        "since": NOW - 86_400,
        "drill": False,
        "validity": "valid",
        "search": "a b",
        "owner": "ada",
        "host": "web-1",
        "service": "pay",
        "source": "app",
    }


def test_an_address_says_all_of_it_and_is_read_back() -> None:
    query = parsed(severity="critical", q="a&b=c", after="1_2.0_aa")
    assert query.address() == "/incidents?severity=critical&q=a%26b%3Dc&after=1_2.0_aa"
    assert query.without("q").address() == "/incidents?severity=critical"
    assert query.behind("x").after == "x"


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"severity": "<b>"}, "severity: has to be one of critical, high"),
        ({"since": "yesterday"}, "since: must be a duration"),
        ({"colour": "red"}, "nothing is asked for by 'colour'"),
        ({"q": "x" * 201}, "q: at most 200 characters"),
    ],
)
def test_what_cannot_be_asked_is_named(said: dict[str, str], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as caught:
        ListQuery.parse(said)
    assert "<" not in str(caught.value)
