"""How far a run of a runbook has come, and what follows. Pure: no clock, no disk; every decision carries its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from monitor.common.notification import State
from monitor.common.outcome import Outcome, kind_of
from monitor.common.severity import Severity, rank
from monitor.routing.match import Matcher
from monitor.runbook.book import Order, Phase, Proof, Runbook, spoken

__all__ = [
    "BY_WORD",
    "REFUSED",
    "Facts",
    "Procedure",
    "RunError",
    "RunbookRun",
    "Rung",
    "StepDecision",
    "Task",
    "TaskState",
    "Verb",
    "act",
    "apply",
    "begin",
    "choose_order",
    "moment",
    "possible",
    "progress",
    "quiet",
    "reminder_due",
    "reminds",
]

TaskState = Literal["open", "claimed", "done", "skipped", "failed"]
Verb = Literal["claim", "done", "skip", "fail", "reopen"]
_CLOCK_SLACK = 60.0  # seconds
_GATHER = 5.0  # seconds in which what is overdue is gathered: many rarely come in the same instant
_AGAIN = 15.0  # seconds until it is looked again whether the logs are read
REFUSED = "the issuer refuses the secret"  # why a step is done, in the run and in the trail
BY_WORD = "the incident was resolved as revoked"  # likewise; it is what somebody said, and proves nothing
_OVER: tuple[TaskState, ...] = ("done", "skipped")
_BECOMES: Mapping[Verb, TaskState] = {
    "claim": "claimed",
    "done": "done",
    "skip": "skipped",
    "fail": "failed",
    "reopen": "open",
}


class RunError(Exception):
    """What cannot be done with a run or a step. The message says why and what is possible."""


@dataclass(frozen=True, slots=True)
class Task:
    """A step of one run. `since`: when it came into its state; `rung`: how many rungs of the ladder were told of it;
    `quiet`: seconds without a sighting after which `unseen` is shown."""

    id: str
    title: str
    phase: Phase
    actor: str
    within: float
    deadline: float
    since: float
    needs: tuple[str, ...] = ()
    claims: str | None = None
    shows: Proof | None = None
    quiet: float = 0.0
    state: TaskState = "open"
    owner: str | None = None
    note: str = ""
    rung: int = 0

    @property
    def over(self) -> bool:
        return self.state in _OVER


@dataclass(frozen=True, slots=True)
class RunbookRun:
    """A runbook under way for one incident. Times are seconds since the epoch."""

    incident: str
    book: str
    title: str
    order: Order
    why: str  # this order
    started: float
    tasks: tuple[Task, ...] = ()
    ended: float | None = None

    @property
    def done(self) -> int:
        """How many steps are over."""
        return sum(task.over for task in self.tasks)

    @property
    def next(self) -> Task | None:
        """What comes next: of the steps that wait for no other, the one that is due first."""
        over = {task.id for task in self.tasks if task.over}
        ready = [task for task in self.tasks if not task.over and over.issuperset(task.needs)]
        return min(ready, key=lambda task: task.deadline, default=None) if self.ended is None else None

    def task(self, id_: str) -> Task:
        """Raises RunError."""
        for task in self.tasks:
            if task.id == id_:
                return task
        known = ", ".join(task.id for task in self.tasks)
        raise RunError(f"the run of incident {self.incident} has no step {id_!r}; it has {known}")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the incident. `reopened`: just now, as it was seen after it was resolved as revoked, or by
    somebody's hand. `proofs`: what the world has shown, and when; `provider`: who said it; `asked`: step → whose answer
    alone it takes. `watched`: since when the logs that showed it are
    read without a gap; None: they are not, or nobody here knows."""

    state: State
    severity: Severity
    seen: float
    resolution: str | None = None
    reopened: Literal["seen", "hand"] | None = None
    proofs: Mapping[Proof, float] = field(default_factory=dict)
    provider: str = ""
    asked: Mapping[str, str] = field(default_factory=dict)
    watched: float | None = None


