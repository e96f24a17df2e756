"""`[[access]]`: who may read what. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from monitor.access.reading import Reading
from monitor.common.problems import refuse
from monitor.common.table import Table
from monitor.common.text import token_like

__all__ = ["AccessConfig", "Breach", "allowed", "audited", "breach", "covers", "names_of", "permits", "whole", "within"]

_Pattern = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]

_ID = re.compile(r"[a-z0-9]{26}")  # of 1Password's vaults and items
_SNAPSHOTS, _RAW = ("sys/storage/raft/snapshot",), "sys/raw/"  # of Vault: all that it keeps
_MANY = re.compile(r"(\S*\*)(?: \(.*\))?")  # `/prod/*`, `* (by tag)`
_SET = re.compile(r"\[!?\]?[^\]]*\]")


class AccessConfig(Table):
    """`[[access]]`. `principals` and `secrets` are patterns with `*` and `?`. A secret that an entry covers may be read
    by the principals of the entries that cover it, and by nobody else. `never`: by these not, whatever others say.
    `addresses`: networks from which alone these principals may."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,80}$")
    principals: tuple[_Pattern, ...] = Field(min_length=1)
    secrets: tuple[_Pattern, ...] = Field(min_length=1)
    addresses: tuple[str, ...] = ()
    never: bool = False

    @field_validator("secrets", "principals")
    @classmethod
    def _no_secret(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        like = any(token_like(part) and not _ID.fullmatch(part) for one in value for part in one.split("/"))
        refuse((like, "looks like the secret itself, and names are shown in alerts: write its name"))
        return value

    @field_validator("addresses")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            try:
                ipaddress.ip_network(one)
            except ValueError:
                raise ValueError('must be addresses or networks such as "10.0.0.0/8"') from None
        return value


@dataclass(frozen=True, slots=True)
class Breach:
    """A reading that no policy permits, or that one forbids. `item`: what was read; `reason` names the entry."""

    item: str
    reason: str
    never: bool = False


def breach(entries: Sequence[AccessConfig], reading: Reading) -> Breach | None:
    """The worst thing that the policies say about a reading; None: nothing."""
    found = [one for item in reading.items for one in _breaches(entries, item, reading)]
    return max(found, key=lambda one: one.never, default=None)


def _breaches(entries: Sequence[AccessConfig], item: str, reading: Reading) -> Iterator[Breach]:
    """Of a reading of many at once, by an entry about any of them, unless one permits as much by its name."""
    met = [entry for entry in entries if covers(entry, item) or _reached(entry, item)]
    for entry in met:
        if entry.never and permits(entry, reading.principal):
            yield Breach(item, f'[[access]] "{entry.name}" says never', never=True)
    allowing = [entry for entry in met if not entry.never]
    named = [entry for entry in allowing if permits(entry, reading.principal)]
    foreign = [entry for entry in allowing if entry not in named]
    if foreign and not any(covers(entry, item) for entry in named):
        who = ", ".join(dict.fromkeys(name for entry in foreign for name in entry.principals))
        yield Breach(item, f'[[access]] "{foreign[0].name}" permits {who[:200]} only')
    elif named and not any(_from(entry, reading.address) for entry in named):
        places = ", ".join(dict.fromkeys(place for entry in named for place in entry.addresses))
        where = reading.address or "an unknown address"
        yield Breach(item, f'{where} is not in [[access]] "{named[0].name}" ({places[:200]})')


def allowed(entries: Iterable[AccessConfig], reading: Reading) -> bool:
    """Whether somebody has said in so many words that this principal may read all of it."""
    entries = list(entries)
    return all(
        any(not entry.never and covers(entry, item) and permits(entry, reading.principal) for entry in entries)
        for item in reading.items
    )


def covers(entry: AccessConfig, item: str) -> bool:
    """Whether the entry is about this secret, by any of its names."""
    names = names_of(item)
    return any(fnmatchcase(name, pattern) for pattern in entry.secrets for name in names)


def whole(name: str) -> str | None:
    """The pattern of all that was read where the name of a reading stands for many secrets; None: for one."""
    if name in _SNAPSHOTS or name.startswith(_RAW):
        return "*/*"  # every engine's
    found = _MANY.fullmatch(name)
    return found[1] if found else None


def within(name: str, many: str) -> bool:
    """Whether a secret may be one of those that the reading of `many` gave."""
    pattern = whole(many)
    return pattern is not None and fnmatchcase(name, pattern)


def _reached(entry: AccessConfig, item: str) -> bool:
    """Whether a reading of many may have given one that the entry is about. A name without a path is a key of whatever
    secret: who may never read it is held to that, while for the others nothing says that it is among them."""
    pattern = whole(item)
    if pattern is None:
        return False
    return any(entry.never if "/" not in one and "*" not in one else _meet(one, pattern) for one in entry.secrets)


def _meet(one: str, other: str) -> bool:
    """Whether a name may fit both patterns; a set of characters counts as any."""
    one, other = (_SET.sub("?", pattern) for pattern in (one, other))
    row = [True, *(False for _ in other)]
    for at, char in enumerate(other):
        row[at + 1] = row[at] and char == "*"
    for mine in one:
        above, row = row, [row[0] and mine == "*"]
        for at, char in enumerate(other):
            if "*" in (mine, char):
                row.append(above[at + 1] or row[at] or above[at])
            else:
                row.append(above[at] and (mine == char or "?" in (mine, char)))
    return row[-1]


def permits(entry: AccessConfig, principal: str) -> bool:
    """Whether the entry is about this principal."""
    return any(fnmatchcase(principal, pattern) for pattern in entry.principals)


def names_of(item: str) -> tuple[str, ...]:
    """`secret/app#KEY` is also called `secret/app` and `KEY`; `app/KEY` is also called `KEY`."""
    path, mark, key = item.partition("#")
    return tuple(dict.fromkeys((item, path, key) if mark else (item, item.rpartition("/")[2])))


def audited(name: str) -> str:
    """A name of the inventory as policies know it: `secret/app.KEY` is `secret/app#KEY`."""
    head, slash, last = name.rpartition("/")
    outer, dot, member = last.partition(".")
    return f"{head}{slash}{outer}#{member}" if dot and outer and member else name


def _from(entry: AccessConfig, address: str) -> bool:
    if not entry.addresses:
        return True
    try:
        place = ipaddress.ip_address(address)
    except ValueError:
        return False
    place = getattr(place, "ipv4_mapped", None) or place
    return any(place in ipaddress.ip_network(network) for network in entry.addresses)
