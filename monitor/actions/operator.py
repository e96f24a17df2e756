"""From an approved action to its outcome: takes the secret, runs it once, keeps what came of it, asks the issuer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NoReturn, Protocol

import structlog

from monitor.actions.actor import Actor
from monitor.actions.command import ActionOutcome
from monitor.actions.config import ActionConfig
from monitor.common.failure import failure
from monitor.common.tasks import whenever
from monitor.domain.incidents import Incident
from monitor.store import Store, StoreError
from monitor.store.actions import ActionError, UnsealedError, refuse_resolved
from monitor.store.records import ActionRun
from monitor.verify.asker import Asker, surroundings
from monitor.verify.config import VerifyConfig
from monitor.verify.place import place_of
from monitor.verify.probe import probe_of
from monitor.verify.request import public

__all__ = ["Operator"]

log = structlog.get_logger(__name__)

ACTOR = "monitor"
_LOOK = 30.0  # seconds between looks that nothing calls for
_FOLLOW = (0.0, 3.0, 10.0)  # seconds before each look whether the secret is refused now: some issuers take a while


@dataclass(frozen=True, slots=True)
class _Charge:
    """What is about to be done: to which secret, of which incident."""

    run: ActionRun
    incident: Incident
    value: str = field(repr=False)


class OperatorTables(Protocol):
    """What is taken of the configuration."""

    @property
    def actions(self) -> Sequence[ActionConfig]: ...
    @property
    def verify(self) -> VerifyConfig: ...


class Operator:
    """In the daemon, and in a command."""

    def __init__(
        self,
        store: Store,
        asker: Asker,
        actor: Actor,
        tables: Callable[[], OperatorTables],
        count: Callable[[str, str], object] = lambda action, outcome: None,
    ) -> None:
        """`tables`: those in force. `count`: told the name of each action that ended, and how."""
        self._count = count
        self._store, self._asker, self._actor, self._tables = store, asker, actor, tables
        self._wake = asyncio.Event()
        self._rests: dict[str, float] = {}  # type of an action → monotonic, until when its issuer takes no more
        self._begun = False
        self._unsealed: set[str] = set()  # actions that are not as they were sealed, and were reported

    def action(self, name: str) -> ActionConfig:
        """As the configuration has it. Raises ActionError."""
        for action in self._tables().actions:
            if action.name == name:
                return action
        raise ActionError(f"there is no action {name!r} in the configuration")

    def fitting(self, incident: Incident) -> Sequence[ActionConfig]:
        """What may be done about an incident."""
        return [action for action in self._tables().actions if action.fits(incident.rule, incident.labels)]

    async def preview(self, run: ActionRun, value: str | None = None) -> list[str]:
        """What `run` would do. Raises ActionError, WrongValueError, MissingPartError and LookupError."""
        action, incident = self.action(run.action), await self._store.incidents.get(run.incident)
        value = "" if action.about_place else (await self._value(incident, value))[0]
        return self._actor.preview(action, value, _parts(action, incident, run))

    async def run(self, run: ActionRun, *, actor: str, value: str | None = None) -> ActionRun:
        """Run it, once; then see what its issuer says of the secret. `value`: None takes it from where it lies. What
        its issuer takes no more of for now is approved still.

        Raises ActionError (not approved, run before, no secret to be had), WrongValueError, LookupError and StoreError.
        """
        action, incident = self.action(run.action), await self._store.incidents.get(run.incident)
        refuse_resolved(incident)
        charge = await self._charge(action, run, incident, value)
        await self._store.actions.begin(run.id, actor)
        await self._fire(action, [charge], actor)
        return await self._store.actions.get(run.id)

    async def _fire(self, action: ActionConfig, charges: Sequence[_Charge], actor: str) -> None:
        """In one request what was begun; then what came of each. Raises StoreError."""
        actions, (first, *others) = self._store.actions, charges
        ids = [one.run.id for one in charges]
        outcome = await self._actor.run(
            action,
            first.value,
            _parts(action, first.incident, first.run),
            others=[one.value for one in others],
            on_step=lambda number: actions.step(ids, number),
        )
        if outcome.state == "limited":
            self._rests[action.type] = time.monotonic() + outcome.wait
            await self._put_back(charges, outcome)
            return
        if outcome.apart and others:  # one may have spoiled it for the others: which one is known in few requests
            half = len(charges) // 2
            await self._fire(action, charges[:half], actor)
            if self._rest(action.type):
                await self._put_back(charges[half:], ActionOutcome("limited", outcome.reason, self._rest(action.type)))
            else:
                await self._fire(action, charges[half:], actor)
            return
        # Of a place nobody has to see later whether it is refused.
        state = "completed" if action.about_place and outcome.state == "accepted" else outcome.state
        for id_ in ids:
            await actions.finish(id_, state, outcome.reason, actor=actor)
        if not action.about_place and outcome.state != "failed":
            await self._follow(charges, taken=outcome.state == "accepted" and action.ready is not None)
        for id_ in ids:
            done = await actions.get(id_)
            self._count(done.action, done.state)

    async def _put_back(self, charges: Sequence[_Charge], outcome: ActionOutcome) -> None:
        until = datetime.fromtimestamp(self._store.now() + outcome.wait, UTC)
        why = f"{outcome.reason}: its issuer takes no more before {until:%H:%M:%SZ}"
        for one in charges:
            await self._store.actions.put_back(one.run.id, why)

    async def _charge(
        self, action: ActionConfig, run: ActionRun, incident: Incident, value: str | None = None
    ) -> _Charge:
        """Raises ActionError where the secret may be another server's than the one that would be asked."""
        if action.about_place:
            return _Charge(run, incident, "")
        value, around = await self._value(incident, value)
        if why := self._astray(action, incident.rule, [*surroundings(incident), *around]):
            raise ActionError(why)
        return _Charge(run, await self._known(incident, value), value)

    async def _known(self, incident: Incident, value: str) -> Incident:
        """Ask before it is taken back, where its issuer can only be asked about it together with something else:
        afterwards a refusal says nothing, unless just this was taken before."""
        probe, said = probe_of(incident.rule), incident.verified
        known = said is not None and said.validity == "valid"
        if probe is None or not probe.parts or known or not self._asks(incident):
            return incident
        await self._asker.ask(incident, actor=ACTOR, value=value)
        return await self._store.incidents.get(incident.id)

    def _astray(self, action: ActionConfig, rule: str, lines: Sequence[str]) -> str:
        """Why a ready-made action would tell somebody else of the secret; empty: nothing says so."""
        probe = probe_of(rule)
        if action.ready is None or probe is None or not probe.elsewhere:
            return ""
        others = self._tables().verify.others(probe.provider)
        place = place_of(probe, action.server, others, lines)
        return place.why.replace(f"verify.servers.{probe.provider}", "the action's `server`")

    async def _value(self, incident: Incident, value: str | None) -> tuple[str, Sequence[str]]:
        """The secret, and the lines around it where it was taken again."""
        if value is not None:
            self._asker.check(incident, value)
            return value, ()
        taken = await self._asker.take(incident)
        if taken is None:
            raise ActionError("the secret lies in no file that is read here any more: give it with --value-from -")
        return taken.value, (taken.around,)

    async def _follow(self, charges: Sequence[_Charge], *, taken: bool) -> None:
        """Accepted is not completed: that is when the secret is refused. Kept by `Verdicts.record`. `taken`: its
        issuer has taken back just this secret, so that what could mean something else means that."""
        left = [one for one in charges if self._asks(one.incident)]
        for pause in _FOLLOW:
            if not left:
                return
            await asyncio.sleep(pause)
            verdicts = [await self._asker.ask(one.incident, actor=ACTOR, value=one.value, taken=taken) for one in left]
            left = [one for one, verdict in zip(left, verdicts, strict=True) if verdict.status == "valid"]

    def _asks(self, incident: Incident) -> bool:
        probe = probe_of(incident.rule)
        return probe is not None and self._tables().verify.allows(probe.provider)

    # By itself

    def wake(self) -> None:
        """Something was committed: look at it now."""
        self._wake.set()

    async def look(self) -> None:
        """Plan what is new. Raises StoreError."""
        if any(action.automatic for action in self._tables().actions):
            while await self._store.actions.gather(self._wanted):
                pass

    async def run_all(self) -> NoReturn:
        """Plan and run what the configuration says is automatic, and run what people asked for. Until cancelled."""
        await whenever(self._wake, self.once, longest=_LOOK, failed=_failed)

    async def once(self) -> float:
        """Plan and run what is automatic and new, and what people asked for. Returns the seconds until there may be
        something to do. Raises StoreError."""
        if not self._begun:
            await self._begin()
        self._begun = True
        if self._tables().actions:
            await self._round()
        now = time.monotonic()
        return min([_LOOK, *(until - now for until in self._rests.values() if until > now)])

    async def _begin(self) -> None:
        """What a process before this one was at."""
        if lost := await self._store.actions.abandon():
            log.warning("actions were interrupted: what became of them cannot be known", actions=len(lost))
        for name in lost:
            self._count(name, "unknown")
        await self._resume()

    async def _resume(self) -> None:
        """The monitor was ended between an issuer's word and the look whether it holds: look now. That only reads."""
        for run in await self._store.actions.unseen():
            with contextlib.suppress(ActionError, LookupError):
                incident = await self._store.incidents.get(run.incident)
                value, _ = await self._value(incident, None)
                charge = _Charge(run, incident, value)
                done = run.state == "accepted" and self.action(run.action).ready is not None
                await self._follow([charge], taken=done)

    async def _round(self) -> None:
        await self.look()
        many = {action.name: action for action in self._tables().actions if action.many > 1}
        types = {action.name: action.type for action in self._tables().actions}
        together: dict[str, list[ActionRun]] = {}
        for run in await self._store.actions.ready():
            if run.action in many:
                together.setdefault(run.action, []).append(run)
            elif not self._rest(types.get(run.action, "")):
                async with self._apart(run):
                    await self.run(run, actor=ACTOR)
        for name, runs in together.items():
            for at in range(0, len(runs), many[name].many):
                if not self._rest(types[name]):
                    await self._together(many[name], runs[at : at + many[name].many])

    def _rest(self, kind: str) -> float:
        """For how many seconds its issuer takes no more."""
        return max(self._rests.get(kind, 0.0) - time.monotonic(), 0.0)

    @contextlib.asynccontextmanager
    async def _apart(self, run: ActionRun) -> AsyncIterator[None]:
        """What is wrong with one holds up no other. Raises StoreError."""
        try:
            yield
        except UnsealedError as error:
            self._warn(run, error)
        except (ActionError, LookupError) as error:
            await self._refuse(run, str(error))
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - a boundary: a mistake of ours, which the next round may not make
            log.error("an action failed", action=run.action, run=run.id, **failure(error))

    async def _together(self, action: ActionConfig, runs: Sequence[ActionRun]) -> None:
        charges = []
        for run in runs:
            async with self._apart(run):
                incident = await self._store.incidents.get(run.incident)
                refuse_resolved(incident)
                charges.append(await self._charge(action, run, incident))
        begun = []
        for one in charges:
            try:
                await self._store.actions.begin(one.run.id, ACTOR)
                begun.append(one)
            except UnsealedError as error:
                self._warn(one.run, error)
            except (ActionError, LookupError):
                pass  # another process was first, or forgot its incident
        if begun:
            await self._fire(action, begun, ACTOR)

    def _wanted(self, labels: dict[str, str]) -> list[tuple[str, int]]:
        if labels["state"] == "resolved":  # before we could look
            return []
        return [(one.name, one.approvals) for one in self._tables().actions if one.wants(labels)]

    def _warn(self, run: ActionRun, error: UnsealedError) -> None:
        """Once: it waits for people to look at it."""
        if run.id not in self._unsealed:
            self._unsealed.add(run.id)
            log.error("an action is not run", action=run.action, run=run.id, reason=str(error))

    async def _refuse(self, run: ActionRun, why: str) -> None:
        """It cannot be run here: said once, instead of being tried again and again."""
        outcome = ActionOutcome("failed", f"{why}: nothing was sent")
        with contextlib.suppress(ActionError, LookupError):
            await self._store.actions.refuse(run.id, outcome.reason, actor=ACTOR)
            self._count(run.action, outcome.state)


def _parts(action: ActionConfig, incident: Incident, run: ActionRun) -> dict[str, str]:
    """What its requests are made of beside the secret."""
    return {**public(incident.labels), **action.place(incident.labels), **run.parts}


def _failed(error: Exception) -> None:
    if not isinstance(error, StoreError):  # which the store itself reports
        log.error("an action failed", **failure(error))
