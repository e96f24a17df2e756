"""Tokens of programs that use the API. They are known by the SHA-256 of their value, which is stored nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from monitor.accounts.people import Role
from monitor.accounts.tokens import Scope
from monitor.store.rows import clean
from monitor.store.schema import tokens
from monitor.store.trail import noted
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only, writes
from monitor.store.users import UserError

__all__ = ["ApiToken", "ApiTokens"]

_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class ApiToken:
    """`id`: the SHA-256 of its value. `scope`: read only, or all that `role` may. Times are seconds since the epoch;
    `seen`: when it was last used, to the minute."""

    id: str
    name: str
    role: Role
    scope: Scope
    added: float
    ends: float
    seen: float | None


class ApiTokens(StoreRepository):
    """Tokens by their name. Each that is made or revoked is in the history of users."""

    @read_only
    def list(self, connection: Connection) -> Sequence[ApiToken]:
        """By name, also those that have ended lately."""
        return [_token(row) for row in connection.execute(select(tokens).order_by(tokens.c.name))]

    @read_only
    def find(self, connection: Connection, id_: str) -> ApiToken | None:
        """One that stands."""
        mine = (tokens.c.id == id_) & (tokens.c.ends > self._session.now())
        row = connection.execute(select(tokens).where(mine)).first()
        return None if row is None else _token(row)

    @durably
    def add(
        self, tx: Transaction, id_: str, name: str, *, role: Role, scope: Scope, lasts: float, actor: str
    ) -> ApiToken:
        """For so many seconds. Raises UserError where one of that name stands; one that has ended gives way."""
        row = tx.connection.execute(select(tokens).where(tokens.c.name == clean(name))).first()
        if row is not None and row.ends > tx.now:
            raise UserError(f"there is a token {name} already: `monitor users token revoke {name}` ends it")
        tx.connection.execute(delete(tokens).where(tokens.c.name == clean(name)))
        made = ApiToken(id_, clean(name), role, scope, tx.now, tx.now + lasts, None)
        values = {"id": id_, "name": made.name, "role": role, "scope": scope, "added": made.added, "ends": made.ends}
        tx.connection.execute(insert(tokens).values(values))
        noted(tx, "token_added", f"{name}, {role}, {scope}", actor=actor)
        return made

    @writes
    def use(self, tx: Transaction, id_: str) -> None:
        """It is used now."""
        tx.connection.execute(update(tokens).where(tokens.c.id == id_).values(seen=tx.now))

    def due(self, known: ApiToken) -> bool:
        """Whether `use` would say anything new: once a minute is enough."""
        return known.seen is None or self._session.now() - known.seen > _MINUTE

    @durably
    def revoke(self, tx: Transaction, name: str, *, actor: str) -> None:
        """It opens nothing any more. Raises LookupError."""
        if not tx.connection.execute(delete(tokens).where(tokens.c.name == clean(name))).rowcount:
            raise LookupError(f"there is no token {name!r}; `monitor users token list` shows them")
        noted(tx, "token_revoked", name, actor=actor)


def _token(row: Row[Any]) -> ApiToken:
    return ApiToken(row.id, row.name, row.role, row.scope, row.added, row.ends, row.seen)
