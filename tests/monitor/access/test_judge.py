from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest

from monitor.access.baseline import Habit
from monitor.access.forms import load_form
from monitor.access.judge import KINDS, Habits, Odd, Rules, judge
from monitor.access.policy import AccessConfig
from monitor.access.reading import Reading
from tests.fakes.audit import DAY, START, anomalies, lines, month

RULES = Rules(
    (
        AccessConfig(name="gateway", principals=("approle:gateway", "ldap-*"), secrets=("secret/gateway",)),
        AccessConfig(name="frontend", principals=("*web*",), secrets=("*",), never=True),
    )
)


def read(texts: Iterable[str]) -> list[Reading]:
    form = load_form("vault")
    return [reading for text in texts for reading in form(json.loads(text))]


def run(readings: Iterable[Reading], rules: Rules = RULES) -> list[tuple[Reading, Odd]]:
    usual: dict[tuple[str, str], Habit | None] = {}
    found = []
    for one in readings:
        pair, secret, who, all_ = (one.secret, one.principal), (one.secret, ""), ("", one.principal), ("", "")
        odd, after = judge(rules, one, Habits(*map(usual.get, (pair, secret, who, all_))))
        usual.update({pair: after.pair, secret: after.secret, who: after.principal})
        if after.trail is not None:
            usual[all_] = after.trail
        found += [(one, what) for what in odd]
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_clean_month_gives_no_false_alarm(seed: int) -> None:
    assert run(read(lines(month(seed), "clean"))) == []


def test_an_anomaly_of_each_kind_is_found_in_a_month_and_nothing_else() -> None:
    odd = [one for kind in anomalies().values() for one in kind]
    asked = sorted([*month(1), *odd], key=lambda one: one.at)
    found = run(read(lines(asked, "odd")))
    of = Counter(what.kind for _, what in found)
    assert set(of) == set(KINDS) - {"browser"}
    assert {(one.principal, what.kind) for one, what in found} == {
        (anomalies()[kind][0].who, kind) for kind in anomalies()
    }
    told = {what.kind: what.text for _, what in found}
    assert told["policy"] == 'approle:web read secret/gateway#KEY: [[access]] "frontend" says never'
    assert "ldap-mallory had never read it" in told["first"]
    assert "kubernetes-jobs-backup" in told["first"]
    assert "times in a row" in told["denied"]
    assert "on one day; on " in told["volume"]
    assert told["address"].startswith("from 192.0.2.66; ")
    assert "10.0.0.0/24, 10.0.1.0/24" in told["address"]
    assert told["breadth"].startswith("ldap-eve has read 20 different secrets in the hour of 03:00 UTC so far, 20 that")
    assert told["hour"].startswith("at 23:30 UTC, 3 hours")


def test_nothing_unusual_is_told_before_a_habit_is_a_week_old_and_known_well() -> None:
    first = [one for one in month(2) if one.at < START + 6 * DAY]
    odd = [one for kind in anomalies(START + 6 * DAY).values() for one in kind]
    found = run(read(lines([*first, *odd], "young")))
    assert {what.kind for _, what in found} == {"policy", "denied"}


def test_whom_a_policy_names_is_no_stranger() -> None:
    rules = Rules(
        (AccessConfig(name="backup", principals=("kubernetes-*", "ldap-mallory"), secrets=("secret/backup",)),)
    )
    asked = [*month(3), anomalies()["first"][0]]
    assert run(read(lines(sorted(asked, key=lambda one: one.at), "named")), rules) == []


def test_a_service_key_in_a_browser() -> None:
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36"
    used = Reading("1", START, "Supabase service_role key", "supabase-js", "used", address="192.0.2.1", agent=agent)
    [(_, odd)] = run([used])
    assert (odd.kind, odd.severity) == ("browser", "critical")
    assert "Chrome" in odd.text
    server = Reading("2", START, "Supabase service_role key", "supabase-js", "used", agent="node-fetch/1.0 Mozilla")
    assert run([server]) == []
    assert run([Reading("3", START, "other", "x", "used", agent=agent)]) == []


def test_a_read_in_between_ends_a_row_of_refusals() -> None:
    refused = [Reading(str(n), START + n, f"s{n}", "p", "denied") for n in range(4)]
    given = Reading("x", START + 4, "s", "p")
    assert run([*refused, given, *refused]) == []
    slowly = [Reading(str(n), START + n * 1800, "s", "p", "denied") for n in range(12)]
    assert run(slowly) == []
    back = [Reading(str(n), START - n, "s", "p", "denied") for n in range(12)]  # a clock that runs back
    assert run(back) == []


def test_who_tries_one_secret_after_the_other_is_told_whatever_they_read_in_between() -> None:
    tried = []
    for number in range(6):
        tried.append(Reading(f"d{number}", START + 600 * number, f"s{number}", "p", "denied"))
        tried.append(Reading(f"g{number}", START + 600 * number + 1, "own", "p"))
    found = run(tried)
    assert [(one.id, what.kind) for one, what in found] == [("d4", "denied"), ("d5", "denied")]
    assert found[0][1].text == "p was refused 5 different secrets within 40 minutes, last s4"
    again = [replace(one, secret="s" if one.outcome == "denied" else "own") for one in tried]
    assert run(again) == []  # a program that asks in vain for one
    slowly = [replace(one, at=START + 3 * (one.at - START)) for one in tried]
    assert run(slowly) == []


