"""Rotations as they lie in the store: a secret that is due, or being rotated, is an incident with a run of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

from detectors.fingerprint import fingerprint
from monitor.common.severity import Severity
from monitor.domain.incidents import Incident
from monitor.domain.model import Finding, Position
from monitor.rotation.reasons import RotationReason
from monitor.rotation.schedule import Due, Managed, calendar
from monitor.rotation.settings import RotationConfig
from monitor.runbook.progress import RunbookRun, RunError
from monitor.store import Notice, Store
from monitor.store.inventory import Secret, Version

__all__ = [
    "BOOK",
    "RULES",
    "Proof",
    "Shown",
    "begin",
    "close",
    "look",
    "managed",
    "named",
    "rotation_of",
    "shown",
    "sweep",
    "under_way",
]

BOOK = "rotation"
DUE, STARTED = "rotation-due", "rotation"
RULES = (DUE, STARTED)
_SOURCE = "rotation"
_LISTED = 10  # secrets that a reminder names
_MOST = 10_000
_SHOWN = 120  # characters of a title


class Proof(NamedTuple):
    """What shows that the old value is worth nothing any more, and who says so."""

    by: Literal["issuer", "manager", "none"]
    text: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What the inventory shows of a rotation: the value that is to go, and whether it is changed and gone there."""

    secret: Secret
    old: Version
    changed: bool
    gone: bool

    @property
    def changed_note(self) -> str:
        now = self.secret.current
        version = f", version {now.version}" if now and now.version else ""
        return f"the fingerprint at {self.secret.entry} has changed{version}"

    @property
    def gone_note(self) -> str:
        """What a manager does with a version says nothing of whoever issued the value."""
        return (
            f"{self.secret.entry} gives version {self.old.version} no more; nobody asked the issuer about the old value"
        )

    def proof(self, refused: str | None) -> Proof:
        """`refused`: what the issuer said when it was asked, if it refuses the old value."""
        if refused is not None:
            return Proof("issuer", refused)
        return Proof("manager", self.gone_note) if self.gone else Proof("none", "nothing shows that the old value ends")


def managed(secrets: Iterable[Secret], exposed: Mapping[tuple[str, str], float]) -> list[Managed]:
    """Those that there are, by what rotation goes by. `exposed`: by entry and name."""
    in_use = []
    for secret in secrets:
        now = secret.current
        if now is None or secret.gone_at is not None:
            continue
        in_use.append(
            Managed(
                entry=secret.entry,
                name=secret.name,
                mark=now.mark,
                known=secret.first_seen,
                changed=secret.changed_at,
                environment=secret.environment,
                owner=secret.owner,
                tags=secret.tags,
                consumers=secret.consumers,
                exposed=exposed.get((secret.entry, secret.name)),
                version=now.version,
                expires=now.expires,
            )
        )
    return in_use


def shown(secret: Secret, old: Version) -> Shown:
    """Where a manager counts no versions, that it gives the old value no more says nothing: it never would. Nor where
    another came in between: it may give only the newest few."""
    now = secret.current
    changed = now is not None and now.mark != old.mark
    counted = now is not None and bool(now.version) and old.version not in ("", now.version)
    next_to = sum(one.first_seen > old.first_seen for one in secret.versions) <= 1
    return Shown(secret, old, changed, changed and counted and next_to and old.standing == "retired")


async def look(store: Store) -> list[Managed]:
    """All secrets of the inventory that are in use, with whether they are exposed."""
    return managed(await store.inventory.secrets(), await store.inventory.exposed())


async def named(store: Store, refs: Sequence[str]) -> tuple[list[Managed], dict[str, str]]:
    """Those that there are, and why others are not."""
    by_title: dict[str, Managed] = {}
    unknown: dict[str, str] = {}
    for ref in refs:
        try:
            there = managed([await store.inventory.get(ref)], {})
        except LookupError as error:
            unknown[ref] = str(error.args[0])
            continue
        by_title |= {one.title: one for one in there}
        if not there:
            unknown[ref] = f"{ref} is gone from its manager"
    return list(by_title.values()), unknown


async def rotation_of(store: Store, key: bytes, secret: Managed) -> Incident | None:
    """The incident of the value that it has now."""
    try:
        return await store.incidents.get(_print(key, secret.entry, secret.name, secret.mark))
    except LookupError:
        return None


async def begin(
    store: Store,
    key: bytes,
    secret: Managed,
    *,
    why: str,
    actor: str,
    severity: Severity = "low",
    reason: RotationReason | None = None,
) -> tuple[Incident, RunbookRun]:
    """Open the rotation of a secret, or find the one that is open, and start its run. `reason`: a label of it, the last
    one given, and with `why` once in its history. Raises RunError."""
    known = await rotation_of(store, key, secret)
    if known is not None and known.state == "resolved":
        raise RunError(
            f"the rotation of this value of {secret.title} is closed ({known.id}): `monitor inventory sync` sees"
            f" whether it has another one, `monitor incidents reopen {known.id}` opens it again"
        )
    finding = _finding(key, secret, STARTED, why, severity=severity, now=store.now(), reason=reason)
    await store.commit([finding])
    incident = await store.incidents.get(finding.fingerprint)
    if reason is not None:
        await store.incidents.note(incident.id, f"{reason.value}: {why}", actor=actor)
    run = await store.runs.get(incident.id)
    if run is not None and run.ended is None:
        return incident, run
    return incident, await store.runs.start(incident.id, actor=actor, book=BOOK, order="replace")


