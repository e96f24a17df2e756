"""Whether an environment has all that a program wants, each with a value of its own: pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from monitor.common.environments import known_as
from monitor.inventory.managers.dotenv import entries

if TYPE_CHECKING:
    from monitor.domain.model import SecretVersion
    from monitor.store.inventory import Secret

__all__ = ["WRONG", "Checked", "Holding", "NamesError", "check", "of_kept", "of_secret", "wanted"]

State = Literal["missing", "empty", "placeholder", "shared", "unknown", "unread", "set"]
WRONG: tuple[State, ...] = ("missing", "empty", "placeholder", "shared")
_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_.-]*")
_LAST = re.compile(r"[:/.#]")


class NamesError(Exception):
    """What stands in a line that is no name; quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A name that a manager has now. `values`: fingerprints, and digests that it gives in place of a value; `refused`:
    why its value has none."""

    entry: str
    name: str
    environment: str
    refused: str
    unread: bool
    values: frozenset[str]

    @property
    def title(self) -> str:
        return f"{self.entry}/{self.name}"


@dataclass(frozen=True, slots=True)
class Checked:
    """`where`: ENTRY/NAME of whoever has it; `why`: what is wrong, or was not looked at."""

    name: str
    state: State
    where: tuple[str, ...] = ()
    why: str = ""


def wanted(text: bytes, without: Sequence[str] = ()) -> list[str]:
    """The names of a file such as `.env.example`, or one a line, but those that fit a pattern. Raises NamesError."""
    found: dict[str, None] = {}
    for name, _, begin in entries(text):
        end = text.find(b"\n", begin)
        line = text[begin : end if end >= 0 else None].strip()
        if not name and not _NAME.fullmatch(line):
            number = text.count(b"\n", 0, begin) + 1
            raise NamesError(f"line {number} is neither NAME=value, nor a name, nor a comment")
        found[name or line.decode()] = None
    return [name for name in found if not any(fnmatchcase(name, pattern) for pattern in without)]


def of_kept(entry: str, kept: SecretVersion) -> Holding:
    prints = [one.fingerprint for one in kept.prints]
    return Holding(entry, kept.name, kept.environment, kept.refused, kept.unread, _values(prints, kept.mark))


def of_secret(secret: Secret) -> Holding | None:
    """None where its manager has it no more."""
    current = secret.current
    if secret.gone_at is not None:
        return None
    prints = [one.fingerprint for one in current.prints] if current is not None else []
    values = _values(prints, current.mark if current is not None else "")
    return Holding(secret.entry, secret.name, secret.environment, secret.refused, secret.unread, values)


def _values(prints: Iterable[str], mark: str) -> frozenset[str]:
    return frozenset([*prints, *([mark] if mark.startswith("digest ") else [])])


def check(
    names: Iterable[str],
    environment: str,
    holdings: Iterable[Holding],
    unasked: Mapping[str, str],
    is_secret: Callable[[str], bool],
) -> list[Checked]:
    """In the order of the names. `unasked`: entries that were not read to their end, and why; `is_secret`: by its
    name, so that no placeholder may stand for it."""
    here: dict[str, list[Holding]] = defaultdict(list)
    nowhere: dict[str, list[Holding]] = defaultdict(list)
    others: dict[str, Holding] = {}
    for secret in holdings:
        if not secret.environment:
            nowhere[_bare(secret.name)].append(secret)
        elif known_as(secret.environment) == known_as(environment):
            here[_bare(secret.name)].append(secret)
        else:
            others.update((value, secret) for value in secret.values)

    def checked(name: str) -> Checked:
        found = here.get(_bare(name))
        if found is None:
            return _absent(name, nowhere.get(_bare(name), []), unasked)
        where = tuple(secret.title for secret in found)
        states = [_state(secret, others, secret=is_secret(name)) for secret in found]
        state, why = min(states, key=lambda pair: _WORST_FIRST.index(pair[0]))
        return Checked(name, state, where, why)

    return [checked(name) for name in names]


_WORST_FIRST: tuple[State, ...] = ("shared", "empty", "placeholder", "unread", "set")


def _absent(name: str, nowhere: Sequence[Holding], unasked: Mapping[str, str]) -> Checked:
    if nowhere:
        where = tuple(one.title for one in nowhere)
        return Checked(name, "unknown", where, "of no environment: set `environment` of its [[inventory]]")
    if unasked:
        return Checked(name, "unknown", (), f"{', '.join(sorted(unasked))} may have it, and could not be read")
    return Checked(name, "missing", (), "no manager of this environment has it")


def _state(holding: Holding, others: Mapping[str, Holding], *, secret: bool) -> tuple[State, str]:
    twin = next((others[value] for value in sorted(holding.values) if value in others), None)
    if twin is not None:
        return "shared", f"has the value of {twin.title} of {twin.environment}"
    if holding.refused == "empty":
        return "empty", "its value is empty"
    if holding.refused == "a placeholder" and secret:
        return "placeholder", "its value is a placeholder"
    if holding.unread or holding.refused.startswith("excluded"):
        return "unread", f"its value was not compared: {holding.refused or 'its manager does not give it'}"
    return "set", f"its value was not compared: {holding.refused}" if holding.refused else ""


def _bare(name: str) -> str:
    """As a program asks for it: `secret/app.DB_PASSWORD`, `/srv/.env:DB_PASSWORD` and `db-password` are one."""
    return _LAST.split(name)[-1].upper().replace("-", "_")
