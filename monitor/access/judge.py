"""What is out of order about a reading: against policy, or against what is usual. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from monitor.access import breadth
from monitor.access.baseline import DAY, HABIT_DAYS, Habit, mature, observe, odd_address, odd_hour, odd_volume
from monitor.access.policy import AccessConfig, allowed, breach
from monitor.access.reading import Reading
from monitor.common.severity import Severity

__all__ = ["HABITUAL", "KINDS", "Habits", "Kind", "Odd", "Rules", "judge"]

Kind = Literal["policy", "browser", "breadth", "first", "denied", "volume", "address", "hour"]

KINDS: dict[Kind, str] = {
    "policy": "Secret read against policy",
    "browser": "Service key used in a browser",
    "breadth": "Many secrets read within an hour",
    "first": "First reader of a secret",
    "denied": "Reads of secrets denied in a row",
    "volume": "Secret read unusually often",
    "address": "Secret read from an unusual address",
    "hour": "Secret read at an unusual hour",
}
HABITUAL: frozenset[Kind] = frozenset({"first", "volume", "address", "hour"})  # which are parts of a broad hour
_ROW = 5  # denied reads in a row …
_ROW_WITHIN = 3600.0  # … within so many seconds
_BROWSER = re.compile(r"Mozilla/\d.*(?:Gecko|AppleWebKit|Chrome|Firefox|Safari)", re.IGNORECASE | re.DOTALL)
_PEOPLE = 32  # readers of a secret that are named


@dataclass(frozen=True, slots=True)
class Odd:
    """One thing that is out of order. `reason`: which limit was passed, where there are several; `count`: how many
    secrets it is about by now."""

    kind: Kind
    severity: Severity
    text: str
    reason: breadth.Reason | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Habits:
    """What was usual before a reading; None: nothing is known."""

    pair: Habit | None = None  # this principal with this secret
    secret: Habit | None = None
    principal: Habit | None = None
    trail: Habit | None = None  # all that its source has read


@dataclass(frozen=True, slots=True)
class Rules:
    """`[[access]]`."""

    entries: tuple[AccessConfig, ...] = field(default_factory=tuple)


def judge(rules: Rules, reading: Reading, habits: Habits) -> tuple[list[Odd], Habits]:
    """What is out of order, the worst first, and what is usual from now on."""
    if reading.outcome == "denied":
        principal, odd = _refused(habits.principal, reading)
        return [odd] if odd else [], replace(habits, principal=principal)

    odds: list[Odd] = []
    wrong = breach(rules.entries, reading)
    if wrong is not None:
        told = f"{reading.principal} read {wrong.item}: {wrong.reason}"
        odds.append(Odd("policy", "critical" if wrong.never else "high", told))
    if reading.outcome == "used" and reading.secret.startswith("Supabase ") and _BROWSER.match(reading.agent):
        text = f"the key of the server was shown by a browser ({reading.agent[:80]}): whoever uses the page has it"
        odds.append(Odd("browser", "critical", text))

    # A clock that was put back, or a file found late: neither proves nor breaks a habit.
    late = habits.pair is not None and reading.at < habits.pair.last - HABIT_DAYS * DAY
    if late:
        return odds, habits
    unusual = _unusual(rules, reading, habits, told=wrong is not None)
    after = _after(reading, habits)
    if reading.outcome != "read" or after.principal is None:
        return odds + unusual, after
    broad, width = _broad(rules, reading, habits, unusual=bool(unusual))
    if not width.includes(reading.at):  # else each by itself is a part of what was said of the hour
        odds += unusual
    return odds + broad, replace(after, principal=replace(after.principal, breadth=width))


def _broad(rules: Rules, reading: Reading, habits: Habits, *, unusual: bool) -> tuple[list[Odd], breadth.Breadth]:
    """Whether that is one secret too many for its reader in this hour."""
    at, reader = reading.at, habits.principal
    known = reader.breadth if reader is not None else breadth.Breadth()
    if habits.pair is not None and int(habits.pair.last // breadth.HOUR) >= int(at // breadth.HOUR):
        return [], known
    new = habits.pair is None and not allowed(rules.entries, reading)
    strange = "; ".join(filter(None, (odd_address(reader, at, reading.address), odd_hour(reader, at))))
    unread = habits.secret is None
    width = breadth.widen(known, at, new=new, unread=unread, unusual=unusual, strange=strange)
    answer = breadth.too_broad(width, trail=mature(habits.trail, at))
    if width is known or answer is None:
        return [], width
    reason, limit = answer
    high = reason != "unusual" and (bool(width.strange) or not mature(reader, at) or width.secrets >= 4 * limit)
    if width.secrets < 2 * width.reported and high <= width.high:
        return [], width
    text = "; ".join(filter(None, (_told_broad(reading, width, reason, limit), width.strange)))
    odd = Odd("breadth", "high" if high or width.high else "medium", text, reason, width.secrets)
    return [odd], replace(width, reported=width.secrets, high=high or width.high)


def _told_broad(reading: Reading, width: breadth.Breadth, reason: breadth.Reason, limit: float) -> str:
    limits: dict[breadth.Reason, str] = {
        "unusual": f"{width.unusual} of them out of habit",
        "new": f"{int(limit)} and more that are new to a reader are too many",
        "many": f"more than {int(limit)} are unusual for it",
    }
    when = datetime.fromtimestamp(width.hour * breadth.HOUR, UTC).strftime("%H:%M")
    return (
        f"{reading.principal} has read {width.secrets:,} different secrets in the hour of {when} UTC so far,"
        f" {width.new:,} that it never had read, {width.unread:,} that nobody had: {limits[reason]}"
    )


def _unusual(rules: Rules, reading: Reading, habits: Habits, *, told: bool) -> list[Odd]:
    at = reading.at
    if habits.pair is None:
        if told or not mature(habits.secret, at) or allowed(rules.entries, reading):
            return []
        assert habits.secret is not None
        others = ", ".join(habits.secret.people[:5]) or "others"
        text = f"{reading.principal} had never read it; {habits.secret.times:,} readings were by {others}"
        return [Odd("first", "medium", text)]
    answers: tuple[tuple[Kind, Severity, str | None], ...] = (
        ("volume", "medium", odd_volume(habits.pair, at)[0]),
        ("address", "medium", odd_address(habits.pair, at, reading.address)),
        ("hour", "low", odd_hour(habits.pair, at)),
    )
    return [Odd(kind, severity, why) for kind, severity, why in answers if why]


def _after(reading: Reading, habits: Habits) -> Habits:
    at = reading.at
    pair = observe(habits.pair, at, reading.address, odd_volume(habits.pair, at)[1])
    secret = observe(habits.secret, at)
    if reading.principal not in secret.people and len(secret.people) < _PEOPLE:
        secret = replace(secret, people=(*secret.people, reading.principal))
    principal = replace(observe(habits.principal, at, reading.address), refused=0)
    return Habits(pair, secret, principal, observe(habits.trail, at))


def _refused(habit: Habit | None, reading: Reading) -> tuple[Habit, Odd | None]:
    at = reading.at
    known = habit or Habit(at, at)
    if known.refused and 0 <= at - known.refused_since <= _ROW_WITHIN:
        known = replace(known, refused=known.refused + 1, last=max(known.last, at))
    else:
        known = replace(known, refused=1, refused_since=at, last=max(known.last, at))
    if not (known.probed and 0 <= at - known.probed_since <= _ROW_WITHIN):
        known = replace(known, probed=(), probed_since=at)
    if reading.secret not in known.probed:
        known = replace(known, probed=(*known.probed, reading.secret)[-_ROW:])
    if known.refused >= _ROW:
        since, times = known.refused_since, f"{known.refused} times in a row"
    elif len(known.probed) >= _ROW:  # by who reads something that it may in between
        since, times = known.probed_since, f"{_ROW} different secrets"
    else:
        return known, None
    times += f" within {max(1, round((at - since) / 60))} minutes"
    text = f"{reading.principal} was refused {times}, last {reading.secret}"
    return known, Odd("denied", "medium", text)
