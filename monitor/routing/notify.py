"""Whether the sink of a group is told now, why, and when to look again: stages, of which the first one that has
something to say decides. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from monitor.common.notification import Reason, State
from monitor.common.severity import Severity, rank
from monitor.routing.budget import PAUSE
from monitor.routing.routes import GroupKind, Route

__all__ = [
    "Group",
    "Member",
    "NotifiedState",
    "NotifyDecision",
    "Settled",
    "digest_hold",
    "needs_notify",
    "settle",
    "speaks",
    "stronger",
]

# A burst rarely ends in the same instant: collect this long before the first digest, so that it is worth reading.
_DIGEST_WAIT = 10.0
# A stored time further ahead than this comes from a clock that has since been put back: it must not mute anything.
_CLOCK_SLACK = 60.0
_CRITICAL_FOLD = 60.0  # seconds between the messages of a thread of critical ones, at most


@dataclass(frozen=True, slots=True)
class NotifiedState:
    """What a sink was last told about an incident."""

    state: State
    severity: Severity
    occurrences: int
    reopens: int
    validity: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """An incident in a group, now and as last told. `route` is None when no route leads it here any more."""

    state: State
    severity: Severity
    occurrences: int
    reopens: int
    told: NotifiedState | None
    route: Route | None
    validity: str | None = None
    silenced_until: float | None = None
    by_hand: bool = False  # open because somebody took its acknowledgement or resolution back

    def as_told(self) -> NotifiedState:
        return NotifiedState(self.state, self.severity, self.occurrences, self.reopens, self.validity)


@dataclass(frozen=True, slots=True)
class Group:
    """What one sink knows under one key. `hold_until`: not before this the first time; `sent_at`: last told. `fold`: a
    thread of incidents that keep coming in one shape; `flush`: a message leaves anyway, with which they go."""

    kind: GroupKind
    hold_until: float
    sent_at: float | None = None
    fold: bool = False
    flush: bool = False


@dataclass(frozen=True, slots=True)
class NotifyDecision:
    """`reason` None: nothing to say now. `due`: look again then; None: only when something happens."""

    reason: Reason | None
    due: float | None


class _Look:
    """A group and its members as the stages see them. `wake`: when the first silence ends."""

    def __init__(self, group: Group, members: Sequence[Member], now: float) -> None:
        self.group, self.now = group, now
        ends = [member.silenced_until for member in members]
        self.wake: float | None = min((end for end in ends if end not in (None, float("inf"))), default=None)
        self.audible = [member for member in members if member.silenced_until is None]
        self.routed = [member for member in self.audible if member.route is not None]
        self.route = next((member.route for member in self.routed if member.route is not None), None)
        self.unheard = [member for member in self.routed if member.told is None and member.state != "resolved"]
        self.told = [(member, member.told) for member in self.audible if member.told is not None]
        self.all_settled = all(member.state != "open" for member in self.audible)

    @property
    def gathers(self) -> bool:
        """Many that nobody follows one by one."""
        return self.group.fold or (self.route is not None and self.route.digest is not None)

    @property
    def sent_at(self) -> float:
        """The last time; never ahead of a clock that was put back."""
        sent_at = self.group.sent_at
        return sent_at if sent_at is not None and sent_at <= self.now + _CLOCK_SLACK else float("-inf")

    @property
    def quiet_until(self) -> float:
        return self.sent_at + _interval(self.group, self.route, self.unheard)

    def say(self, reason: Reason | None) -> NotifyDecision:
        return NotifyDecision(reason, self.wake)

    def wait(self, until: float) -> NotifyDecision:
        return NotifyDecision(None, until if self.wake is None else min(until, self.wake))


def needs_notify(group: Group, members: Sequence[Member], now: float) -> NotifyDecision:
    """Whether the group's sink must be told now, why, and when to ask again: what the first of the stages says that
    has something to say."""
    look = _Look(group, members, now)
    return next((decision for stage in _STAGES if (decision := stage(look)) is not None), look.say(None))


def _opening(look: _Look) -> NotifyDecision | None:
    """The first time: once the wait of the group is over."""
    group, now = look.group, look.now
    if group.sent_at is not None:
        return None
    if not look.unheard:
        return look.say(None)
    if now < group.hold_until <= now + _longest_hold(group, look.route):
        return look.wait(group.hold_until)
    if group.kind == "digest":
        return look.say("digest")
    # What the sink was told of it before may have been forgotten since: it is no news that there was such a secret.
    return look.say("reopened" if all(member.reopens for member in look.unheard) else "new")


def _alarm(look: _Look) -> NotifyDecision | None:
    """What waits for nobody: it was over, or less."""
    if any(member.state != "resolved" and member.reopens > was.reopens for member, was in look.told):
        return look.say("reopened")
    if any(
        (member.state != "resolved" and rank(member.severity) > rank(was.severity))
        # Nothing else opens what somebody has acknowledged: it is public now, or live, and critical before.
        or (member.state == "open" and was.state == "acknowledged" and not member.by_hand)
        for member, was in look.told
    ):
        return look.say("escalated")
    if any(member.state == "open" and was.state != "open" and member.by_hand for member, was in look.told):
        return look.say("reopened_by_hand")
    return None


def _worse(look: _Look) -> NotifyDecision | None:
    """One worse than all that was heard of: nothing lower holds it back. A thread has those of one severity."""
    heard = max((rank(was.severity) for _, was in look.told), default=rank("high"))
    worse = not look.group.fold and any(rank(member.severity) > heard for member in look.unheard)
    return look.say("new") if worse else None


def _changes(look: _Look) -> NotifyDecision | None:
    """The rest in Alertmanager's order, at most once in the group's interval: firing beyond what was sent, then no
    longer firing, then more of the same."""
    reason = _reason(look)
    if reason is None:
        return None
    # A person's decision is passed on at once where it leaves nothing open: somebody may still be called for it.
    settled = look.group.kind == "incident" or look.all_settled
    if look.now >= look.quiet_until or (settled and reason in ("resolved", "acknowledged")):
        return look.say(reason)
    return look.wait(look.quiet_until)


def _reason(look: _Look) -> Reason | None:
    if look.unheard:
        return "digest" if look.group.fold else "new"
    if look.gathers and not look.all_settled:
        return None  # of its end it is told once
    if any(member.state == "resolved" and was.state != "resolved" for member, was in look.told):
        over = not look.gathers or all(member.state == "resolved" for member in look.audible)
        return "resolved" if over else "acknowledged"
    if any(member.state == "acknowledged" and was.state == "open" for member, was in look.told):
        return "acknowledged"
    if any(
        member.state == "open"
        and member.route is not None
        and (member.occurrences > was.occurrences or member.validity not in (was.validity, "unknown", None))
        for member, was in look.told
    ):
        return "update"
    return None


def _repeat(look: _Look) -> NotifyDecision | None:
    """Again what is still open."""
    route = look.route
    if route is None or route.digest is not None or all(member.state != "open" for member in look.routed):
        return None
    # A repeat sooner than the group interval would make the latter meaningless.
    again = max(look.sent_at + route.repeat_interval, look.quiet_until)
    return look.say("repeat") if look.now >= again else look.wait(again)


_STAGES: tuple[Callable[[_Look], NotifyDecision | None], ...] = (_opening, _alarm, _worse, _changes, _repeat)


@dataclass(frozen=True, slots=True)
class Settled:
    """What comes of a look at a group. `shown`: of each member, whether the notification shows it; `due`: when to look
    again."""

    reason: Reason | None
    shown: tuple[bool, ...]
    sent_at: float | None
    due: float | None


def settle(group: Group, members: Sequence[Member], now: float) -> Settled:
    """What the group's sink is told now, and when to look again once it has been told."""
    decision = needs_notify(group, members, now)
    if decision.reason is None:
        return Settled(None, (False,) * len(members), group.sent_at, decision.due)
    shown = tuple(speaks(group, member, decision.reason) for member in members)
    after = [
        replace(member, told=member.as_told()) if said else member for member, said in zip(members, shown, strict=True)
    ]
    following = needs_notify(replace(group, sent_at=now, flush=False), after, now)
    # Nothing is left to say at this instant; a reason here would be a decision that does not settle.
    return Settled(decision.reason, shown, now, following.due if following.reason is None else now + 1.0)


