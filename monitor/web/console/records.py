"""What is known beside incidents: our own secrets, when they are due for another value, and who reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import structlog
from aiohttp import web

from monitor.common.wording import moment
from monitor.runbook.progress import RunError
from monitor.store.access import Use
from monitor.store.inventory import Secret
from monitor.web.console.context import ConsoleContext, DueRotation
from monitor.web.console.outcomes import ANSWER, FormAnswers, RefusedError
from monitor.web.console.paging import ListPart, asked_for, part
from monitor.web.console.readable import within
from monitor.web.console.tables import Cell, TablePage
from monitor.web.console.visitor import posted

__all__ = ["routes"]

log = structlog.get_logger(__name__)

_INVENTORY = TablePage(
    "/inventory",
    "Inventory",
    "secret",
    ("name", "manager", "environment", "value", "versions", "changed", "owner"),
    "No secret is known: add [[inventory]] to the configuration, or run `monitor inventory sync`.",
    "our own secrets by name and fingerprint; no value is stored",
    filters=(("q", "name"), ("entry", "manager"), ("environment", "environment")),
)
_ROTATION = TablePage(
    "/rotation",
    "Rotation",
    "secret",
    ("secret", "due", "standing", "severity", "owner", "by itself", "why"),
    "Nothing is due: [rotation] of the configuration says what is, and when.",
    "what is due for another value, the first first; `monitor rotation start` begins one",
)
_ACCESS = TablePage(
    "/access",
    "Access",
    "reading",
    ("secret", "by", "from", "outcome", "times", "last", "source"),
    "No audit record was read: give a source `audit`.",
    "who read which secret, by the hour, the last first",
    filters=(("secret", "secret, exactly"), ("principal", "by, exactly")),
)
_ASKED = "somebody asked for it"
_MOST = 10_000  # readings that are listed


def routes(console: ConsoleContext) -> list[web.RouteDef]:
    """`/inventory`, `/rotation` and `/access`."""
    shown = _Records(console)
    return [
        web.get("/inventory", shown.inventory),
        web.get("/rotation", shown.rotation),
        web.post("/rotation/start", shown.rotate),
        web.get("/access", shown.access),
    ]


class _Records:
    def __init__(self, console: ConsoleContext) -> None:
        self._store, self._rotation, self._redact = console.store, console.rotation, console.redact
        self._answers = FormAnswers()

    async def inventory(self, request: web.Request) -> web.Response:
        asked = asked_for(request, "q", "entry", "environment", "after")
        known = self._store.inventory
        names = await within(known.names(entry=asked["entry"] or None, environment=asked["environment"] or None))
        syncs = await within(known.syncs())
        behind = [
            f"{sync.entry} is not up to date: {sync.error}; read whole "
            f"{moment(sync.whole_at) if sync.whole_at is not None else 'never'}"
            for sync in syncs.values()
            if sync.error
        ]
        fitting = [one for one in names if asked["q"].lower() in one[1].lower()]
        shown = part(fitting, _place, asked["after"])
        secrets = {(one.entry, one.name): one for one in await within(known.secrets(only=shown.rows))}
        listed = ListPart([secrets[one] for one in shown.rows if one in secrets], shown.total, shown.next)
        return await _INVENTORY.show(request, listed, _secret, said=_but_after(asked), wrong=behind)

    async def rotation(self, request: web.Request) -> web.Response:
        asked = asked_for(request, "after", ANSWER)
        due = await within(self._rotation.rotations()) if self._rotation is not None else ()
        listed = part(due, lambda row: f"{row.at:015.0f} {row.secret[:80]}", asked["after"])
        return await _ROTATION.show(
            request, listed, _due, answer=self._answers.shown(request), form="rotate.html" if listed.rows else None
        )

    async def rotate(self, request: web.Request) -> web.Response:
        """The same as the command, at a press."""
        form, rotation = await posted(request, "admin"), self._rotation
        if rotation is None:
            raise web.HTTPNotFound(text="no rotation is begun here\n")
        why, actor = [await self._redact(text) for text in (form.get("note") or _ASKED, form.by.name)]

        async def work() -> str:
            try:
                incident = await within(rotation.rotate(form.get("secret"), why, actor))
            except (LookupError, RunError) as error:
                raise RefusedError(await self._redact(str(error.args[0] if error.args else error))) from None
            log.info("a rotation was begun", incident=incident, actor=actor)
            return f"Its rotation is incident {incident}."

        raise await self._answers.once(form, work, "/rotation")

    async def access(self, request: web.Request) -> web.Response:
        asked = asked_for(request, "secret", "principal", "after")
        uses = await within(
            self._store.access.uses(
                secrets=[asked["secret"]] if asked["secret"] else None,
                principal=asked["principal"] or None,
                limit=_MOST,
            )
        )
        numbered = [(number, use) for number, use in enumerate(uses)]
        listed = part(numbered, lambda row: f"{1e12 - row[1].last:020.6f}-{row[0]:06}", asked["after"])
        wrong = [f"These are the newest {_MOST:,}: `monitor access list` takes --since."] if len(uses) == _MOST else []
        return await _ACCESS.show(request, listed, lambda row: _use(row[1]), said=_but_after(asked), wrong=wrong)


def _place(known: tuple[str, str]) -> str:
    """By name; names may be long, and no address is."""
    entry, name = known
    whole = f"{name} {entry}"
    return whole if len(name) < 80 else f"{name[:80]} {hashlib.sha256(whole.encode()).hexdigest()}"


def _but_after(asked: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in asked.items() if name != "after"}


def _secret(secret: Secret) -> Sequence[Cell]:
    unread = "not given by its manager" if secret.unread else "enrolled"
    value = "gone" if secret.gone_at is not None else f"refused: {secret.refused}" if secret.refused else unread
    return (
        Cell(secret.name),
        Cell(secret.entry),
        Cell(secret.environment),
        Cell(value, late=bool(secret.refused)),
        Cell(len(secret.versions)),
        Cell("not known") if secret.changed_at is None else Cell(at=secret.changed_at),
        Cell(secret.owner),
    )


def _due(row: DueRotation) -> Sequence[Cell]:
    return (
        Cell(row.secret),
        Cell(until=row.at, late=row.standing == "overdue"),
        Cell(row.standing, late=row.standing == "overdue"),
        Cell(row.severity),
        Cell(row.owner),
        Cell("by the provider" if row.automatic else "no"),
        Cell(row.why),
    )


def _use(use: Use) -> Sequence[Cell]:
    return (
        Cell(use.secret),
        Cell(use.principal),
        Cell(use.address),
        Cell(use.outcome, late=use.outcome == "denied"),
        Cell(f"{use.times:,}"),
        Cell(at=use.last),
        Cell(use.source),
    )
