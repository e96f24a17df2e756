from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.domain.incidents import Incident
from monitor.routing.match import Matcher
from monitor.routing.mute import MuteTime
from monitor.routing.routes import (
    Policy,
    Rate,
    Route,
    Silence,
    labels,
)

NOW = 10_000.0
ROUTE = Route(sinks=("chat",))


def incident(**changes: object) -> Incident:
    base = Incident(
        id="i1",
        fingerprint="f1",
        rule="github-pat",
        name="GitHub token",
        severity="critical",
        confidence="high",
        state="open",
        masked="ghp_…",
        first_seen=1.0,
        last_seen=2.0,
        occurrences=1,
        labels={"tier": "1", "rule": "cannot shadow"},
    )
    return replace(base, **changes)  # type: ignore[arg-type]


# Configuration


def test_route_keys_and_defaults() -> None:
    table = tomllib.loads(
        """
        matchers = ['severity="critical"', 'source=~"web.*"']
        sinks = ["pager", "chat"]
        continue = true
        group_by = ["rule"]
        group_wait = "30s"
        group_interval = "1m30s"
        repeat_interval = "2d"
        burst = "5/10s"
        """
    )
    route = Route.model_validate(table)
    assert route.continue_
    assert route.group_by == ("rule",)
    assert (route.group_wait, route.group_interval, route.repeat_interval) == (30, 90, 172_800)
    assert route.burst == Rate(5, 10)
    assert (ROUTE.group_wait, ROUTE.group_interval, ROUTE.repeat_interval) == (0, 300, 14_400)
    assert (ROUTE.burst, ROUTE.group_by, ROUTE.continue_) == (Rate(20, 60), None, False)


