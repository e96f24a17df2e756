"""Values that a repository accepts for a while, in a file of it: by a slow hash, so it holds no secret.

A clone or a runner has none of the keys of fingerprints, so the file has a salt of its own. What could be guessed is
accepted by its rule and path only. Neither names a commit: a squash or a rebase changes nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import os
import re
import secrets
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detectors.fingerprint import normalise
from detectors.match.parts import secret_part
from detectors.match.score import HEX, entropy, randomness, surprise
from detectors.rules.gone import heir
from monitor.common.text import toml_error

if TYPE_CHECKING:
    from monitor.domain.model import Finding

__all__ = [
    "FILE",
    "SLOW",
    "AcceptedEntry",
    "AcceptedError",
    "Accepting",
    "Book",
    "above",
    "folders",
    "fresh",
    "read",
    "strength",
    "unique",
    "write",
]

FILE = ".exposure-suppressions"
LEAST = 80  # bits that are not found by trying
LARGEST = 1 << 20
SLOW = 1000  # values that one process hashes slowly, in some 40 s; what comes behind them is accepted by path alone
_HEAD = """# What is found in this repository, known and accepted for a while: values by a slow hash, or by rule
# and path where they could be guessed. `monitor scan --accept` writes here (docs/git.md of the exposure monitor).
version = 1
salt = "%s"
"""
_COST = {"n": 1 << 14, "r": 8, "p": 1, "maxmem": 64 << 20, "dklen": 16}
_TAG = 3  # hex digits of a quick hash: of 4,096 other values one is hashed slowly in vain
_KEYS = ("rule", "scrypt", "path", "reason", "author", "until")
_VALUE = re.compile(rf"[0-9a-f]{{{_TAG}}}-[0-9a-f]{{32}}")
_SALT = re.compile(r"[0-9a-f]{32}")
_UNSEEN = re.compile("[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
_WORDY = 1.5  # bits of a letter in a word


class AcceptedError(Exception):
    """A file that cannot be used; the message says which entry and why."""


@dataclass(frozen=True, slots=True)
class AcceptedEntry:
    """Either `scrypt`, the hash of a value, or `path`. `until`: seconds since 1970."""

    rule: str
    scrypt: str
    path: str
    reason: str
    author: str
    until: float


@dataclass(slots=True)
class Book:
    """A file as it holds now. `root`: the folder that paths in it count from, where those of findings do not already.
    `over`: entries whose time is."""

    salt: str
    entries: tuple[AcceptedEntry, ...]
    root: str | None = None
    over: int = 0
    _tags: frozenset[str] = frozenset()
    _values: frozenset[str] = frozenset()
    _places: frozenset[tuple[str, str]] = frozenset()
    _left: int = SLOW
    _known: dict[bytes, bool] = field(default_factory=dict, repr=False)  # by a digest of the value

    def __post_init__(self) -> None:
        values = [one.scrypt for one in self.entries if one.scrypt]
        self._tags, self._values = frozenset(value[:_TAG] for value in values), frozenset(values)
        self._places = frozenset((heir(one.rule), one.path) for one in self.entries if one.path)

    def accepts(self, rule: str, path: str, secret: bytes) -> bool:
        if self._places and (heir(rule), self.place(path)) in self._places:
            return True
        if not self._tags:
            return False
        value = normalise(secret)
        key = hashlib.sha256(value).digest()
        if key not in self._known:
            self._known[key] = _tag(self.salt, value) in self._tags and self._slowly(value)
        return self._known[key]

    def _slowly(self, value: bytes) -> bool:
        """Who brings both the file and the values could have each of them hashed."""
        self._left -= 1
        return self._left >= 0 and hashed(self.salt, value) in self._values

    def place(self, path: str) -> str:
        """A path of a finding as it stands in the file."""
        return path if self.root is None else os.path.relpath(os.path.abspath(path), self.root)


@dataclass(frozen=True, slots=True)
class Accepting:
    """What is to be accepted: findings whose fingerprint begins so, or that stand in PATH or PATH:LINE."""

    wanted: str
    book: Book

    def entry(self, finding: Finding, prefix: str, secret: bytes) -> AcceptedEntry | None:
        """Without reason, author and end; None: it is not meant. `prefix`: what all values of the rule begin with."""
        rule, path, line = finding.rule, finding.path, finding.line
        place = self.book.place(path)
        names = {path, place, f"{path}:{line}", f"{place}:{line}"}
        if self.wanted not in names and not (len(self.wanted) >= 4 and finding.fingerprint.startswith(self.wanted)):
            return None
        if strength(secret, prefix) >= LEAST:
            return AcceptedEntry(rule, hashed(self.book.salt, normalise(secret)), "", "", "", 0.0)
        return AcceptedEntry(rule, "", place, "", "", 0.0)


def hashed(salt: str, value: bytes) -> str:
    """Of a normalised value. Takes some hundredths of a second and 16 MiB."""
    return f"{_tag(salt, value)}-{hashlib.scrypt(value, salt=bytes.fromhex(salt), **_COST).hex()}"


def _tag(salt: str, value: bytes) -> str:
    return hmac.new(bytes.fromhex(salt), value, hashlib.sha256).hexdigest()[:_TAG]


def strength(secret: bytes, prefix: str = "") -> float:
    """Bits that somebody who tries has to guess, rather too few than too many."""
    value = secret_part(normalise(secret)).removeprefix(prefix.encode())
    size = len(value)
    if not size:
        return 0.0
    over, letters = surprise(value)
    if letters and over < 0:
        return min(letters * _WORDY + (size - letters) * math.log2(10), entropy(value) * size)
    if randomness(value) < -2:
        return entropy(value) * size / 2
    return size * math.log2(_alphabet(value))


def _alphabet(value: bytes) -> int:
    if HEX.fullmatch(value):
        return 10 if value.isdigit() else 16
    digits, lower, upper = (any(low <= one <= high for one in value) for low, high in (b"09", b"az", b"AZ"))
    return max(2, 10 * digits + 26 * lower + 26 * upper)


def above(path: str) -> Path | None:
    """The file that holds for a path: the nearest one of `folders`."""
    return next((folder / FILE for folder in folders(path) if (folder / FILE).is_file()), None)


def folders(path: str) -> list[Path]:
    """Where the file of a path may be: in its folder and those above, up to that of its repository. Of what is in none,
    in its folder, and in the current one if that is above it: further up anybody could have put one."""
    here = Path(path).absolute()
    start = here if here.is_dir() else here.parent
    chain = [start, *start.parents]
    top = next((number for number, folder in enumerate(chain) if (folder / ".git").exists()), None)
    if top is not None:
        return chain[: top + 1]
    return [folder for folder in chain if folder in (start, Path.cwd())]


def read(data: bytes, now: float, root: str | None = None) -> Book:
    """Raises AcceptedError."""
    if len(data) > LARGEST:
        raise AcceptedError(f"larger than {LARGEST >> 20} MiB")
    try:
        table = tomllib.loads(data.decode())
    except ValueError as error:  # not UTF-8, not TOML
        raise AcceptedError(f"not TOML: {toml_error(error)}") from None
    if table.get("version") != 1:
        raise AcceptedError("version: must be 1; a newer monitor may know more")
    salt, rows = table.get("salt"), table.get("suppressions", [])
    if not isinstance(salt, str) or not _SALT.fullmatch(salt):
        raise AcceptedError(
            "salt: must be 32 hex digits; without it no value is known: take it from the history of the file"
        )
    if unknown := sorted(table.keys() - {"version", "salt", "suppressions"}):
        raise AcceptedError(f"unknown key {_shown(unknown[0])!r}; there are version, salt, suppressions")
    if not isinstance(rows, list):
        raise AcceptedError("suppressions: must be an array of tables: write [[suppressions]], one for each")
    entries = [_entry(row, f"suppressions[{number}]") for number, row in enumerate(rows, 1)]
    left = tuple(one for one in entries if one.until > now)
    return Book(salt, left, root, len(entries) - len(left))


def _shown(key: str) -> str:
    from monitor.common.problems import short  # pydantic's part of a start

    return short(key)


def _entry(row: Any, place: str) -> AcceptedEntry:
    if not isinstance(row, dict):
        raise AcceptedError(f"{place}: must be a table")
    if unknown := sorted(row.keys() - set(_KEYS)):
        raise AcceptedError(f"{place}: unknown key {_shown(unknown[0])!r}; there are {', '.join(_KEYS)}")
    texts = {name: row.get(name, "") for name in _KEYS[:-1]}
    if wrong := next((name for name, text in texts.items() if not isinstance(text, str)), None):
        raise AcceptedError(f"{place}: {wrong}: must be a text")
    if bool(texts["scrypt"]) == bool(texts["path"]):
        raise AcceptedError(f"{place}: one of scrypt and path")
    if texts["scrypt"] and not _VALUE.fullmatch(texts["scrypt"]):
        raise AcceptedError(f"{place}: scrypt: must be as `monitor scan --accept` writes it")
    for name in ("rule", "reason", "author"):
        if not texts[name].strip():
            raise AcceptedError(f"{place}: {name}: must not be empty")
    until = row.get("until")
    if not isinstance(until, datetime) or until.tzinfo is None:
        raise AcceptedError(f"{place}: until: must be a date and time with a zone, such as 2027-01-31T00:00:00Z")
    return AcceptedEntry(**texts, until=until.timestamp())


def fresh() -> Book:
    """For a repository that has none yet."""
    return Book(secrets.token_hex(16), ())


def write(path: Path, salt: str, entries: Iterable[AcceptedEntry]) -> None:
    """Behind what is there already. Raises OSError."""
    there = path.read_text(encoding="utf-8") if path.exists() else _HEAD % salt
    text = there.rstrip("\n") + "\n" + "".join(map(_row, entries))
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _row(entry: AcceptedEntry) -> str:
    until = datetime.fromtimestamp(entry.until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    what = f"scrypt = {_quoted(entry.scrypt)}" if entry.scrypt else f"path = {_quoted(entry.path)}"
    return (
        f"\n[[suppressions]]\nrule = {_quoted(entry.rule)}\n{what}\nreason = {_quoted(entry.reason)}\n"
        f"author = {_quoted(entry.author)}\nuntil = {until}\n"
    )


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    quoted = json.dumps(text.encode("utf-8", "backslashreplace").decode(), ensure_ascii=False)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)


def unique(entries: Sequence[AcceptedEntry]) -> list[AcceptedEntry]:
    """One for each value, and for each rule and path."""
    return list({(one.scrypt, "" if one.scrypt else one.rule, one.path): one for one in entries}.values())