async def under_way(store: Store, key: bytes, secrets: Sequence[Secret]) -> list[tuple[Incident, Shown]]:
    """Rotations that are open, with what the inventory shows of each."""
    cases = await store.incidents.find(states=("open", "acknowledged"), rules=RULES, limit=_MOST)
    open_ = {one.fingerprint: one for one in cases}
    if not open_:
        return []
    return [
        (open_[print_], shown(secret, version))
        for secret in secrets
        for version in secret.versions
        if (print_ := _print(key, secret.entry, secret.name, version.mark)) in open_
    ]


async def close(
    store: Store, incident: Incident, seen: Shown, proof: Proof, *, actor: str, note: str, whole: bool
) -> RunbookRun:
    """Mark the steps that are shown; where it is `whole` all of them and the incident, with what nothing shows."""
    run = await store.runs.get(incident.id) or await store.runs.start(
        incident.id, actor=actor, book=BOOK, order="replace"
    )
    told = f": {note}" if note else ""
    changed = seen.changed_note if seen.changed else f"no evidence of a new value{told}"
    gone = proof.text if proof.by != "none" else f"no evidence: {proof.text}{told}"
    notes = {
        "new": changed,
        "both": f"no evidence{told or ', but that who closed the rotation goes by it'}",
        "verify": changed,
        "remove": gone,
        "document": note or "see the steps",
    }
    shown = set(notes) if whole else {"new"} if seen.changed else set()
    for task in run.tasks:
        if task.id in shown and not task.over:
            run = await store.runs.act(incident.id, task.id, "done", actor=actor, note=notes[task.id], anyway=True)
    if seen.changed:
        await store.actions.complete(incident.id, seen.changed_note)
    if whole:
        end = gone if proof.by == "none" else f"{gone}{told}"
        await store.incidents.transition(incident.id, "resolve", actor=actor, resolution="revoked", note=end)
        run = await store.runs.get(incident.id) or run
    return run


async def sweep(
    store: Store, settings: RotationConfig, key: bytes, providers: Mapping[str, str] = MappingProxyType({})
) -> list[Due]:
    """Open incidents for what is overdue, remind of what is due soon, and mark steps that the inventory shows to be
    done. Returns what is overdue or due soon.

    `providers`: by title of a secret, why its provider is of no help; empty: it is at it, and nothing overdue yet."""
    now = store.now()
    plan = [secret for secret in calendar(await look(store), settings, now) if secret.standing != "later"]
    late = [
        _finding(key, secret.secret, DUE, f"{secret.why}{told and '; '}{told}", severity=secret.severity, now=now)
        for secret in plan
        if secret.standing == "overdue"
        and ((told := providers.get(secret.secret.title, "")) or secret.secret.title not in providers)
    ]
    soon = {secret.secret.title: secret for secret in plan if secret.standing == "soon"}
    known = (await store.positions.of(_SOURCE)).get("reminded", {})
    fresh = [secret for title, secret in soon.items() if known.get(title) != secret.secret.mark]
    if late or fresh or known.keys() - soon.keys():
        reminded = {title: secret.secret.mark for title, secret in soon.items()}
        notices = [_reminder(fresh, settings.remind)] if fresh else []
        await store.commit(late, [Position(_SOURCE, "reminded", reminded)], notices=notices)

    for incident, seen in await under_way(store, key, await store.inventory.secrets()):
        if seen.changed:
            await store.runs.prove(incident.id, "valid", seen.changed_note)
            await store.actions.complete(incident.id, seen.changed_note)
        if seen.gone:
            await store.runs.prove(incident.id, "refused", seen.gone_note)
    return plan


def _finding(
    key: bytes,
    secret: Managed,
    rule: str,
    why: str,
    *,
    severity: Severity,
    now: float,
    reason: RotationReason | None = None,
) -> Finding:
    """One for a value: when it is rotated, the next one is another incident. Seen once for each severity, so that it
    is told again when it gets worse, and for each reason."""
    print_ = _print(key, secret.entry, secret.name, secret.mark)
    labels = {
        "secret": secret.name,
        "entry": secret.entry,
        "environment": secret.environment,
        "owner": secret.owner,
        "consumers": ", ".join(secret.consumers)[:200],
        "reason": reason.value if reason else "",
    }
    seen = f"{print_}\0{rule}\0{severity}" + (f"\0{reason.value}" if reason else "")
    return Finding(
        id=hashlib.blake2b(seen.encode(), digest_size=16).hexdigest(),
        rule=rule,
        name="Secret due for rotation" if rule == DUE else "Rotation of a secret",
        severity=severity,
        confidence="high",
        fingerprint=print_,
        masked=secret.title[:_SHOWN],
        source=_SOURCE,
        path=secret.title,
        generation=rule,
        offset=0,
        time=now,
        labels={name: text for name, text in labels.items() if text},
        runbook=BOOK,
        context=why,
    )


def _print(key: bytes, entry: str, name: str, mark: str) -> str:
    return fingerprint(key, f"rotation\0{entry}\0{name}\0{mark}".encode("utf-8", "backslashreplace"))


def _reminder(fresh: Sequence[Due], remind: float) -> Notice:
    count, days = len(fresh), f"{remind / 86_400:g} days"
    title = f"{count} secret{' is' if count == 1 else 's are'} due for rotation within {days}"
    names = ", ".join(f"{one.secret.title} ({one.secret.owner or 'no owner'})" for one in fresh[:_LISTED])
    more = f" and {count - _LISTED} more" if count > _LISTED else ""
    return Notice(title, f"{names}{more}. `monitor rotation due` says when and why.", "low", key="rotation")
