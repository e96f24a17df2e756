from __future__ import annotations

import random
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.common.severity import SEVERITIES, Severity, rank
from monitor.routing.inhibit import Inhibition, Inhibitors, OpenIncident
from monitor.routing.match import Matcher

SAME = Inhibition()
RULE = Inhibition(while_=(Matcher.parse("rule=aws"),), matchers=(Matcher.parse("rule=generic"),), equal=("host",))


def one(id_: str, severity: Severity, host: str = "web-1", service: str = "shop", **more: str) -> OpenIncident:
    seen = {"severity": severity, "host": host, "service": service, **more}
    return OpenIncident(id_, severity, {name: value for name, value in seen.items() if value})


@pytest.mark.parametrize(
    ("inhibition", "held", "other", "by"),
    [
        (SAME, one("a", "high"), one("b", "critical"), "b"),
        (SAME, one("a", "high"), one("b", "high"), None),  # neither is worse
        (SAME, one("a", "critical"), one("b", "critical"), None),
        (SAME, one("a", "critical"), one("b", "high"), None),
        (SAME, one("a", "high"), one("b", "critical", host="web-2"), None),
        (SAME, one("a", "high"), one("b", "critical", service="mail"), None),
        (
            SAME,
            one("a", "high", service=""),
            one("b", "critical", service=""),
            None,
        ),  # what lacks a label is not the same
        (RULE, one("a", "low", rule="generic"), one("b", "high", rule="aws", service="mail"), "b"),
        (RULE, one("a", "low", rule="other"), one("b", "high", rule="aws"), None),
        (RULE, one("a", "low", rule="generic"), one("b", "high", rule="npm"), None),
        (Inhibition(equal=(), while_=RULE.while_), one("a", "low"), one("b", "high", host="x", rule="aws"), "b"),
    ],
)
def test_who_holds_whom(inhibition: Inhibition, held: OpenIncident, other: OpenIncident, by: str | None) -> None:
    found = Inhibitors([inhibition], [held, other]).holder(held)
    assert (found and found.by) == by
    if found:
        assert found.place == 1
        assert found.reason.startswith(f"incident b, {other.severity}, is not resolved")


def test_what_is_held_back_holds_nothing() -> None:
    """Its sink has not been told of it, so it can stand for nothing."""
    chain = [
        Inhibition(matchers=(Matcher.parse("severity=high"),), equal=("host",)),
        Inhibition(
            matchers=(Matcher.parse("severity=low"),), while_=(Matcher.parse("severity=high"),), equal=("host",)
        ),
    ]
    high, low = one("h", "high"), one("l", "low")
    assert Inhibitors(chain, [high, low]).holder(low) is not None
    everyone = Inhibitors(chain, [one("c", "critical"), high, low])
    assert everyone.holder(high) is not None
    assert everyone.holder(low) is None


def test_keys() -> None:
    table = tomllib.loads('matchers = ["severity=low"]\nwhile = ["rule=aws"]\nequal = []')
    assert Inhibition.model_validate(table).while_ == RULE.while_
    with pytest.raises(ValidationError, match=r"equal = .. needs while"):
        Inhibition(equal=())
    with pytest.raises(ValidationError, match="not a matcher"):
        Inhibition.model_validate({"while": ["nonsense"]})


standing = st.builds(
    one,
    st.uuids().map(str),
    st.sampled_from(SEVERITIES),
    st.sampled_from(("", "a", "b")),
    st.sampled_from(("", "s", "t")),
    rule=st.sampled_from(("aws", "generic")),
)
matchers = st.sampled_from(((), (Matcher.parse("rule=aws"),), (Matcher.parse("severity=~high|medium"),)))
inhibitions = st.builds(
    Inhibition,
    matchers=matchers,
    while_=matchers,
    equal=st.sampled_from((("host",), ("service",), ("host", "service"))),
)


@given(st.lists(standing, max_size=12), st.lists(inhibitions, min_size=1, max_size=3), st.randoms())
def test_somebody_is_told_of_whatever_stands_for_what_is_held(
    everyone: list[OpenIncident], rules: list[Inhibition], rng: random.Random
) -> None:
    found = Inhibitors(rules, everyone)
    known = {each.id: each for each in everyone}
    for each in everyone:
        held = found.holder(each)
        if held is not None:
            other = known[held.by]
            assert rank(other.severity) > rank(each.severity)
            assert found.holder(other) is None
    rng.shuffle(everyone)
    again = Inhibitors(rules, everyone)
    assert [again.holder(each) for each in known.values()] == [found.holder(each) for each in known.values()]
