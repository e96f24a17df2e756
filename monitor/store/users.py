"""Users who sign in with a password. Each change is in the trail, in a chain of its own, under who made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from monitor.accounts.people import Role
from monitor.store.records import AuditEntry
from monitor.store.rows import clean
from monitor.store.schema import ACCOUNTS, sessions, users
from monitor.store.trail import entries_of, noted
from monitor.store.transaction import StoreRepository, Transaction, durably, read_only, writes

__all__ = ["User", "UserError", "Users", "user_named"]


class UserError(Exception):
    """What is asked for cannot be. The message says why, and is safe to show."""


@dataclass(frozen=True, slots=True)
class User:
    """`password`: as it is stored. Times are seconds since the epoch; `seen`: when they last signed in."""

    name: str
    role: Role
    disabled: bool
    added: float
    changed: float
    seen: float | None
    password: str = field(repr=False)


class Users(StoreRepository):
    """Users by their name. Methods that change one raise LookupError where there is none."""

    @read_only
    def list(self, connection: Connection) -> Sequence[User]:
        """By name."""
        return [_user(row) for row in connection.execute(select(users).order_by(users.c.name))]

    @read_only
    def find(self, connection: Connection, name: str) -> User | None:
        row = connection.execute(select(users).where(users.c.name == clean(name))).first()
        return None if row is None else _user(row)

    @read_only
    def history(self, connection: Connection) -> Sequence[AuditEntry]:
        """What was changed about users, oldest first."""
        return entries_of(connection, ACCOUNTS)

    @durably
    def add(self, tx: Transaction, name: str, password: str, role: Role, *, actor: str) -> None:
        """`password`: as it is stored. Raises UserError where there is such a user."""
        if tx.connection.execute(select(users.c.name).where(users.c.name == name)).first() is not None:
            raise UserError(f"there is a user {name} already: `monitor users password {name}` gives them another")
        row = {"name": name, "password": password, "role": role, "disabled": 0, "added": tx.now, "changed": tx.now}
        tx.connection.execute(insert(users).values(row))
        noted(tx, "user_added", f"{name}, {role}", actor=actor)

    @durably
    def set_password(self, tx: Transaction, name: str, password: str, *, actor: str, keep: str = "") -> None:
        """All sessions of theirs end but `keep`."""
        user_named(tx.connection, name)
        _change(tx, name, password=password, changed=tx.now)
        _end(tx, name, keep)
        noted(tx, "user_password", name, actor=actor)

    @durably
    def set_role(self, tx: Transaction, name: str, role: Role, *, actor: str) -> bool:
        """Their sessions end. False: they have it."""
        if user_named(tx.connection, name).role == role:
            return False
        _change(tx, name, role=role)
        _end(tx, name)
        noted(tx, "user_role", f"{name}, {role}", actor=actor)
        return True

    @durably
    def disable(self, tx: Transaction, name: str, *, actor: str) -> bool:
        """They may not sign in, and their sessions end. False: it is so."""
        if user_named(tx.connection, name).disabled:
            return False
        _change(tx, name, disabled=1)
        _end(tx, name)
        noted(tx, "user_disabled", name, actor=actor)
        return True

    @durably
    def enable(self, tx: Transaction, name: str, *, actor: str) -> bool:
        """They may sign in again. False: they may."""
        if not user_named(tx.connection, name).disabled:
            return False
        _change(tx, name, disabled=0)
        noted(tx, "user_enabled", name, actor=actor)
        return True

    @writes
    def renew(self, tx: Transaction, name: str, was: str, password: str) -> None:
        """The same password, stored by today's figures, unless it was changed since."""
        tx.connection.execute(
            update(users).where(users.c.name == name, users.c.password == was).values(password=password)
        )


def user_named(connection: Connection, name: str) -> User:
    """Raises LookupError."""
    row = connection.execute(select(users).where(users.c.name == clean(name))).first()
    if row is None:
        raise LookupError(f"there is no user {name!r}; `monitor users list` shows them")
    return _user(row)


def _change(tx: Transaction, name: str, **values: Any) -> None:
    tx.connection.execute(update(users).where(users.c.name == name).values(values))


def _end(tx: Transaction, name: str, keep: str = "") -> None:
    mine = (sessions.c.user == name) & (sessions.c.way == "password")
    tx.connection.execute(delete(sessions).where(mine, sessions.c.id != keep))


def _user(row: Row[Any]) -> User:
    return User(row.name, row.role, bool(row.disabled), row.added, row.changed, row.seen, row.password)