def test_records_of_another_age_change_no_habit() -> None:
    readings = read(lines(month(4), "m"))
    old = Reading("old", 0.0, "secret/gateway", "approle:gateway", address="192.0.2.9")
    assert run([*readings, old]) == []


HOUR = 3600.0
NIGHT = 10_000 * DAY  # a midnight


def nightly(days: int = 20, secrets: int = 300, *, at: float = 2 * HOUR, who: str = "backup") -> list[Reading]:
    """Whoever reads everything by habit, within half an hour of each day."""
    return [
        Reading("", NIGHT + day * DAY + at + n * 1800 / secrets, f"vault/{n}", who, address="10.0.0.9")
        for day in range(days)
        for n in range(secrets)
    ]


def spree(
    count: int, *, day: int = 20, at: float = 3 * HOUR + 300, who: str = "eve", of: str = "hidden", first: int = 0
) -> list[Reading]:
    """Somebody reads one secret after the other, two seconds each."""
    begin = NIGHT + day * DAY + at
    return [Reading("", begin + 2 * n, f"{of}/{n + first}", who, address="192.0.2.66") for n in range(count)]


def broad(found: Iterable[tuple[Reading, Odd]]) -> list[tuple[str | None, str, int]]:
    return [(odd.reason, odd.severity, odd.count) for _, odd in found if odd.kind == "breadth"]


def test_a_new_reader_of_what_nobody_had_read_is_seen_by_the_breadth_of_it() -> None:
    found = run([*nightly(10, 30), *spree(300, day=10)])
    assert broad(found) == [("new", "high", count) for count in (20, 40, 80, 160)]
    assert {odd.kind for _, odd in found} == {"breadth"}
    assert "20 that it never had read, 20 that nobody had" in found[0][1].text


def test_many_single_oddities_of_an_hour_become_one_matter() -> None:
    found = run([*nightly(20, 30), *spree(14, of="vault")])
    assert [odd.kind for _, odd in found] == ["first"] * 4 + ["breadth", "breadth"]
    assert broad(found) == [("unusual", "medium", 5), ("unusual", "medium", 10)]
    later = run([*nightly(20, 30), *spree(14, of="vault"), *spree(16, at=4 * HOUR, of="vault", first=14)])
    assert [(odd.kind, odd.count) for _, odd in later[6:]] == [*[("first", 1)] * 4, ("breadth", 5), ("breadth", 10)]


def test_whose_credentials_are_taken_is_seen_by_number_address_and_hour() -> None:
    usual = nightly(20, 40)
    taken = [replace(one, address="192.0.2.66", at=one.at + DAY + 9 * HOUR) for one in usual[-40:]]
    found = broad(run([*usual, *taken]))
    assert found[0] == ("unusual", "medium", 5)
    more = broad(run([*nightly(20, 10), *spree(200, who="backup")]))
    assert more == [("new", "high", 20), *(("many", "high", count) for count in (40, 80, 160))]
    # One that is at home everywhere and at any hour, and knows every single secret.
    hours = [replace(one, at=NIGHT + (n // 24) * DAY + n % 24 * HOUR) for n, one in enumerate(nightly(5, 100))]
    calm = [replace(one, address=f"10.{n % 24}.0.1") for n, one in enumerate(hours)]
    everything = [replace(one, at=NIGHT + 21 * DAY + n, address="10.3.0.1") for n, one in enumerate(nightly(1, 100))]
    assert broad(run([*calm, *everything])) == [("many", "medium", 22), ("many", "medium", 44), ("many", "high", 84)]


@pytest.mark.parametrize(
    "readings",
    [
        pytest.param(nightly(20, 60), id="a backup that reads everything by habit"),
        pytest.param([*nightly(20, 60), *nightly(1, 80, at=20 * DAY + 2 * HOUR)], id="and twenty more of them"),
        pytest.param([*nightly(8, 30), *nightly(8, 40, at=8 * DAY + 2 * HOUR)], id="a backup that grows"),
        pytest.param([*nightly(20, 30), *spree(19)], id="a deployment of something new"),
        pytest.param(nightly(6, 60), id="the first days of the records"),
        pytest.param([*nightly(20, 60), *nightly(20, 60, at=2.8 * HOUR)], id="one that passes the full hour"),
    ],
)
def test_normal_days_are_no_breadth(readings: list[Reading]) -> None:
    assert run(sorted(readings, key=lambda one: one.at), Rules()) == []


def test_who_is_permitted_reads_nothing_new() -> None:
    rules = Rules((AccessConfig(name="eve", principals=("eve",), secrets=("*",)),))
    assert broad(run([*nightly(10, 30), *spree(300, day=10)], rules)) == []


def test_a_record_that_comes_late_opens_no_hour_again() -> None:
    found = run([*nightly(10, 30), *spree(19, day=10), *spree(19, day=10, at=2 * HOUR, first=100)])
    assert broad(found) == []