def _interval(group: Group, route: Route | None, unheard: Sequence[Member]) -> float:
    """Seconds from one message of the group to the next. More of what is critical does not wait as long in a thread."""
    if route is None or (group.fold and group.flush):
        return 0.0
    if group.fold and any(member.severity == "critical" for member in unheard):
        return min(_CRITICAL_FOLD, route.group_interval)
    return route.group_interval


def speaks(group: Group, member: Member, reason: Reason) -> bool:
    """Whether a notification of the group for this reason shows this incident."""
    if member.silenced_until is not None:
        return False
    was = member.told
    if was is None:
        return member.route is not None and member.state != "resolved"
    changed = (member.state, member.severity, member.reopens) != (was.state, was.severity, was.reopens)
    if group.fold and reason != "repeat":
        return changed and reason != "digest"  # one of thousands: what was told before is not told again
    return member.route is not None or changed


def digest_hold(now: float, route: Route, last: tuple[float, float] | None) -> float:
    """When the next digest of a budget may leave. `last`: when the one before left, and the seconds it had collected.

    While a flood goes on, ever more rarely, up to once a group_interval: most floods are over in a minute.
    """
    first = min(_DIGEST_WAIT, route.group_interval)
    if last is None:
        return now + first
    left, collected = last
    if left > now + _CLOCK_SLACK or now >= left + route.group_interval:
        return now + first
    return now + min(max(2 * collected, PAUSE), route.group_interval)


_STRENGTH: tuple[Reason, ...] = (
    "progress", "repeat", "update", "acknowledged", "resolved", "reopened_by_hand", "escalated", "reopened",
    "digest", "new",
)  # fmt: skip


def stronger(reasons: Iterable[Reason]) -> Reason:
    """The one reason for a notification that stands for several not sent yet."""
    return max(reasons, key=_STRENGTH.index)


def _longest_hold(group: Group, route: Route | None) -> float:
    # A hold that could not have been set by this policy comes from a clock that was put back.
    if route is None:
        return float("inf")
    own = route.group_wait
    if group.kind == "digest":
        own = max(route.group_interval + _DIGEST_WAIT, route.digest or 0.0)
    return own + _CLOCK_SLACK