@dataclass(frozen=True, slots=True)
class Rung:
    """Whom a missed deadline is told, `after` seconds. `sinks` None: those that know the incident. `severity`: as what;
    None: that of the incident."""

    after: float = 0.0
    sinks: tuple[str, ...] | None = None
    severity: Severity | None = None
    matchers: tuple[Matcher, ...] = ()

    def takes(self, labels: Mapping[str, str]) -> bool:
        return all(matcher.matches(labels) for matcher in self.matchers)


@dataclass(frozen=True)
class Procedure:
    """What the configuration says about runs. `start_at`: the least severity whose incidents start one by themselves;
    None: none does. `book`: a runbook by name."""

    start_at: Severity | None = None
    ladder: tuple[Rung, ...] = (Rung(),)
    book: Callable[[str | None], Runbook | None] = lambda name: None

    def starts(self, severity: Severity) -> bool:
        return self.start_at is not None and rank(severity) >= rank(self.start_at)


@dataclass(frozen=True, slots=True)
class StepDecision:
    """What follows, and why. `rung`: the one that is told (its place in the ladder)."""

    kind: Literal["done", "reopen", "overdue", "end", "resume"]
    step: str | None
    reason: str
    rung: int = 0


def choose_order(book: Runbook, labels: Mapping[str, str], asked: Order | None = None) -> tuple[Order, str]:
    """Contain first or replace first, and why: people, then danger, then the runbook, then severity."""
    severity = labels.get("severity", "")
    works = labels.get("validity") in ("active", "valid")
    reasons: tuple[tuple[bool, Order | None, str], ...] = (
        (True, asked, "somebody chose it"),
        (labels.get("publicly_leaked") == "true", "contain", "the secret is public"),
        (works and severity == "critical", "contain", "the secret is critical and works"),
        (True, book.order, f"the runbook {book.name} says so"),
        (severity in ("critical", "high"), "contain", f"severity {severity}"),
        (True, "replace", f"severity {severity or 'unknown'}"),
    )
    return next((order, why) for holds, order, why in reasons if holds and order is not None)


def begin(
    incident: str, book: Runbook, labels: Mapping[str, str], now: float, asked: Order | None = None
) -> RunbookRun:
    """A run of `book` for an incident with these labels."""
    order, why = choose_order(book, labels, asked)
    chosen = book.chosen(labels)
    ids = {step.id for step in chosen}
    tasks = tuple(
        Task(
            id=step.id,
            title=step.title,
            phase=step.phase,
            actor=step.actor,
            within=step.within_in(order),
            deadline=now + step.within_in(order),
            since=now,
            needs=tuple(need for need in step.needs_in(order) if need in ids),
            claims=step.claims,
            shows=step.verify.shows if step.verify else None,
            quiet=step.verify.silence if step.verify else 0.0,
        )
        for step in chosen
    )
    return RunbookRun(incident, book.name, book.title, order, why, now, tasks)


def progress(
    run: RunbookRun,
    facts: Facts,
    now: float,
    ladder: Sequence[Rung] = (),
    labels: Mapping[str, str] | None = None,
) -> list[StepDecision]:
    """What the facts and the time make of a run. Apply each decision with `apply`; then there are no more of them."""
    if not Outcome(kind_of(facts.state, facts.resolution)).due:
        if run.ended is not None:
            return []
        reason = f"the incident was resolved as {facts.resolution}"
        return [StepDecision("end", None, reason)]
    decisions = _contradicted(run, facts)
    again = {decision.step for decision in decisions}
    if run.ended is not None:
        left = facts.reopened == "hand" and run.done < len(run.tasks)
        reason = decisions[0].reason if decisions else "the incident was opened again"
        return [StepDecision("resume", None, reason), *decisions] if decisions or left else []

    decisions += [decision for decision in _shown(run, facts, now) if decision.step not in again]
    settled = again | {decision.step for decision in decisions}
    for task in run.tasks:
        if not task.over and task.id not in settled:
            decisions += _missed(task, now, ladder, labels or {})
    finished = {decision.step for decision in decisions if decision.kind == "done"}
    if run.tasks and not again and all(task.over or task.id in finished for task in run.tasks):
        decisions.append(StepDecision("end", None, "every step is done or skipped"))
    return decisions


