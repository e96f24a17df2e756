"""What a manager gives no more: gone, or missing with so much else that the manager itself may be at fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

from sqlalchemy import select

from monitor.common.grouping import grouped
from monitor.common.text import clip, one_line
from monitor.store.rows import any_of, rows_among
from monitor.store.schema import secret_prints, secret_versions, secrets
from monitor.store.transaction import Transaction

__all__ = ["doubt", "missing"]

_SHARE, _FEW = 0.1, 2  # of what is known: when more of it is missing at once, it is in doubt …
_SURE = 3600.0  # … until it has been missing for so many seconds
_VALUES = (
    select(secret_versions.c.name, secret_prints.c.fingerprint)
    .join(secret_prints, secret_prints.c.version == secret_versions.c.id)
    .where(any_of(secret_versions.c.name), secret_versions.c.standing == "current")
)


def missing(
    tx: Transaction, source: str, names: Mapping[str, bool], prints: Set[str], *, accept: bool
) -> tuple[list[str], list[str]]:
    """What is gone, and what only may be: too much is missing at once, and nobody has confirmed it. What has another
    name now is not missing."""
    query = select(secrets.c.name, secrets.c.missed_at).where(secrets.c.entry == source, secrets.c.gone_at.is_(None))
    known = {row.name: row.missed_at for row in tx.connection.execute(query)}
    # Not a field or member of one of which no value was given.
    withheld = {name for name, given in names.items() if not given}
    lost = [name for name in known if name not in names and withheld.isdisjoint(_heads(name))]
    if accept or not lost:
        return lost, []
    current = rows_among(tx.connection, _VALUES.where(secret_versions.c.entry == source), lost)
    values = grouped((row.name, row.fingerprint) for row in current)
    whole = {head for name in names for head in _heads(name)}  # of these, members are given now

    def unsure(name: str) -> bool:
        since = known[name]
        renamed = name in values and prints >= set(values[name])
        reshaped = name in whole or any(head in names for head in _heads(name))
        return not renamed and not reshaped and (since is None or tx.now - since < _SURE)

    doubted = [name for name in lost if unsure(name)]
    nothing = not any(name in names for name in known)
    if len(doubted) <= _SHARE * len(known) or not (nothing or len(doubted) > _FEW):
        doubted = []
    return [name for name in lost if name not in set(doubted)], doubted


def doubt(source: str, missing: Sequence[str]) -> str:
    """In words, with what to do."""
    some = ", ".join(clip(one_line(name), 80) for name in missing[:3])
    more = f" and {len(missing) - 3:,} more" if len(missing) > 3 else ""
    return (
        f"inventory {source}: {some}{more} {'is' if len(missing) == 1 else 'are'} missing all at once, which may be a "
        f"fault of its manager. Nothing is retired until it is missing for an hour; where that is right, "
        f"`monitor inventory sync {source} --accept-removals` says so"
    )


def _heads(name: str) -> Iterator[str]:
    """What it may be a field or member of."""
    return (name[:at] for at, char in enumerate(name) if char == ".")