@pytest.mark.parametrize(
    ("table", "key", "message"),
    [
        ({}, "sinks", "required"),
        ({"sinks": []}, "sinks", "at least 1"),
        ({"sinks": ["a"], "matcher": []}, "matcher", "Extra"),
        ({"sinks": ["a"], "matchers": ["nonsense"]}, "matchers.0", "not a matcher"),
        ({"sinks": ["a"], "matchers": [1]}, "matchers.0", "a matcher is text"),
        ({"sinks": ["a"], "group_interval": 5}, "group_interval", "such as"),
        ({"sinks": ["a"], "burst": "20"}, "burst", "COUNT/PERIOD"),
        ({"sinks": ["a"], "burst": "x/1m"}, "burst", "COUNT/PERIOD"),
        ({"sinks": ["a"], "burst": "20/0s"}, "burst", "longer than nothing"),
        ({"sinks": ["a"], "burst": 20}, "burst", "a rate is text"),
    ],
)
def test_bad_routes_name_the_key(table: dict[str, object], key: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Route.model_validate(table)
    problems = {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors()}
    assert message in problems[key]


def test_silence_configuration() -> None:
    with pytest.raises(ValidationError, match="at least 1"):
        Silence.model_validate({"matchers": []})
    with pytest.raises(ValidationError, match="ends before it starts"):
        Silence.model_validate(
            tomllib.loads("matchers=['rule=x']\nstarts=2026-01-02T00:00:00Z\nends=2026-01-01T00:00:00Z")
        )
    with pytest.raises(ValidationError, match="timezone"):
        Silence.model_validate(tomllib.loads("matchers=['rule=x']\nends=2026-01-01T00:00:00"))


# Routing


def sinks_of(policy: Policy, **values: str) -> list[str]:
    return [target.sink for target in policy.targets(values, "i1")]


def test_first_route_wins_unless_it_continues() -> None:
    pager = Route.model_validate({"matchers": ['severity="critical"'], "sinks": ["pager"]})
    both = Route.model_validate({"matchers": ['severity="critical"'], "sinks": ["pager"], "continue": True})
    rest = Route(sinks=("chat",))
    assert sinks_of(Policy(routes=(pager, rest)), severity="critical") == ["pager"]
    assert sinks_of(Policy(routes=(pager, rest)), severity="low") == ["chat"]
    assert sinks_of(Policy(routes=(both, rest)), severity="critical") == ["pager", "chat"]
    assert sinks_of(Policy(routes=(pager,)), severity="low") == []


def test_without_routes_everything_goes_everywhere() -> None:
    assert sinks_of(Policy(sinks=("a", "b")), severity="info") == ["a", "b"]
    assert sinks_of(Policy()) == []


def test_one_sink_is_told_once_though_two_routes_lead_there() -> None:
    first = Route.model_validate({"sinks": ["chat"], "continue": True, "group_interval": "1s"})
    targets = Policy(routes=(first, Route(sinks=("chat",)))).targets({}, "i1")
    assert [(target.sink, target.route.group_interval) for target in targets] == [("chat", 1)]


def test_group_keys() -> None:
    assert ROUTE.group_key({"rule": "a"}, "i1") == "incident:i1"
    by_rule = Route(sinks=("chat",), group_by=("rule",))
    one, other = by_rule.group_key({"rule": "a"}, "i1"), by_rule.group_key({"rule": "b"}, "i1")
    assert one != other
    assert one == by_rule.group_key({"rule": "a", "path": "/x"}, "i2")
    everything = Route(sinks=("chat",), group_by=())
    assert everything.group_key({"rule": "a"}, "i1") == everything.group_key({"rule": "b"}, "i2")
    assert len(by_rule.group_key({"rule": "x" * 10_000 + "\udcff"}, "i1")) < 64


def test_a_route_keeps_its_identity_when_only_its_times_or_sinks_change() -> None:
    base = Route.model_validate({"sinks": ["a"], "matchers": ["rule=x", "severity=high"]})
    same = Route.model_validate({"sinks": ["b"], "matchers": ["severity=high", "rule=x"], "group_interval": "1s"})
    assert base.id == same.id
    assert base.id != Route.model_validate({"sinks": ["a"], "matchers": ["rule=y"]}).id


def test_labels() -> None:
    seen = labels(incident(), "web", "/var/log/a")
    assert seen["rule"] == "github-pat"
    assert (seen["tier"], seen["source"], seen["path"], seen["state"]) == ("1", "web", "/var/log/a", "open")


def test_the_family_is_that_of_the_rule_unless_a_label_says_another() -> None:
    assert labels(incident(), "web", "/p")["family"] == "vcs"
    assert labels(incident(rule="acme-key"), "web", "/p")["family"] == "custom"
    assert labels(incident(labels={"family": "ours"}), "web", "/p")["family"] == "ours"


def test_a_place_has_a_host_and_a_service() -> None:
    seen = labels(incident(labels={}), "s", "/p", "web-1", "shop")
    assert (seen["host"], seen["service"]) == ("web-1", "shop")
    assert labels(incident(labels={"host": "who wrote it"}), "s", "/p", "web-1")["host"] == "who wrote it"
    assert not {"host", "service"} & labels(incident(labels={}), "s", "/p").keys()


def test_a_muted_route_tells_of_what_is_critical_unless_said() -> None:
    policy = Policy(mutes=(MuteTime(name="always", days=("mon-sun",)), MuteTime(name="minute", times=("00:00-00:01",))))
    minute = Route(sinks=("chat",), mute=("minute",))
    assert policy.muted_until(minute, "high", 30.0) == 60.0
    assert policy.muted_until(minute, "high", 60.0) is None
    assert policy.muted_until(minute, "critical", 30.0) is None
    assert policy.muted_until(minute.model_copy(update={"mute_critical": True}), "critical", 30.0) == 60.0
    assert policy.muted_until(Route(sinks=("chat",)), "low", 30.0) is None


def test_silences() -> None:
    def at(seconds: float) -> datetime:
        return datetime.fromtimestamp(seconds, UTC)

    silence = Silence(matchers=(Matcher.parse("rule=x"),), starts=at(NOW), ends=at(NOW + 60))
    forever = Silence(matchers=(Matcher.parse("source=lab"),))
    policy = Policy(silences=(silence, forever))
    assert policy.silenced_until({"rule": "x"}, NOW - 1) is None
    assert policy.silenced_until({"rule": "x"}, NOW) == NOW + 60
    assert policy.silenced_until({"rule": "x"}, NOW + 60) is None
    assert policy.silenced_until({"rule": "y"}, NOW) is None
    assert policy.silenced_until({"rule": "x", "source": "lab"}, NOW) == float("inf")


# Decisions


@pytest.mark.parametrize(
    ("severity", "confidence", "form", "told"),
    [
        ("critical", "high", "custom", ["pager", "chat"]),
        ("high", "high", "generic", ["pager", "chat"]),
        ("medium", "high", "vendor", ["chat"]),
        ("critical", "medium", "vendor", ["pager", "chat"]),
        ("high", "medium", "vendor", ["pager", "chat"]),
        ("high", "medium", "keyword", ["chat"]),
        ("critical", "medium", "generic", ["chat"]),
        ("high", "medium", "custom", ["chat"]),
        ("critical", "low", "vendor", ["chat"]),
        ("info", "high", "vendor", ["chat"]),
    ],
)
def test_without_routes_a_pager_gets_what_is_serious_and_sure(
    severity: str, confidence: str, form: str, told: list[str]
) -> None:
    policy = Policy(sinks=("pager", "chat"), pagers=frozenset({"pager"}))
    seen = {"severity": severity, "confidence": confidence, "format": form}
    targets = policy.targets(seen, "i")
    assert [target.sink for target in targets] == told
    daily = [target.route.digest for target in targets if target.sink == "chat"]
    assert daily == [86_400.0 if confidence == "low" else None]
    why = [verdict.reason for verdict in policy.explain(seen) if not verdict.takes]
    assert "pager" in told or any("does not hold" in one for one in why)


def test_without_routes_and_with_pagers_alone_they_are_not_told_the_rest() -> None:
    policy = Policy(sinks=("pager",), pagers=frozenset({"pager"}))
    assert sinks_of(policy, severity="critical", confidence="low") == []


def test_a_rule_says_what_its_matches_go_by() -> None:
    assert labels(incident(), "web", "/p")["format"] == "vendor"
    assert labels(incident(rule="acme-key"), "web", "/p")["format"] == "custom"
    assert labels(incident(labels={"format": "vendor"}, rule="acme-key"), "web", "/p")["format"] == "custom", (
        "a log that brings the label pages nobody"
    )


def test_a_digest_is_no_group() -> None:
    with pytest.raises(ValidationError, match="digest or group_by"):
        Route.model_validate({"sinks": ["chat"], "digest": "24h", "group_by": ["rule"]})


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"]), st.booleans()), max_size=5),
    st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"])),
)
def test_what_is_explained_is_what_happens(routes: list[tuple[str, str, bool]], labels: dict[str, str]) -> None:
    made = tuple(
        Route(matchers=(Matcher.parse(f'{name}="{value}"'),), sinks=(f"s{place}",), continue_=goes_on)
        for place, (name, value, goes_on) in enumerate(routes)
    )
    policy = Policy(tuple(f"s{place}" for place in range(len(made))), made)
    told = [sink for verdict in policy.explain(labels) if verdict.takes for sink in verdict.route.sinks]
    assert told == [target.sink for target in policy.targets(labels, "i1")]


def test_a_sink_is_told_of_many_once_a_minute_or_as_often_as_a_route_says() -> None:
    often = Route.model_validate({"sinks": ["chat"], "group_interval": "5s"})
    policy = Policy(sinks=("chat", "mail"), routes=(Route.model_validate({"sinks": ["chat", "mail"]}), often))
    assert (policy.pause("chat"), policy.pause("mail"), Policy(sinks=("chat",)).pause("chat")) == (5.0, 60.0, 60.0)