def _contradicted(run: RunbookRun, facts: Facts) -> list[StepDecision]:
    """Steps that claimed what a sighting shows to be wrong."""
    found = []
    for task in run.tasks:
        if task.state != "done":
            continue
        if task.claims is not None and facts.reopened == "seen":
            found.append(StepDecision("reopen", task.id, "the secret was seen again after it was revoked"))
        elif task.claims == "unused" and facts.seen > task.since:
            found.append(StepDecision("reopen", task.id, "the secret was seen again after the step was done"))
    return found


def _shown(run: RunbookRun, facts: Facts, now: float) -> list[StepDecision]:
    """Steps that the world, or the resolution, shows to be done."""
    over = {task.id for task in run.tasks if task.over}
    silent = {} if facts.watched is None else quiet(run, max(facts.seen, facts.watched))
    decisions = []
    for task in run.tasks:
        if task.over:
            continue
        if task.claims == "revoked" and facts.resolution == "revoked":
            decisions.append(StepDecision("done", task.id, BY_WORD))
        elif silent.get(task.id, now + 1.0) <= now:
            decisions.append(StepDecision("done", task.id, f"no log has shown the secret for {spoken(task.quiet)}"))
        elif task.shows is None or facts.asked.get(task.id, facts.provider) != facts.provider:
            continue
        elif facts.proofs.get(task.shows, 0.0) > run.started and over.issuperset(task.needs):
            decisions.append(StepDecision("done", task.id, _PROOFS[task.shows]))
    return decisions


_PROOFS: Mapping[Proof, str] = {
    "refused": REFUSED,
    "valid": "the new secret works",
    "unseen": "no log shows the secret any more",
}


def quiet(run: RunbookRun, seen: float) -> dict[str, float]:
    """When each step that waits for silence has it, if the secret is not seen again after `seen`. Silence before the
    steps it needs are over says nothing, nor does that before it came into its state."""
    over = {task.id: task.since for task in run.tasks if task.over}
    return {
        task.id: max(run.started, seen, task.since, *(over[need] for need in task.needs)) + task.quiet
        for task in run.tasks
        if task.quiet and not task.over and over.keys() >= set(task.needs)
    }


def _missed(task: Task, now: float, ladder: Sequence[Rung], labels: Mapping[str, str]) -> list[StepDecision]:
    """Each rung once. One that is not for this incident is passed over with the next that is."""
    found = []
    for place in range(task.rung, len(ladder)):
        if now < task.deadline + ladder[place].after:
            break
        if ladder[place].takes(labels):
            found.append(StepDecision("overdue", task.id, f"step {task.id} was due and is {task.state}", place))
    return found


def moment(
    run: RunbookRun, ladder: Sequence[Rung], labels: Mapping[str, str], seen: float = 0.0, now: float = 0.0
) -> float | None:
    """When time alone will make a difference; None: it will not. `seen`: the secret, last. What has been silent for
    long enough by `now` and is not done waits for its logs to be read: it is looked at again soon."""
    if run.ended is not None:
        return None
    times = [at for task in run.tasks if (at := _next_rung(task, ladder, labels)) is not None]
    times += [max(at, now + _AGAIN if now else 0.0) for at in quiet(run, seen).values()]
    return min(times, default=None)


def possible(run: RunbookRun, now: float) -> RunbookRun:
    """The run without deadlines further off than they can have been set: by a clock that was put back since."""
    return replace(run, tasks=tuple(_possible(task, now) for task in run.tasks))


def _possible(task: Task, now: float) -> Task:
    latest = now + task.within
    return replace(task, deadline=latest) if task.deadline > latest + _CLOCK_SLACK else task


def _next_rung(task: Task, ladder: Sequence[Rung], labels: Mapping[str, str]) -> float | None:
    """When the next rung that is for this incident hears of a step; the others would be due for ever."""
    if task.over:
        return None
    return next((task.deadline + rung.after for rung in ladder[task.rung :] if rung.takes(labels)), None)


