"""The inventory: our own secrets by name, the versions of each, and the fingerprints by which they are known again.

Nothing is deleted but by `forget`. What a manager has no more is retired and keeps its fingerprint, since a
retired value that shows up in a log is still news.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, func, insert, select, tuple_, update

from monitor.common.grouping import grouped
from monitor.domain.model import OwnedSecret, Print, SecretVersion, Standing
from monitor.store import outbox, removals
from monitor.store.owners import adopt, by_fingerprint, returned
from monitor.store.rows import any_of, apply_all, chunks, clean, narrowed, rows_among, upsert
from monitor.store.schema import incidents, secret_prints, secret_versions, secrets, syncs
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only

__all__ = [
    "Difference",
    "Inventory",
    "Print",
    "Secret",
    "SecretVersion",
    "Sync",
    "Version",
]

_Kind = Literal["added", "changed", "returned", "gone"]

_NAMED = 100  # names of a difference that are told
_SECRET = tuple(column.name for column in secrets.c)
_KEEP_SECRET = upsert(
    secrets,
    _SECRET,
    on=("entry", "name"),
    changing=[name for name in _SECRET if name not in ("entry", "name", "first_seen")],
)
_KEEP_PRINT = upsert(secret_prints, [column.name for column in secret_prints.c], on=("version", "fingerprint"))


@dataclass(frozen=True, slots=True)
class Version:
    """A value that a secret has or had. `first_seen`: by us; `replaced_at`: when it was no longer the current one."""

    mark: str
    version: str
    standing: Standing
    created: float | None
    rotated: float | None
    expires: float | None
    first_seen: float
    last_seen: float
    replaced_at: float | None
    prints: tuple[Print, ...] = ()


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret by its entry and name, with its versions, the newest first. `gone_at`: its manager has it no more."""

    entry: str
    name: str
    environment: str
    owner: str
    consumers: tuple[str, ...]
    tags: tuple[str, ...]
    refused: str
    unread: bool
    first_seen: float
    last_seen: float
    gone_at: float | None
    versions: tuple[Version, ...] = ()

    @property
    def current(self) -> Version | None:
        """The newest that is in use."""
        return next((one for one in self.versions if one.standing == "current"), None)

    @property
    def changed_at(self) -> float | None:
        """When its value was last changed, as its manager or else we know it."""
        now = self.current
        if now is None:
            return None
        return now.rotated or now.created or (now.first_seen if len(self.versions) > 1 else None)


@dataclass(frozen=True, slots=True)
class Sync:
    """How far an entry is known. `whole_at`: when it was last read to its end; `error`: why not the last time."""

    entry: str
    at: float
    whole_at: float | None
    held: int
    refused: int
    error: str


@dataclass(slots=True)
class Difference:
    """What a sync has found; names, and of the many only the first hundred. `returned`: of those that have changed, the
    ones that have a value from before again. `doubt`: why what is missing is not taken for gone; empty: it is."""

    added: int = 0
    changed: int = 0
    returned: int = 0
    gone: int = 0
    refused: int = 0
    held: int = 0
    doubt: str = ""
    names: dict[str, list[str]] = field(
        default_factory=lambda: {"added": [], "changed": [], "returned": [], "gone": []}
    )

    def count(self, what: _Kind, name: str) -> None:
        setattr(self, what, getattr(self, what) + 1)
        if len(self.names[what]) < _NAMED:
            self.names[what].append(name)


