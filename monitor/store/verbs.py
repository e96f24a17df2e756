"""What can be asked for about one incident, by its verb: in Slack, in PagerDuty, on pages and by commands by the same
rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Literal, get_args

from monitor.common.duration import LONGEST
from monitor.common.inbound import InboundRequest, through
from monitor.common.wording import moment
from monitor.domain.incidents import Action, Incident, TransitionError
from monitor.domain.model import Resolution
from monitor.runbook.book import Order
from monitor.runbook.progress import RunError, Task
from monitor.store import actions, runs
from monitor.store.actions import ActionError
from monitor.store.incidents import change_state, hand_over, remark
from monitor.store.merges import absorb, gone_into
from monitor.store.rows import incident_by_id, latest_decision, load_runs
from monitor.store.schema import audit
from monitor.store.silences import hush
from monitor.store.suppressions import Wanted, suppress, unsuppress
from monitor.store.transaction import Transaction

__all__ = ["REFUSALS", "VERBS", "Needed"]

Needed = Callable[[Incident, str], int | None]  # how many have to approve this action for it; None: it is not to be had

REFUSALS = (LookupError, TransitionError, RunError, ActionError, ValueError)
_ACCEPTED = Literal["wont_fix", "false_positive", "used_in_tests"]  # how what is suppressed may be resolved


def _note(asked: InboundRequest) -> str:
    return asked.note or (through(asked.sink) if asked.sink else "")


def _change(tx: Transaction, asked: InboundRequest, id_: str, needed: Needed) -> str:
    if asked.verb == "reopen" and asked.detail:
        return _step(tx, asked, id_, needed)
    action: Action = "ack" if asked.verb == "ack" else "reopen"
    try:
        change_state(tx, id_, action, actor=asked.actor, resolution=None, note=_note(asked))
    except TransitionError as error:
        raise TransitionError(f"{error}{_by_whom(tx, id_)}") from None
    return f"{id_} is {'acknowledged' if action == 'ack' else 'open again'}"


def _by_whom(tx: Transaction, id_: str) -> str:
    """Who was first, and when: two may press at once."""
    last = tx.connection.execute(_LAST, {"ids": [id_]}).first()
    return f" ({last.actor}, {moment(last.at)})" if last is not None else ""


_LAST = latest_decision().with_only_columns(audit.c.actor, audit.c.at).group_by(None).order_by(audit.c.seq.desc())


def _resolve(tx: Transaction, asked: InboundRequest, id_: str, needed: Needed) -> str:
    resolution: Resolution | None = next((one for one in get_args(Resolution) if one == asked.detail), None)
    known, _ = incident_by_id(tx.connection, id_)
    if known.state == "resolved":  # what was decided is changed by who sees it, not by an old button
        raise TransitionError(f"incident {id_} is already resolved as {known.resolution}{_by_whom(tx, id_)}")
    change_state(tx, id_, "resolve", actor=asked.actor, resolution=resolution, note=_note(asked))
    return f"{id_} is resolved as {resolution}"


def _assign(tx: Transaction, asked: InboundRequest, id_: str, needed: Needed) -> str:
    if not asked.detail:
        raise ValueError("say to whom it is handed over")
    hand_over(tx, id_, asked.detail, actor=asked.actor, note=asked.note)
    return f"{id_} is {asked.detail}'s"


def _silence(tx: Transaction, asked: InboundRequest, id_: str, needed: Needed) -> str:
    seconds = float(asked.detail)
    if not 0 <= seconds <= LONGEST:
        raise ValueError(f"an incident is silenced for {LONGEST / 86400:.0f} days at most")
    until = hush(tx, id_, seconds, actor=asked.actor, note=_note(asked))
    return f"{id_} is silenced until {moment(until)}" if seconds else f"{id_} is not silenced any more"


def _suppress(tx: Transaction, asked: InboundRequest, id_: str, needed: Needed) -> str:
    """With every value that counts for it."""
    length, _, said = asked.detail.partition(":")
    known, _ = incident_by_id(tx.connection, id_)
    prints = [known.fingerprint, *gone_into(tx.connection, id_)]
    seconds = float(length)
    if seconds == 0:
        if not unsuppress(tx, prints, actor=asked.actor):
            raise TransitionError(f"{id_} is not suppressed")
        return f"{id_} is not suppressed any more"
    resolution = next((one for one in get_args(_ACCEPTED) if one == (said or "wont_fix")), None)
    if not 0 < seconds <= LONGEST:
        raise ValueError(f"a secret is suppressed for {LONGEST / 86400:.0f} days at most")
    if resolution is None:
        raise ValueError(f"what is suppressed is resolved as one of {', '.join(get_args(_ACCEPTED))}")
    if not asked.note:
        raise ValueError("say why it is suppressed")
    until = tx.now + seconds
    for fingerprint in prints:
        suppress(tx, Wanted(fingerprint, asked.note, until), asked.actor, resolution)
    return f"{id_} is suppressed until {moment(until)}"


def _merge(tx: Transaction, asked: InboundRequest, id_: str, needed: Needed) -> str:
    for other in asked.detail.split():
        absorb(tx, id_, other, asked.actor, asked.note)
    return f"{asked.detail} is merged into {id_}"


def _start(tx: Transaction, asked: InboundRequest, id_: str, needed: Needed) -> str:
    book, _, said = asked.detail.partition(":")
    order: Order | None = next((one for one in get_args(Order) if one == said), None)
    run = runs.start(tx, id_, actor=asked.actor, book=book or None, order=order)
    return f"the runbook {run.book} is under way, {len(run.tasks)} steps"


def _step(tx: Transaction, asked: InboundRequest, id_: str, needed: Needed) -> str:
    verb = asked.verb
    assert verb in ("claim", "done", "skip", "fail", "reopen")
    if verb == "skip" and not asked.note:
        raise RunError(f"say why step {asked.detail} is skipped: choose one of the reasons")
    note = "" if verb == "claim" else _note(asked)
    step, _, over = asked.detail.partition(":")
    before = load_runs(tx.connection, [id_]).get(id_)
    try:
        run = runs.do(tx, id_, step, verb, actor=asked.actor, note=note, anyway=over == "over")
    except RunError as error:
        task = next((task for task in before.tasks if task.id == step), None) if before else None
        raise RunError(f"{error}{_since(task)}") from None
    return f"step {step} is {run.task(step).state}; {run.done} of {len(run.tasks)} done"


def _since(task: Task | None) -> str:
    return f" (since {moment(task.since)})" if task is not None and task.state != "open" else ""


def _approvals(tx: Transaction, id_: str, name: str, needed: Needed) -> int:
    about, _ = incident_by_id(tx.connection, id_)
    actions.refuse_resolved(about)
    approvals = needed(about, name)
    if approvals is None:
        raise ActionError(f"no action {name!r} is configured for {about.rule}")
    return approvals


def _plan(tx: Transaction, asked: InboundRequest, id_: str, needed: Needed) -> str:
    """For who runs it by hand: `_run` leaves that to the monitor."""
    name, _, said = asked.detail.partition(" ")
    parts = json.loads(said or "{}")
    actions.plan(
        tx, id_, name, actor=asked.actor, needed=_approvals(tx, id_, name, needed), automatic=False, parts=parts
    )
    return f"{name} is planned"


def _approve(tx: Transaction, asked: InboundRequest, id_: str, needed: Needed) -> str:
    run = actions.approve(tx, asked.detail, asked.actor)
    return f"{run.action} is {run.state}"


def _run(tx: Transaction, asked: InboundRequest, id_: str, needed: Needed) -> str:
    """Planned by the first who asks for it, approved by each; what has enough of them is run by the monitor."""
    name = asked.detail
    planned = actions.ask(tx, id_, name, actor=asked.actor, needed=_approvals(tx, id_, name, needed))
    if planned.state == "planned":
        more = planned.needed - len(planned.approvals)
        return f"{name} is approved by {', '.join(planned.approvals)}; it waits for {more} more"
    return f"{name} runs now"


def _remark(tx: Transaction, asked: InboundRequest, id_: str, needed: Needed) -> str:
    known, _ = incident_by_id(tx.connection, id_)
    if not asked.note:
        raise ValueError("the note is empty")
    remark(tx, known, actor=asked.actor, note=asked.note)
    return f"{id_}: noted"


# Each does what is asked for to the incident with that id, and says what came of it; or raises one of REFUSALS.
VERBS: Mapping[str, Callable[[Transaction, InboundRequest, str, Needed], str]] = {
    "ack": _change,
    "reopen": _change,
    "resolve": _resolve,
    "assign": _assign,
    "silence": _silence,
    "suppress": _suppress,
    "merge": _merge,
    "start": _start,
    "claim": _step,
    "done": _step,
    "skip": _step,
    "fail": _step,
    "plan": _plan,
    "approve": _approve,
    "run": _run,
    "note": _remark,
}
