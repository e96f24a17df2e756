"""What the console's pages are given of what lies above them: actions, issuers, and who there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from monitor.config.config import Config
from monitor.domain.incidents import Incident
from monitor.store import Store
from monitor.store.actions import ActionError
from monitor.store.records import ActionRun
from monitor.web.console.context import ActionPreview, DueRotation

if TYPE_CHECKING:
    from monitor.daemon.issuers import Issuers

__all__ = ["ConsoleWork"]


class ConsoleWork:
    """With the configuration in force."""

    def __init__(
        self, store: Store, config: Callable[[], Config], issuers: Callable[[], Issuers | None], key: bytes
    ) -> None:
        """`issuers`: None while the monitor begins; `key`: of fingerprints."""
        self._store, self._config, self._issuers, self._key = store, config, issuers, key

    async def preview(self, incident: Incident, name: str) -> ActionPreview:
        """Raises StoreError."""
        from monitor.verify.asker import WrongValueError  # not to be waited for by the start
        from monitor.verify.request import MissingPartError

        issuers = self._issuers()
        if issuers is None:
            return ActionPreview(problem="the monitor is starting: load the page again in a moment")
        planned = await self._store.actions.find(incident=incident.id, states=("planned", "approved"))
        run = next((one for one in planned if one.action == name), _unplanned(incident, name))
        try:
            does = issuers.operator.action(name).does
            return ActionPreview(does, await issuers.operator.preview(run))
        except (ActionError, WrongValueError, MissingPartError, LookupError) as error:
            return ActionPreview(problem=str(error))

    async def ask(self, incident: Incident, actor: str) -> str:
        """Raises StoreError."""
        issuers = self._issuers()
        if issuers is None:
            return "the monitor is starting"
        try:
            return (await issuers.asker.ask(incident, actor=actor)).reason
        except LookupError:
            return "the incident is forgotten meanwhile"

    async def rotations(self) -> Sequence[DueRotation]:
        """Raises StoreError."""
        from monitor.rotation.automatic import by_provider
        from monitor.rotation.schedule import calendar
        from monitor.rotation.work import look

        config = self._config()
        listed = calendar(await look(self._store), config.rotation, self._store.now())
        return [
            DueRotation(
                secret=due.secret.title,
                at=due.at,
                standing=due.standing,
                severity=due.severity,
                why=due.why,
                owner=due.secret.owner,
                automatic=by_provider(config, due.secret),
            )
            for due in listed
        ]

    async def rotate(self, secret: str, why: str, actor: str) -> str:
        """Raises LookupError, RunError and StoreError."""
        from monitor.rotation.work import begin, named

        found, unknown = await named(self._store, [secret])
        if not found:
            raise LookupError(unknown[secret])
        incident, _ = await begin(self._store, self._key, found[0], why=why, actor=actor)
        return incident.id

    async def people(self) -> list[str]:
        """Whom the configuration names, and who can sign in and act: by their names in the history. Raises
        StoreError."""
        config, users = self._config(), await self._store.users.list()
        come = [config.console.person(user.name, user.role) for user in users if not user.disabled]
        come += [config.console.person(name, entry.role) for name, entry in config.console.people.items()]
        listed = [name for sink in config.sinks for name in getattr(sink, "people", {}).values()]
        return sorted({*listed, *(one.name for one in come if one is not None and one.role != "viewer")})


def _unplanned(incident: Incident, name: str) -> ActionRun:
    return ActionRun("", incident.id, name, "planned", False, 0, (), "", 0.0)  # as its row has it