class Inventory(StoreRepository):
    """Our own secrets."""

    async def save(
        self, entry: str, read: Sequence[SecretVersion], *, whole: bool, error: str = "", accept: bool = False
    ) -> Difference:
        """What a manager gave. Without `whole` it is a part: what it does not hold stays as it was. So do the fields
        and members, NAME.FIELD, of one whose value is not given, and unless `accept` says that they are gone those of
        which so many are missing at once that its manager may be at fault, until they have been missing for a while.

        Incidents whose secret is now known by name get it.
        """
        by_name = grouped((clean(version.name), version) for version in read)
        refused = sum(all(version.refused for version in versions) for versions in by_name.values())
        told = Difference(held=len(by_name), refused=refused)
        given = {name: not all(version.unread for version in versions) for name, versions in by_name.items()}
        for names in chunks(by_name):  # findings wait for no longer than one transaction
            batch = {name: by_name[name] for name in names}
            part = await self._session.write(partial(_save, source=entry, batch=batch, whole=whole), durable=True)
            for kind, those in part.items():
                for name in those:
                    told.count(kind, name)
        prints = {print_.fingerprint for version in read for print_ in version.prints}
        end = partial(
            _ended, source=entry, names=given if whole else None, prints=prints, error=error, told=told, accept=accept
        )
        for name in await self._session.write(end, durable=True):
            told.count("gone", name)
        return told

    @read_only
    def names(
        self, connection: Connection, *, entry: str | None = None, environment: str | None = None
    ) -> list[tuple[str, str]]:
        """Entry and name of each, and nothing else of it."""
        query = narrowed(
            select(secrets.c.entry, secrets.c.name),
            None if entry is None else secrets.c.entry == entry,
            None if environment is None else secrets.c.environment == environment,
        )
        return [(row.entry, row.name) for row in connection.execute(query)]

    @read_only
    def secrets(
        self,
        connection: Connection,
        *,
        entry: str | None = None,
        name: str | None = None,
        environment: str | None = None,
        only: Sequence[tuple[str, str]] | None = None,
    ) -> list[Secret]:
        """By entry and name, with all versions. `only`: few of these."""
        query = narrowed(
            select(secrets).order_by(secrets.c.entry, secrets.c.name),
            None if entry is None else secrets.c.entry == entry,
            None if name is None else secrets.c.name == name,
            None if environment is None else secrets.c.environment == environment,
            None if only is None else tuple_(secrets.c.entry, secrets.c.name).in_(only),
        )
        history = narrowed(
            select(secret_versions).order_by(secret_versions.c.first_seen.desc(), secret_versions.c.id.desc()),
            None if entry is None else secret_versions.c.entry == entry,
            None if name is None else secret_versions.c.name == name,
            None if only is None else tuple_(secret_versions.c.entry, secret_versions.c.name).in_(only),
        )
        ids = history.with_only_columns(secret_versions.c.id).order_by(None)
        prints = grouped(
            (row.version, Print(row.fingerprint, row.part, row.length, row.alphabet))
            for row in connection.execute(select(secret_prints).where(secret_prints.c.version.in_(ids)))
        )
        versions = grouped(
            ((row.entry, row.name), _version(row, prints.get(row.id, ()))) for row in connection.execute(history)
        )
        return [
            Secret(
                entry=row.entry,
                name=row.name,
                environment=row.environment,
                owner=row.owner,
                consumers=tuple(json.loads(row.consumers)),
                tags=tuple(json.loads(row.tags)),
                refused=row.refused,
                unread=bool(row.unread),
                first_seen=row.first_seen,
                last_seen=row.last_seen,
                gone_at=row.gone_at,
                versions=tuple(versions.get((row.entry, row.name), ())),
            )
            for row in connection.execute(query)
        ]

    async def get(self, ref: str) -> Secret:
        """ENTRY/NAME, or a name that only one entry has. Raises LookupError."""
        entry, slash, name = ref.partition("/")
        found = await self.secrets(name=ref)
        if not found and slash:
            found = await self.secrets(entry=entry, name=name)
        if not found:
            raise LookupError(f"no secret is called {ref!r}; `monitor inventory list` shows them")
        if len(found) > 1:
            raise LookupError(f"{ref!r} is in {', '.join(one.entry for one in found)}; say ENTRY/{ref}")
        return found[0]

    @read_only
    def owners(
        self, connection: Connection, fingerprints: Collection[str] | None = None
    ) -> dict[str, list[OwnedSecret]]:
        """By fingerprint, those that are of our own secrets; None: all."""
        return by_fingerprint(connection, fingerprints)

    @read_only
    def current(self, connection: Connection, entry: str) -> set[str]:
        """Fingerprints of the values that its secrets have now."""
        query = select(secret_prints.c.fingerprint).join(
            secret_versions, secret_versions.c.id == secret_prints.c.version
        )
        query = query.where(secret_versions.c.entry == entry, secret_versions.c.standing == "current")
        return set(connection.execute(query).scalars())

    @read_only
    def exposed(self, connection: Connection) -> dict[tuple[str, str], float]:
        """By entry and name, secrets whose present value an incident is about that is not resolved: since when."""
        query = (
            select(secret_versions.c.entry, secret_versions.c.name, func.min(incidents.c.first_seen))
            .join(secret_prints, secret_prints.c.version == secret_versions.c.id)
            .join(incidents, incidents.c.fingerprint == secret_prints.c.fingerprint)
            .where(secret_versions.c.standing == "current", incidents.c.state != "resolved")
            .group_by(secret_versions.c.entry, secret_versions.c.name)
        )
        return {(entry, name): since for entry, name, since in connection.execute(query)}

    @read_only
    def syncs(self, connection: Connection) -> dict[str, Sync]:
        """By entry."""
        return {row.entry: Sync(*row) for row in connection.execute(select(syncs).order_by(syncs.c.entry))}

    @durably
    def forget(self, tx: Transaction, *, entry: str, name: str | None = None) -> int:
        """Delete a secret with all its versions, or all of an entry. Returns how many secrets."""
        connection = tx.connection
        mine, theirs = secrets.c.entry == entry, secret_versions.c.entry == entry
        if name is not None:
            mine, theirs = mine & (secrets.c.name == name), theirs & (secret_versions.c.name == name)
        else:
            connection.execute(delete(syncs).where(syncs.c.entry == entry))
        ids = select(secret_versions.c.id).where(theirs)
        connection.execute(delete(secret_prints).where(secret_prints.c.version.in_(ids)))
        connection.execute(delete(secret_versions).where(theirs))
        return connection.execute(delete(secrets).where(mine)).rowcount


