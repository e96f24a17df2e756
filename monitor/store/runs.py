"""Runs of runbooks: started with their incident, moved by people, facts and time, in the transaction of the cause."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from sqlalchemy import Connection, delete, func, select

from monitor.common import wording
from monitor.common.severity import worst
from monitor.domain.incidents import Incident
from monitor.routing.routes import IncidentPlace, Route, labels
from monitor.runbook.book import Order, Proof
from monitor.runbook.progress import (
    Facts,
    RunbookRun,
    RunError,
    StepDecision,
    Verb,
    act,
    apply,
    begin,
    moment,
    possible,
    progress,
    quiet,
    reminds,
)
from monitor.store.changes import newest_place, newest_places
from monitor.store.drills import drills_among, paging
from monitor.store.reminders import OVERDUE, Missed, Reminders
from monitor.store.rows import apply_all, clean, incident_by_id, load_incidents, load_runs, upsert
from monitor.store.schema import findings, groups, members, runs, steps
from monitor.store.silences import silenced_among
from monitor.store.suppression import Quiet
from monitor.store.trail import append, entry
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only

__all__ = ["RunTrigger", "Runs", "adopt", "do", "follow", "forget", "start"]

_AT_A_TIME = 100  # runs looked at in one transaction of a sweep
_LONGEST_NAP = 3600.0  # seconds that a silence may hold a deadline back before it is looked at again
_KEEP = upsert(
    runs,
    ("incident", "book", "title", "way", "why", "started", "ended", "due"),
    on=("incident",),
    changing=("book", "title", "way", "why", "started", "ended", "due"),
)
_STEP = tuple(column.name for column in steps.c)
_KEEP_STEPS = upsert(
    steps, _STEP, on=("incident", "step"), changing=[name for name in _STEP if name not in ("incident", "step")]
)
_NAMES: Mapping[str, str] = {
    "done": "step_done",
    "reopen": "step_reopened",
    "overdue": "step_overdue",
    "end": "run_ended",
    "resume": "run_resumed",
}
_ACTED: Mapping[Verb, str] = {
    "claim": "step_claimed",
    "done": "step_done",
    "skip": "step_skipped",
    "fail": "step_failed",
    "reopen": "step_reopened",
}


@dataclass(frozen=True, slots=True)
class RunTrigger:
    """An incident after something happened to it. `starts`: a run begins if it is severe enough and has none.
    `proofs`: what the world was seen to show just now; `provider`: who said it."""

    incident: Incident
    place: IncidentPlace = field(default_factory=IncidentPlace)
    starts: bool = False
    reopened: Literal["seen", "hand"] | None = None
    proofs: Mapping[Proof, float] = field(default_factory=dict)
    provider: str = ""


class Runs(StoreRepository):
    """Runs of runbooks. An incident is named by its id."""

    async def get(self, incident: str) -> RunbookRun | None:
        """None: the incident has none."""
        return (await self.of([incident])).get(incident)

    @read_only
    def of(self, connection: Connection, ids: Sequence[str]) -> Mapping[str, RunbookRun]:
        """By incident."""
        return load_runs(connection, ids)

    @read_only
    def find(self, connection: Connection, limit: int, *, ended: bool = False) -> tuple[list[RunbookRun], int]:
        """Those under way, the one with the next deadline first; with `ended` those that are over behind them, the last
        one first. At most `limit`, and how many there are."""
        wanted = () if ended else (runs.c.ended.is_(None),)
        order = (runs.c.ended.is_not(None), runs.c.ended.desc(), runs.c.due, runs.c.started)
        ids = connection.execute(select(runs.c.incident).where(*wanted).order_by(*order).limit(limit)).scalars().all()
        loaded = load_runs(connection, ids)
        total = connection.execute(select(func.count()).select_from(runs).where(*wanted)).scalar_one()
        return [loaded[id_] for id_ in ids], total

    @durably
    def start(
        self, tx: Transaction, incident: str, *, actor: str, book: str | None = None, order: Order | None = None
    ) -> RunbookRun:
        """By hand, whatever the severity. Raises LookupError and RunError."""
        return start(tx, incident, actor=actor, book=book, order=order)

    @durably
    def act(
        self,
        tx: Transaction,
        incident: str,
        step: str,
        verb: Verb,
        *,
        actor: str,
        note: str = "",
        anyway: bool = False,
    ) -> RunbookRun:
        """What a person did with a step. Raises LookupError and RunError."""
        return do(tx, incident, step, verb, actor=actor, note=note, anyway=anyway)

    @durably
    def prove(self, tx: Transaction, incident: str, shows: Proof, note: str, provider: str = "") -> RunbookRun | None:
        """What the world was seen to show just now; `provider`: who said it. Raises LookupError."""
        about, seen, run = _standing(tx.connection, incident)
        if run is None:
            return None
        work = _Work(tx)
        run = work.settle(run, about, seen, proofs={shows: tx.now}, provider=provider, note=note)
        work.write()
        return run

    async def sweep(self, *, everything: bool = False, watched: Mapping[str, float] | None = None) -> float | None:
        """Whatever has become due; returns when the next is. `everything`: ladder or clock may have changed.
        `watched`: sources that are read without a gap, with since when."""
        after: str | None = "" if everything else None
        while after is not None:
            after = await self._session.write(partial(_look_again, after=after))
        more = True
        while more:
            more = await self._session.write(partial(_sweep, watched=watched or {}), durable=True)
        return await self._session.read(lambda connection: connection.execute(select(func.min(runs.c.due))).scalar())


def start(
    tx: Transaction, incident: str, *, actor: str, book: str | None = None, order: Order | None = None
) -> RunbookRun:
    """By hand, whatever the severity. Raises LookupError and RunError."""
    about, seen, run = _standing(tx.connection, incident)
    if run is not None and run.ended is None:
        raise RunError(
            f"the runbook {run.book} is under way for incident {incident} since {wording.moment(run.started)}"
        )
    chosen = tx.procedure.book(book or about.runbook) or (tx.procedure.book("generic-secret") if book is None else None)
    if chosen is None:
        raise RunError(f"there is no runbook {book!r}; `monitor runbook list --books` shows them")
    forget(tx, [incident])  # the earlier one stays in the trail
    work = _Work(tx)
    run = begin(incident, chosen, seen, tx.now, order)
    work.started(run, about, seen, actor)
    work.write()
    return run


def follow(tx: Transaction, turns: Sequence[RunTrigger], trail: Sequence[dict[str, Any]] = ()) -> None:
    """Start the runs that begin with these incidents, and see what the turn makes of those under way.

    `trail`: what there is to write of them already. Written at once, a chain is read and sealed once.
    """
    if not turns:
        append(tx, trail)
        return
    under_way = load_runs(tx.connection, [turn.incident.id for turn in turns])
    work = _Work(tx)
    for turn in turns:
        seen = labels(turn.incident, *turn.place)
        run = under_way.get(turn.incident.id)
        if run is not None:
            work.settle(run, turn.incident, seen, reopened=turn.reopened, proofs=turn.proofs, provider=turn.provider)
        elif turn.starts and tx.procedure.starts(turn.incident.severity):
            book = tx.procedure.book(turn.incident.runbook) or tx.procedure.book("generic-secret")
            if book is not None:
                run = begin(turn.incident.id, book, seen, tx.now)
                work.started(run, turn.incident, seen, "monitor")
    work.write(trail)


def adopt(tx: Transaction, other: str, incident: Incident) -> None:
    """The run that is under way for another incident goes on for this one, unless it has its own."""
    loaded = load_runs(tx.connection, [other, incident.id])
    run = loaded.get(other)
    if run is None or run.ended is not None or incident.id in loaded:
        return
    forget(tx, [other])
    work = _Work(tx)
    work.note(incident, "run_adopted", "monitor", f"{run.book}, under way for incident {other}")
    seen = labels(incident, *newest_place(tx.connection, incident.id))
    work.keep(replace(run, incident=incident.id), moment(run, tx.procedure.ladder, seen))
    work.write()


def forget(tx: Transaction, ids: Sequence[str]) -> None:
    """Of incidents whose details go."""
    tx.connection.execute(delete(steps).where(steps.c.incident.in_(ids)))
    tx.connection.execute(delete(runs).where(runs.c.incident.in_(ids)))


class _Work:
    """What one transaction changes, written in bulk."""

    def __init__(self, tx: Transaction) -> None:
        self.tx = tx
        self.quiet = Quiet.within(tx)
        self.trail: list[dict[str, Any]] = []
        self.runs: dict[str, tuple[RunbookRun, float | None]] = {}  # incident → run, when to look at it again
        self.reminders = Reminders(tx)

    def started(self, run: RunbookRun, incident: Incident, seen: Mapping[str, str], actor: str) -> None:
        order = "contain first" if run.order == "contain" else "replace first"
        self.note(incident, "run_started", actor, f"{run.book}, {order}: {run.why}")
        self.keep(run, moment(run, self.tx.procedure.ladder, seen))

    def note(self, incident: Incident, action: str, actor: str, note: str, step: str | None = None) -> None:
        made = entry(incident, incident, action, actor=actor, note=note, now=self.tx.now, step=step or "")
        self.trail.append(made)

    def keep(self, run: RunbookRun, due: float | None) -> None:
        self.runs[run.incident] = (run, due)

    def settle(
        self,
        run: RunbookRun,
        incident: Incident,
        seen: Mapping[str, str],
        *,
        reopened: Literal["seen", "hand"] | None = None,
        proofs: Mapping[Proof, float] | None = None,
        provider: str = "",
        watched: float | None = None,
        note: str = "",
        before: RunbookRun | None = None,
    ) -> RunbookRun:
        """Apply what follows from the facts and the time. `before`: the run before somebody changed it just now."""
        tx = self.tx
        late = _late(before or run)
        facts = Facts(
            state=incident.state,
            severity=incident.severity,
            seen=incident.last_seen,
            resolution=incident.resolution,
            reopened=reopened,
            proofs=proofs or {},
            provider=provider,
            asked=self._asked(run) if proofs else {},
            watched=watched,
        )
        hushed = silenced_among(tx.connection, [incident.id], tx.now)
        until = self.quiet.everywhere(incident, seen, hushed.get(incident.id))
        ladder = tx.procedure.ladder if until is None else ()
        decisions = progress(run, facts, tx.now, ladder, seen)
        missed = [decision for decision in decisions if decision.kind == "overdue"]
        for decision in decisions:
            if note and decision.kind == "done":
                decision = replace(decision, reason=f"{decision.reason}: {note}")  # noqa: PLW2901
            run = apply(run, decision, tx.now)
            self.note(incident, _NAMES[decision.kind], "monitor", decision.reason, decision.step)
        for place in dict.fromkeys(decision.rung for decision in missed):
            if not reminds(incident.state, named=ladder[place].sinks is not None):
                continue
            self._tell(run, incident, seen, place, [one for one in missed if one.rung == place])
        if late and not _late(run):
            self.reminders.caught_up(incident.id, incident.severity)
        elif late and incident.state != "open":
            self.reminders.withdraw(incident.id, but=self._named(run, incident, seen))
        nap = None if until is None or run.ended is not None else min(until, tx.now + _LONGEST_NAP)
        due = moment(run, ladder, seen, max(incident.last_seen, watched or 0.0), tx.now)
        self.keep(run, nap if due is None else due if nap is None else min(due, nap))
        return run

    def _named(self, run: RunbookRun, incident: Incident, seen: Mapping[str, str]) -> frozenset[str]:
        """The sinks that the ladder names on the rungs that have heard of a step, while such are reminded although
        somebody has taken the incident."""
        if not reminds(incident.state, named=True):
            return frozenset()
        heard = self.tx.procedure.ladder[: max(task.rung for task in run.tasks if not task.over)]
        return frozenset(sink for rung in heard if rung.takes(seen) for sink in rung.sinks or ())

    def _asked(self, run: RunbookRun) -> Mapping[str, str]:
        """The steps that take the answer of one provider alone, as the runbook has it today."""
        book = self.tx.procedure.book(run.book)
        steps = book.steps if book else ()
        return {step.id: step.verify.probe for step in steps if step.verify and step.verify.probe}

    def _tell(
        self, run: RunbookRun, incident: Incident, seen: Mapping[str, str], place: int, missed: Sequence[StepDecision]
    ) -> None:
        """One rung of the ladder hears of the steps that were missed, each sink once."""
        rung = self.tx.procedure.ladder[place]
        tasks = [run.task(decision.step) for decision in missed if decision.step]
        title = f"Overdue: {', '.join(task.title for task in tasks)}"
        lines = [
            f"{task.id} was due {wording.moment(task.deadline)}"
            + (f" and is claimed by {task.owner}" if task.state == "claimed" and task.owner else "")
            for task in tasks
        ]
        drills = drills_among(self.tx.connection, [incident.fingerprint])
        for sink, key in self._whom(incident, seen, rung.sinks):
            if sink in self.tx.policy.pagers and not paging(drills, incident.fingerprint):
                continue
            severity = worst([incident.severity, rung.severity or incident.severity])
            self.reminders.add(Missed(sink, key, incident.id, severity, title, "; ".join(lines)))

    def _whom(
        self, incident: Incident, seen: Mapping[str, str], named: tuple[str, ...] | None
    ) -> list[tuple[str, str]]:
        """Sinks with the key under which each knows the incident. `named` None: those that were told of it."""
        known: dict[str, str] = {}
        query = select(groups.c.sink, groups.c.key).join(members, members.c.group == groups.c.id)
        query = query.where(members.c.incident == incident.id, groups.c.sent_at.is_not(None))
        for row in self.tx.connection.execute(query.order_by(groups.c.id)):
            known.setdefault(row.sink, row.key)
        alone = Route(sinks=tuple(self.tx.policy.sinks)).group_key(seen, incident.id)
        if named is not None:
            return [
                # A pager that has the incident as acknowledged wakes nobody for it: what is overdue is one of its own.
                (sink, f"{OVERDUE}{incident.id}" if sink in self.tx.policy.pagers else known.get(sink, alone))
                for sink in named
                if sink in self.tx.policy.sinks
            ]
        targets = self.tx.policy.targets(dict(seen), incident.id, self.tx.now)
        loud = {one.sink for one in targets if self.quiet.of(incident, seen, one.sink, one.route, None)[0] is None}
        muted = {one.sink for one in targets} - loud
        informed = [(sink, key) for sink, key in known.items() if sink in self.tx.policy.sinks]
        whom = informed or [(target.sink, target.key) for target in targets]
        # A sink that is told nothing now sees it with the rest, later; where that goes for all, the deadline waits.
        return [(sink, key) for sink, key in whom if sink not in muted] or whom

    def write(self, before: Sequence[dict[str, Any]] = ()) -> None:
        """`before`: entries of the trail that come before ours."""
        connection = self.tx.connection
        append(self.tx, [*before, *self.trail])
        apply_all(connection, _KEEP, [_run_row(run, due) for run, due in self.runs.values()])
        apply_all(connection, _KEEP_STEPS, [row for run, _ in self.runs.values() for row in _step_rows(run)])
        self.reminders.write()
        if self.trail:
            self.tx.announce()


def do(tx: Transaction, incident: str, step: str, verb: Verb, *, actor: str, note: str, anyway: bool) -> RunbookRun:
    """What a person did with a step. Raises LookupError and RunError."""
    about, seen, run = _standing(tx.connection, incident)
    if run is None:
        raise RunError(f"no runbook is under way for incident {incident}; `monitor runbook start {incident}` begins it")
    work = _Work(tx)
    before = run
    answer = about.verified
    if verb == "done" and not note and run.task(step).claims == "revoked" and answer and answer.validity == "refused":
        note = answer.reason
    run, task = act(run, step, verb, actor=actor, now=tx.now, note=clean(note), anyway=anyway)
    work.note(about, _ACTED[verb], actor, note, task.id)
    run = work.settle(run, about, seen, before=before)
    work.write()
    return run


def _sweep(tx: Transaction, *, watched: Mapping[str, float]) -> bool:
    """True when there may be more."""
    query = select(runs.c.incident).where(runs.c.ended.is_(None), runs.c.due <= tx.now).order_by(runs.c.due)
    ids = list(tx.connection.execute(query.limit(_AT_A_TIME)).scalars())
    if not ids:
        return False
    work = _Work(tx)
    due, known = load_runs(tx.connection, ids), _all_about(tx.connection, ids)
    for id_ in ids:
        about, seen = known[id_]
        silent = any(at <= tx.now for at in quiet(due[id_], about.last_seen).values())
        work.settle(due[id_], about, seen, watched=_since(tx, id_, watched) if silent else None)
    work.write()
    return len(ids) == _AT_A_TIME


def _since(tx: Transaction, incident: str, watched: Mapping[str, float]) -> float | None:
    """Since when everything that showed the secret is read here without a gap; None: it is not."""
    query = select(findings.c.source, findings.c.node).where(findings.c.incident == incident).distinct()
    places = tx.connection.execute(query).all()
    if not places or any(place.node != tx.node or place.source not in watched for place in places):
        return None
    return max(watched[place.source] for place in places)


def _look_again(tx: Transaction, *, after: str) -> str | None:
    """When to look at runs, as ladder and clock say now. Returns the last one's incident; None: that was all."""
    query = select(runs.c.incident, runs.c.due).where(runs.c.ended.is_(None), runs.c.incident > after)
    due = {row.incident: row.due for row in tx.connection.execute(query.order_by(runs.c.incident).limit(_AT_A_TIME))}
    work, known = _Work(tx), _all_about(tx.connection, [*due])
    for run in load_runs(tx.connection, due).values():
        _, seen = known[run.incident]
        now_possible, at = possible(run, tx.now), moment(run, tx.procedure.ladder, seen)
        if now_possible != run or at != due[run.incident]:
            work.keep(now_possible, moment(now_possible, tx.procedure.ladder, seen))
    work.write()
    return max(due) if len(due) == _AT_A_TIME else None


