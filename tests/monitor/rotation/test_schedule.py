from __future__ import annotations

from dataclasses import replace

from monitor.rotation.schedule import Managed, calendar, due, policy_of
from monitor.rotation.settings import RotationConfig

DAY = 86_400.0
T = 20_000 * DAY
SECRET = Managed("vault", "secret/app.KEY", "m1", known=T - 5 * DAY, changed=T - 80 * DAY, tags=("critical",))
SETTINGS = RotationConfig()


def test_a_critical_secret_is_due_a_quarter_after_its_last_change() -> None:
    found = due(SECRET, SETTINGS, T)
    assert found is not None
    assert (found.at, found.standing, found.severity) == (T + 10 * DAY, "soon", "high")
    assert found.why == "every 90 days, last changed 80 days ago"
    later, over = due(SECRET, SETTINGS, T - 10 * DAY), due(SECRET, SETTINGS, T + 10 * DAY)
    assert later is not None
    assert over is not None
    assert (later.standing, over.standing) == ("later", "overdue")


def test_where_the_manager_does_not_say_it_counts_from_when_we_know_it() -> None:
    found = due(replace(SECRET, changed=None), SETTINGS, T)
    assert found is not None
    assert (found.at, found.why) == (T + 85 * DAY, "every 90 days, known 5 days ago")


def test_an_exposed_secret_is_due_at_once_whatever_its_age_and_policy() -> None:
    found = due(replace(SECRET, exposed=T - 2 * DAY, tags=()), SETTINGS, T)
    assert found is not None
    assert (found.at, found.why, found.severity, found.standing) == (T - DAY, "it was exposed", "critical", "overdue")
    assert due(replace(SECRET, tags=()), SETTINGS, T) is None


def test_a_value_that_expires_is_due_before_whatever_its_policy() -> None:
    ends = replace(SECRET, tags=(), expires=T + 10 * DAY)
    found = due(ends, SETTINGS, T)
    assert found is not None
    assert (found.at, found.why, found.severity, found.standing) == (
        T + 3 * DAY,
        "it expires on 2024-10-14",
        "high",
        "soon",
    )
    late = due(ends, SETTINGS, T + 10 * DAY)
    assert late is not None
    assert (late.why, late.standing) == ("it expired on 2024-10-14", "overdue")
    ours = due(replace(ends, tags=("critical",), expires=T + 30 * DAY), SETTINGS, T)
    assert ours is not None
    assert ours.why.startswith("every 90 days")  # that is earlier
    now = RotationConfig.model_validate({"before_expiry": "0s"})
    assert [one.at for one in calendar([ends], now, T)] == [T + 10 * DAY]


def test_of_a_short_life_half_may_pass_and_of_the_shortest_all() -> None:
    for tracked, at in ((DAY * 4, T + 2 * DAY), (3600.0, T + DAY + 3600.0)):
        for one in (replace(SECRET, changed=T), replace(SECRET, changed=None, known=T)):
            found = due(replace(one, tags=(), expires=T + tracked), SETTINGS, T)
            assert found is not None
            assert found.at == at
    known_late = due(replace(SECRET, tags=(), changed=None, known=T, expires=T - 5 * DAY), SETTINGS, T)
    assert known_late is not None
    assert known_late.standing == "overdue"


def test_what_has_passed_counts_together() -> None:
    aged = replace(SECRET, changed=T - 100 * DAY)
    found = due(replace(aged, exposed=T - 2 * DAY), SETTINGS, T)
    assert found is not None
    assert (found.at, found.severity) == (T - 10 * DAY, "critical")
    assert found.why == "every 90 days, last changed 100 days ago; it was exposed"
    found = due(replace(aged, exposed=T), SETTINGS, T)  # not yet
    assert found is not None
    assert (found.at, found.severity) == (T - 10 * DAY, "high")


def test_the_first_policy_that_fits_all_it_says_counts() -> None:
    policies = [
        {"every": "30d", "environments": ["production"], "names": ["secret/app.*"]},
        {"every": "60d", "entries": ["vault"]},
        {"every": "90d"},
    ]
    settings = RotationConfig.model_validate({"policies": policies})
    ages = {
        policy.every / DAY: one
        for one in (
            replace(SECRET, environment="production"),
            replace(SECRET, environment="production", name="other"),
            replace(SECRET, entry="aws"),
        )
        if (policy := policy_of(one, settings))
    }
    assert list(ages) == [30, 60, 90]
    assert policy_of(SECRET, RotationConfig(policies=())) is None


def test_the_calendar_begins_with_what_is_due_first() -> None:
    secrets = [
        SECRET,
        replace(SECRET, name="z", changed=T - 89 * DAY),
        replace(SECRET, name="a", changed=T - 89 * DAY),
        replace(SECRET, name="never", tags=()),
    ]
    assert [one.secret.name for one in calendar(secrets, SETTINGS, T)] == ["a", "z", "secret/app.KEY"]