def _version(row: Row[Any], prints: Sequence[Print]) -> Version:
    return Version(
        mark=row.mark,
        version=row.version,
        standing=row.standing,
        created=row.created,
        rotated=row.rotated,
        expires=row.expires,
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        replaced_at=row.replaced_at,
        prints=tuple(prints),
    )


def _save(
    tx: Transaction, source: str, batch: Mapping[str, Sequence[SecretVersion]], *, whole: bool
) -> dict[_Kind, list[str]]:
    """Returns the names that are new, that have changed, and of these the ones that have a value from before again."""
    connection = tx.connection
    ours = select(secrets).where(secrets.c.entry == source, any_of(secrets.c.name))
    known = {row.name: row for row in rows_among(connection, ours, batch)}
    versions: dict[str, dict[str, Row[Any]]] = {}
    theirs = select(secret_versions).where(secret_versions.c.entry == source, any_of(secret_versions.c.name))
    for row in rows_among(connection, theirs, batch):
        versions.setdefault(row.name, {})[row.mark] = row

    out: dict[_Kind, list[str]] = {"added": [], "changed": [], "returned": []}
    fresh: list[str] = []
    again: list[str] = []
    for name, given in batch.items():
        _put_secret(tx, source, name, given)
        new, back = _put_versions(tx, source, name, given, versions.get(name, {}), whole=whole)
        fresh += [print_.fingerprint for version in (*new, *back) for print_ in version.prints]
        if name not in known:
            out["added"].append(name)
        elif new or back or known[name].gone_at is not None:
            out["changed"].append(name)
        if back and known[name].gone_at is None:
            out["returned"].append(name)
            again += [print_.fingerprint for version in back for print_ in version.prints]
    adopt(tx, fresh)
    if out["returned"]:
        outbox.add_notice(tx, returned(connection, source, out["returned"], again))
    return out


def _put_secret(tx: Transaction, source: str, name: str, given: Sequence[SecretVersion]) -> None:
    best = next((kept for kept in given if kept.standing == "current"), given[0])
    values = {
        "environment": clean(best.environment),
        "owner": clean(best.owner),
        "consumers": json.dumps(best.consumers),
        "tags": json.dumps(best.tags),
        "refused": "" if any(kept.prints for kept in given) else best.refused,
        "unread": int(best.unread),
        "last_seen": tx.now,
        "gone_at": None,
        "missed_at": None,
    }
    tx.connection.execute(_KEEP_SECRET, {"entry": source, "name": name, "first_seen": tx.now, **values})