def _standing(connection: Connection, id_: str) -> tuple[Incident, dict[str, str], RunbookRun | None]:
    """The incident, what matchers see of it, and its run, if it has one. Raises LookupError."""
    about, _ = incident_by_id(connection, id_)
    return about, labels(about, *newest_place(connection, id_)), load_runs(connection, [id_]).get(id_)


def _all_about(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[Incident, dict[str, str]]]:
    """Incidents and what matchers see of them, by id: at each start and reload all runs are looked at."""
    places = newest_places(connection, ids)
    return {one.id: (one, labels(one, *places.get(one.id, IncidentPlace()))) for one in load_incidents(connection, ids)}


def _run_row(run: RunbookRun, due: float | None) -> dict[str, Any]:
    return {
        "incident": run.incident,
        "book": run.book,
        "title": run.title,
        "way": run.order,
        "why": run.why,
        "started": run.started,
        "ended": run.ended,
        "due": due,
    }


def _step_rows(run: RunbookRun) -> list[dict[str, Any]]:
    return [
        {
            "incident": run.incident,
            "step": task.id,
            "place": place,
            "title": task.title,
            "phase": task.phase,
            "actor": task.actor,
            "within": task.within,
            "deadline": task.deadline,
            "since": task.since,
            "needs": json.dumps(task.needs),
            "claims": task.claims,
            "shows": task.shows,
            "quiet": task.quiet,
            "state": task.state,
            "owner": None if task.owner is None else clean(task.owner),
            "note": task.note,
            "rung": task.rung,
        }
        for place, task in enumerate(run.tasks)
    ]


def _late(run: RunbookRun) -> bool:
    """Whether somebody was told that a step is overdue which is not over yet."""
    return run.ended is None and any(task.rung and not task.over for task in run.tasks)
