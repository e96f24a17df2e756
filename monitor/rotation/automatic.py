"""Rotation by the provider: for a secret whose policy says so it is asked for another value once, when that is due.

The row that it is asked lies in the database before it is: no process asks again, and of one that was killed at it
nobody knows what came of it. That the value has changed is seen in the inventory, as for any other rotation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from monitor.clients.client import NoEffectError, ServiceError
from monitor.inventory.held import OvertakenError
from monitor.inventory.managers import make_rotator
from monitor.inventory.managers.base import ManagerConfig
from monitor.rotation.schedule import Due, Managed, calendar, policy_of
from monitor.rotation.settings import RotationConfig
from monitor.rotation.work import begin, look, rotation_of, sweep
from monitor.runbook.progress import RunError
from monitor.store import Store, StoreError
from monitor.store.actions import ActionError
from monitor.store.inventory import Sync
from monitor.store.records import ActionRun

__all__ = ["Automatic", "Rotations", "ask_provider", "by_provider"]

log = structlog.get_logger(__name__)

_ASKS = "rotate:"  # before the name of the entry: no action of the configuration has a colon in its name
_PATIENCE = 86_400.0  # seconds after which a provider's word counts no more, where no other value was seen
_FRESH = 1800.0  # seconds: what was read longer ago is read again before a provider is asked because of it
_AGAIN = "see whether the value has changed; `monitor rotation start --provider` asks it again"


class RotationTables(Protocol):
    """What is taken of the configuration."""

    @property
    def inventory(self) -> Sequence[ManagerConfig]: ...
    @property
    def rotation(self) -> RotationConfig: ...


def by_provider(tables: RotationTables, secret: Managed) -> bool:
    """Whether the provider makes the new value by itself when the secret is due."""
    policy = policy_of(secret, tables.rotation)
    return policy is not None and policy.automatic and _entry(tables, secret) is not None


async def ask_provider(
    store: Store, tables: RotationTables, secret: Managed, incident: str, *, actor: str, automatic: bool = False
) -> ActionRun:
    """Ask for a new value, once, for the incident of the present one. The outcome lies in its history.

    Raises LookupError (no entry that may), ActionError (it was asked before, and is still expected to do it).
    """
    entry = _entry(tables, secret)
    rotator = make_rotator(entry) if entry is not None else None
    if rotator is None:
        raise LookupError(f"[[inventory]] {secret.entry} has no `rotate`: docs/rotation.md says which may have one")
    await _give_up(store)
    tries = len(await _asked(store, incident, secret))
    run = await store.actions.start(incident, f"{_ASKS}{secret.entry}", actor=actor, automatic=automatic)
    try:
        try:
            state, outcome = "accepted", await rotator.rotate(secret.name, secret.version, tries)
        finally:
            await rotator.close()
    except OvertakenError as error:
        state, outcome = "accepted", str(error)
    except NoEffectError as error:
        state, outcome = "failed", f"{error}; nothing has changed"
    except ServiceError as error:
        state, outcome = "unknown", f"{error}: whether it took effect cannot be known; {_AGAIN}"
    except Exception as error:  # noqa: BLE001 - a provider that answers nonsense; its text may quote a value
        state, outcome = "unknown", f"the answer could not be read ({type(error).__name__}); {_AGAIN}"
    return await store.actions.finish(run.id, state, outcome, actor=actor)


class Automatic:
    """In the daemon. `tables`: those in force. `again`: has an entry of the inventory read soon."""

    def __init__(
        self, store: Store, key: bytes, tables: Callable[[], RotationTables], again: Callable[[str], object]
    ) -> None:
        self._store, self._key, self._tables, self._again = store, key, tables, again

    async def sweep(self) -> Mapping[str, str]:
        """Ask for what is due. By title of the secret, why its provider is of no help, empty while it is at it."""
        if lost := await self._store.actions.abandon():
            log.warning("actions were interrupted: what became of them cannot be known", actions=len(lost))
        await _give_up(self._store)
        tables, now = self._tables(), self._store.now()
        if not any(policy.automatic for policy in tables.rotation.policies):
            return {}
        known = await self._store.inventory.syncs()
        late = [one for one in calendar(await look(self._store), tables.rotation, now) if one.standing == "overdue"]
        mine = [one for one in late if by_provider(tables, one.secret)]
        return {one.secret.title: await self._look(tables, one, known.get(one.secret.entry)) for one in mine}

    async def _look(self, tables: RotationTables, due: Due, sync: Sync | None) -> str:
        incident = await rotation_of(self._store, self._key, due.secret)
        before = [] if incident is None else await _asked(self._store, incident.id, due.secret)
        run = before[0] if before else None
        if run is None and (why := _outdated(due, sync, self._store.now())) is not None:
            self._again(due.secret.entry)
            return why

        try:
            incident, _ = await begin(self._store, self._key, due.secret, why=due.why, actor="monitor")
        except RunError as error:
            return str(error)
        if run is None:
            try:
                run = await ask_provider(self._store, tables, due.secret, incident.id, actor="monitor", automatic=True)
            except ActionError:  # another host was first
                return ""
            log.info(
                "asked a provider for a new value", entry=due.secret.entry, incident=incident.id, outcome=run.state
            )
            self._again(due.secret.entry)
        if run.state in ("failed", "unknown"):
            return f"{run.action} {run.state}: {run.outcome}"
        if run.state == "completed":
            return f"{run.action} has changed it, and the value from before is in use again"
        return ""


class Rotations:
    """What comes round in the daemon: what is overdue becomes an incident, what is due soon is reported, and steps are
    seen done. `tables`, `again`: see Automatic."""

    def __init__(
        self, store: Store, key: bytes, tables: Callable[[], RotationTables], again: Callable[[str], object]
    ) -> None:
        self._store, self._key, self._tables = store, key, tables
        self._automatic = Automatic(store, key, tables, again)

    async def sweep(self) -> None:
        """Once, if there is an inventory."""
        if not self._tables().inventory:
            return
        try:
            providers = await self._automatic.sweep()
            await sweep(self._store, self._tables().rotation, self._key, providers)
        except (StoreError, LookupError) as error:  # trouble that the database tells of; or an incident has just gone
            log.debug("rotations are looked at again soon", reason=type(error).__name__)


async def _asked(store: Store, incident: str, secret: Managed) -> list[ActionRun]:
    """What came of asking for another value in place of the present one, the newest first."""
    return [run for run in await store.actions.find(incident=incident) if run.action == f"{_ASKS}{secret.entry}"]


async def _give_up(store: Store) -> None:
    """What was accepted longer ago than a provider is waited for is unknown from now on, whoever had it asked."""
    for run in await store.actions.find(states=("accepted",)):
        if run.action.startswith(_ASKS) and (run.finished_at or 0.0) < store.now() - _PATIENCE:
            outcome = f"no other value was seen within a day ({run.outcome}); {_AGAIN}"
            await store.actions.finish(run.id, "unknown", outcome, actor="monitor")


def _outdated(due: Due, sync: Sync | None, now: float) -> str | None:
    """None where the entry was read lately, and since the secret is due: another value would be known. Else why it
    cannot be read; empty as long as it only has to be read again."""
    if sync is not None and sync.error:
        return f"it is not asked for a new value while the present one cannot be read: {sync.error}"
    read = sync.whole_at if sync is not None and sync.whole_at is not None else 0.0
    if read >= max(due.at, now - _FRESH):
        return None
    if now - max(due.at, read) > _PATIENCE:
        return f"it is not asked for a new value: {due.secret.entry} was not read to its end for more than a day"
    return ""


def _entry(tables: RotationTables, secret: Managed) -> ManagerConfig | None:
    """Of the inventory, if it may have new values made."""
    found = (one for one in tables.inventory if one.name == secret.entry and getattr(one, "rotate", None) is not None)
    return next(found, None)