def _put_versions(
    tx: Transaction,
    source: str,
    name: str,
    given: Sequence[SecretVersion],
    before: Mapping[str, Row[Any]],
    *,
    whole: bool,
) -> tuple[list[SecretVersion], list[SecretVersion]]:
    """Returns those that are new, and those that were known and are in use again."""
    connection = tx.connection
    numbered = {row.version: mark for mark, row in before.items() if row.version}
    now: dict[str, SecretVersion] = {}
    for version in given:  # of duplicates the most current counts
        # A value that may not be read any more is still that of its version.
        mark = numbered.get(version.version, version.mark) if version.unread and not version.digest else version.mark
        if mark and (mark not in now or version.standing < now[mark].standing):
            now[mark] = version
    if not now and all(version.unread for version in given):
        return [], []  # nothing is told of its value
    for mark, version in now.items():
        values: dict[str, Any] = {
            "version": clean(version.version),
            "standing": version.standing,
            "created": version.created,
            "rotated": version.rotated,
            "expires": version.expires,
            "digest": version.digest,
            "last_seen": tx.now,
        }
        row = before.get(mark)
        if row is None:
            _insert_version(tx, {"entry": source, "name": name, "mark": mark, **values}, version)
            continue
        values["replaced_at"] = None if version.standing == "current" else row.replaced_at or tx.now
        connection.execute(update(secret_versions).where(secret_versions.c.id == row.id).values(**values))

    new = [version for mark, version in now.items() if mark not in before]
    used = {mark: version for mark, version in now.items() if version.standing == "current"}
    # What is given no more: the last one in use is the one before the present, and what was that is retired. Of a part
    # of a reading only the first can be told: its other versions may have been among the rest.
    displaced = any(mark not in now and row.standing == "current" for mark, row in before.items())
    for mark, row in before.items():
        uncounted = row.version in {"", *(version.version for version in now.values())}
        if row.standing == "previous" and uncounted and not displaced and now.keys() == used.keys():
            continue  # its manager never gives any but the present one, which has not changed since
        if mark not in now and row.standing != "retired" and (whole or (used and row.standing == "current")):
            last = row.standing == "current" and not any(version.sole for version in now.values())
            standing = "previous" if last else "retired" if now else row.standing
            changed = {"standing": standing, "replaced_at": row.replaced_at or tx.now}
            connection.execute(update(secret_versions).where(secret_versions.c.id == row.id).values(**changed))
    return new, [version for mark, version in used.items() if mark in before and before[mark].standing != "current"]


def _insert_version(tx: Transaction, values: Mapping[str, Any], kept: SecretVersion) -> None:
    row = {"first_seen": tx.now, **values}
    row["replaced_at"] = None if kept.standing == "current" else tx.now
    id_ = tx.connection.execute(insert(secret_versions).values(**row).returning(secret_versions.c.id)).scalar_one()
    prints = [
        {"version": id_, "fingerprint": p.fingerprint, "part": p.part, "length": p.length, "alphabet": p.alphabet}
        for p in kept.prints
    ]
    apply_all(tx.connection, _KEEP_PRINT, prints)


def _ended(
    tx: Transaction,
    *,
    source: str,
    names: Mapping[str, bool] | None,
    prints: Set[str],
    error: str,
    told: Difference,
    accept: bool,
) -> list[str]:
    """The end of a sync. `names`: all that there is, where it was read to its end, and whether a value of it was given.
    Returns those that are gone."""
    connection = tx.connection
    gone: list[str] = []
    if names is not None:
        gone, doubted = removals.missing(tx, source, names, prints, accept=accept)
        for chunk in chunks(gone):
            mine = (secrets.c.entry == source) & secrets.c.name.in_(chunk)
            connection.execute(update(secrets).where(mine).values(gone_at=tx.now, missed_at=None))
            theirs = (secret_versions.c.entry == source) & secret_versions.c.name.in_(chunk)
            replaced = func.coalesce(secret_versions.c.replaced_at, tx.now)
            connection.execute(update(secret_versions).where(theirs).values(standing="retired", replaced_at=replaced))
        for chunk in chunks(doubted):
            mine = (secrets.c.entry == source) & secrets.c.name.in_(chunk)
            since = func.coalesce(secrets.c.missed_at, tx.now)
            connection.execute(update(secrets).where(mine).values(missed_at=since))
        told.doubt = removals.doubt(source, doubted) if doubted else ""
    values: dict[str, Any] = {"at": tx.now, "error": clean(error or told.doubt)}
    if names is not None and not told.doubt:
        values |= {"whole_at": tx.now, "held": told.held, "refused": told.refused}
    if connection.execute(update(syncs).where(syncs.c.entry == source).values(**values)).rowcount == 0:
        first = {"held": told.held, "refused": told.refused, **values}
        connection.execute(insert(syncs).values(entry=source, **first))
    return gone