def apply(run: RunbookRun, decision: StepDecision, now: float) -> RunbookRun:
    """The run after a decision."""
    if decision.kind == "end":
        return replace(run, ended=now)
    if decision.kind == "resume":
        tasks = tuple(task if task.over else replace(task, deadline=now + task.within, rung=0) for task in run.tasks)
        return replace(run, tasks=tasks, ended=None)
    assert decision.step is not None
    task = run.task(decision.step)
    if decision.kind == "overdue":
        return _with(run, replace(task, rung=decision.rung + 1))
    if decision.kind == "reopen":
        return _with(run, _reopened(task, now))
    return _with(run, replace(task, state="done", since=now, note=decision.reason))


def act(
    run: RunbookRun, step: str, verb: Verb, *, actor: str, now: float, note: str = "", anyway: bool = False
) -> tuple[RunbookRun, Task]:
    """What a person does with a step. Raises RunError. `anyway`: although another has it, or steps before it wait."""
    task = run.task(step)
    becomes = _BECOMES[verb]
    for refused, why in _refusals(run, task, verb, actor=actor, note=note, anyway=anyway):
        if refused:
            raise RunError(why)
    if verb == "reopen":
        changed = _reopened(task, now)
        return replace(_with(run, changed), ended=None), changed
    owner = actor if verb in ("claim", "done") or task.owner is None else task.owner
    changed = replace(task, state=becomes, owner=owner, since=now, note=note or task.note)
    return _with(run, changed), changed


def _refusals(
    run: RunbookRun, task: Task, verb: Verb, *, actor: str, note: str, anyway: bool
) -> Sequence[tuple[object, str]]:
    """What may not be done with a step, and why, in the order in which it is said."""
    same = task.state == _BECOMES[verb] and (verb != "claim" or task.owner == actor)
    by = (f" by {task.owner}" if task.owner else "") + ("; reopen it first" if task.over else "")
    waiting = [] if verb != "done" or anyway else [need for need in task.needs if not run.task(need).over]
    return (
        (
            run.ended is not None and verb != "reopen",
            f"the run has ended; reopen a step first: reopen {task.id}",
        ),
        (
            verb == "claim" and task.state == "claimed" and task.owner != actor and not anyway,
            f"step {task.id} is claimed by {task.owner}; take it over with --anyway",
        ),
        (verb == "reopen" and task.state == "open", f"step {task.id} is open already"),
        (verb != "reopen" and (task.over or same), f"step {task.id} is {task.state} already{by}"),
        (verb == "skip" and not note, f"say why step {task.id} is skipped, with --note"),
        (waiting, f"step {task.id} comes after {', '.join(waiting)} ({run.why}); or say --anyway"),
        (
            verb == "done" and task.claims == "revoked" and not note,
            f"nothing shows that the secret is revoked: ask its issuer (monitor verify {run.incident}), "
            "or say with --note what does",
        ),
    )


def _reopened(task: Task, now: float) -> Task:
    return replace(task, state="open", since=now, deadline=now + task.within, rung=0)


def _with(run: RunbookRun, changed: Task) -> RunbookRun:
    return replace(run, tasks=tuple(changed if task.id == changed.id else task for task in run.tasks))


def reminds(state: State, *, named: bool) -> bool:
    """Whether somebody is reminded of an incident. Who knows of it is until somebody has taken it; who is `named` on
    the ladder is also told of what is not done then."""
    return state == "open" or (named and state == "acknowledged")


def reminder_due(many: bool, waiting: float | None, made: float, now: float) -> float:
    """When a sink is reminded of what is overdue: at once of one thing, and of many together. `many`: more than one
    incident, with what waits. `waiting`: when that is due; `made`: when it was made, or now. How soon after another
    message of many: monitor.routing.budget."""
    return max(made + _GATHER if many else now, 0.0 if waiting is None else waiting)
