"""Sessions of who is signed in to the pages. They are known by the SHA-256 of what the browser holds, which is stored
nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, insert, select, update

from monitor.accounts.people import Role
from monitor.common.user_name import folded
from monitor.store.rows import clean
from monitor.store.schema import sessions, users
from monitor.store.trail import noted
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only, writes

__all__ = ["Sessions", "SignedIn", "Way"]

Way = Literal["password", "openid"]

_MOST = 20  # sessions of one user; the one that was used longest ago ends
_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that stands. `role`: by the groups, or of the user. Times are seconds since the epoch."""

    id: str
    user: str
    way: Way
    role: Role | None
    began: float
    seen: float
    ends: float
    address: str
    agent: str


class Sessions(StoreRepository):
    """Sessions by their id, the SHA-256 of what the browser holds."""

    @durably
    def begin(
        self, tx: Transaction, id_: str, user: str, way: Way, lasts: float, *,
        role: Role | None = None, password: str = "", address: str = "", agent: str = "", before: str = "",
    ) -> bool:  # fmt: skip
        """For at most so many seconds. `password`: as it was stored when it was checked; False: it was changed since,
        or the user was disabled. `before`: the session that this one takes the place of."""
        if way == "password":
            known = tx.connection.execute(select(users).where(users.c.name == user, users.c.disabled == 0)).first()
            if known is None or known.password != password:
                return False
            tx.connection.execute(update(users).where(users.c.name == user).values(seen=tx.now))
        tx.connection.execute(delete(sessions).where((sessions.c.id == before) | (sessions.c.ends < tx.now)))
        newest = select(sessions.c.id).where(_of(user, way)).order_by(sessions.c.seen.desc()).offset(_MOST - 1)
        surplus = list(tx.connection.execute(newest).scalars())
        tx.connection.execute(delete(sessions).where(sessions.c.id.in_(surplus)))
        row = {"id": id_, "user": clean(user), "way": way, "role": role, "began": tx.now, "seen": tx.now}
        more = {"ends": tx.now + lasts, "address": clean(address), "agent": clean(agent)}
        tx.connection.execute(insert(sessions).values(row | more))
        return True

    @read_only
    def find(self, connection: Connection, id_: str, idle: float) -> SignedIn | None:
        """One that stands: it has not ended, was used within `idle` seconds, and its user was not disabled."""
        now = self._session.now()
        query = _STANDING.where(sessions.c.id == id_, sessions.c.ends > now, sessions.c.seen > now - idle)
        row = connection.execute(query).first()
        return None if row is None else _signed_in(row)

    @read_only
    def of(self, connection: Connection, user: str, way: Way, idle: float) -> Sequence[SignedIn]:
        """Those of one user that stand, the one that was used last first."""
        now = self._session.now()
        query = _STANDING.where(_of(user, way), sessions.c.ends > now, sessions.c.seen > now - idle)
        return [_signed_in(row) for row in connection.execute(query.order_by(sessions.c.seen.desc()))]

    @writes
    def use(self, tx: Transaction, id_: str) -> None:
        """It is used now."""
        tx.connection.execute(update(sessions).where(sessions.c.id == id_).values(seen=tx.now))

    def due(self, known: SignedIn) -> bool:
        """Whether `use` would say anything new: once a minute is enough."""
        return self._session.now() - known.seen > _MINUTE

    @durably
    def rotate(self, tx: Transaction, old: str, new: str) -> None:
        """From now on the browser holds something else."""
        tx.connection.execute(update(sessions).where(sessions.c.id == old).values(id=new))

    @durably
    def end(self, tx: Transaction, id_: str) -> None:
        """By who has it."""
        tx.connection.execute(delete(sessions).where(sessions.c.id == id_))

    @durably
    def revoke(self, tx: Transaction, user: str, way: Way, *, actor: str, only: str = "", keep: str = "") -> int:
        """Those of one user: `only` this one, or all but `keep`. Returns how many ended."""
        which = sessions.c.id == only if only else sessions.c.id != keep
        ended = tx.connection.execute(delete(sessions).where(_of(user, way), which)).rowcount
        if ended:
            noted(tx, "sessions_ended", f"{user}: {ended}", actor=actor)
        return ended

    @durably
    def sign_out(self, tx: Transaction, user: str, *, actor: str) -> int:
        """All of one user, whichever way they signed in. Returns how many ended."""
        theirs = sessions.c.user.in_({clean(user), folded(clean(user))})
        ended = tx.connection.execute(delete(sessions).where(theirs)).rowcount
        if ended:
            noted(tx, "sessions_ended", f"{user}: {ended}", actor=actor)
        return ended


_STANDING = (
    select(sessions, users.c.role.label("own"))
    .outerjoin(users, (users.c.name == sessions.c.user) & (sessions.c.way == "password"))
    .where((sessions.c.way != "password") | (users.c.disabled == 0))
)


def _of(user: str, way: Way) -> Any:
    return (sessions.c.user == clean(user)) & (sessions.c.way == way)


def _signed_in(row: Row[Any]) -> SignedIn:
    role = row.own if row.way == "password" else row.role
    return SignedIn(row.id, row.user, row.way, role, row.began, row.seen, row.ends, row.address, row.agent)
