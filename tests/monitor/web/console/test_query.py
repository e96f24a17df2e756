from __future__ import annotations

import pytest

from monitor.store.incidents import Filter
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
        owner="ada", host="web-1", service="pay", source="app", rule="old", since="24h", older="1h", younger="7d",
        told="ab",
    )  # fmt: skip
    assert query.order == "recent"
    assert query.filters(NOW, lambda name: (name, "new")) == {
        "states": (),
        "severities": ("high", "critical"),
        "confidences": ("medium", "high"),
        "rules": ("old", "new"),
        "since": NOW - 86_400,
        "first_before": NOW - 3600,
        "first_since": NOW - 7 * 86_400,
        "drill": False,
        "validity": "valid",
        "search": "a b",
        "owner": "ada",
        "host": "web-1",
        "service": "pay",
        "source": "app",
        "told": "ab",
    }


def test_a_family_is_its_rules_and_custom_is_all_that_are_not_shipped() -> None:
    def filters(rule: str = "", family: str = "") -> Filter:
        return parsed(rule=rule, family=family).filters(NOW, lambda name: (name,))

    assert "github-pat" in (vcs := filters(family="vcs")["rules"])
    assert not set(vcs) & set(filters(family="cloud")["rules"])
    assert filters("github-pat", "vcs")["rules"] == ["github-pat"]
    assert filters("mine", "custom")["rules"] == ["mine"]
    own = filters(family="custom")
    assert own["rules"] == ()
    assert {"github-pat", *vcs} <= set(own["but_rules"])
    none = filters("github-pat", "cloud")["rules"]
    assert none, "what is empty would take all"
    assert "github-pat" not in none


def test_chips_say_what_is_asked_for_and_lead_to_the_list_without_it() -> None:
    assert parsed(severity="high", sort="recent", family="vcs", older="2d").chips == [
        ("severity ≥ high", "/incidents?sort=recent&family=vcs&older=2d"),
        ("family = vcs", "/incidents?severity=high&sort=recent&older=2d"),
        ("older than 2d", "/incidents?severity=high&sort=recent&family=vcs"),
    ]


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
        ({"older": "old"}, "older: must be a duration"),
        ({"colour": "red"}, "nothing is asked for by 'colour'"),
        ({"q": "x" * 201}, "q: at most 200 characters"),
    ],
)
def test_what_cannot_be_asked_is_named(said: dict[str, str], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as caught:
        ListQuery.parse(said)
    assert "<" not in str(caught.value)
