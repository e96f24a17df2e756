"""Where runbooks lie: the shipped ones, and the user's own, which go before them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from detectors.rules import packs
from detectors.rules.rule import Rule
from monitor.common.problems import Problem
from monitor.common.text import toml_error
from monitor.runbook.book import Runbook, merged, read

__all__ = ["GENERAL", "RunbookStore", "load", "names", "of"]

_FOLDER = Path(__file__).parents[1] / "runbooks"
_PARTNER = "partner"  # issuers whose secrets GitHub reports and no rule of ours finds: they have no pack
_NAME = re.compile(r"(?:[a-z0-9-]{1,200}/)?[a-z0-9-]{1,200}")  # as names of files may be
# A pack is read with the first finding of its rules, perhaps in the midst of an upgrade, or where no more files may be
# open: then neither finding nor alert waits for its advice, and the next one looks again.
_UNREADABLE = (OSError, ValueError)
_BASE = "generic-secret"  # whose steps all others have, unless they say otherwise

_REMEMBERED = 4096
_OF_KINDS = 64  # some twenty, on which those of hundreds of issuers stand
# Of no issuer in particular: where the issuer is known, its own runbook says more.
GENERAL = frozenset({_BASE, "ai-key", "payment-key", "vault-token", "database-password", "webhook-url"})


class RunbookStore:
    """Runbooks by name. `own`: a folder with the user's; None: there is none. Read once; a reload makes a new one.

    `probes`, `actions`: names that the user's may use; None: any.
    """

    def __init__(
        self, own: Path | None = None, *, probes: Collection[str] | None = None, actions: Collection[str] | None = None
    ) -> None:
        self.own = own
        self._probes, self._actions = probes, actions
        self._read: dict[str, Runbook | None] = {}

    def load(self, name: str | None) -> Runbook | None:
        """The runbook of that name; None when there is none, or when the user's is wrong and there is no other."""
        if name is None or not _NAME.fullmatch(name):  # anybody may ask, over HTTP too
            return None
        try:
            return self._loaded(name)
        except _UNREADABLE:
            return None

    def _loaded(self, name: str) -> Runbook | None:
        if self.own is None:
            return load(name)
        if len(self._read) >= _REMEMBERED:  # of names that there are not, too
            self._read.clear()
        if name not in self._read:
            self._read[name] = self.check(name)[0] or self._of_kind(name) or load(name)
        return self._read[name]

    def _of_kind(self, name: str) -> Runbook | None:
        """The user's own of the kind of secret that a rule of an issuer says more about: of Azure's keys, of AWS's."""
        kind = (_issuer(name) or {}).get("kind")
        return self.check(kind)[0] if kind is not None and kind not in GENERAL else None

    def names(self) -> tuple[str, ...]:
        """Of all runbooks, the user's own first."""
        mine = sorted(path.stem for path in self.own.glob("*.toml")) if self.own else []
        return (*mine, *(name for name in names() if name not in mine))

    def check(self, name: str) -> tuple[Runbook | None, list[Problem]]:
        """The user's own runbook of that name, or what is wrong with it; neither when there is none."""
        path = self.own / f"{name}.toml" if self.own else None
        return self.parse(path) if path and "/" not in name and path.is_file() else (None, [])

    def parse(self, path: Path) -> tuple[Runbook | None, list[Problem]]:
        """A user's file, or everything that is wrong with it."""
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            return None, [Problem("", f"invalid TOML: {toml_error(error)}")]
        except (OSError, UnicodeDecodeError) as error:
            return None, [Problem("", f"cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8 text'}")]
        if not _NAME.fullmatch(path.stem):
            return None, [Problem("", "the name of the file must be of small letters, digits and -")]
        base = data.get("base", _BASE)
        if base == "":  # steps of its own only
            return read(path.stem, data, probes=self._probes, actions=self._actions)
        tables = _tables(base) if isinstance(base, str) else None
        if tables is None:
            message = 'names no shipped runbook; `monitor runbook list --books` shows them, and "" takes no steps over'
            return None, [Problem("base", message)]
        return read(path.stem, data, tables, probes=self._probes, actions=self._actions)


@cache
def names() -> tuple[str, ...]:
    """Names of all shipped runbooks: of kinds of secret ("private-key"), then of issuers ("ai/openai")."""
    families = (_PARTNER, *packs.families())
    return (*sorted(_kinds()), *(f"{family}/{name}" for family in sorted(families) for name in sorted(_family(family))))


def of(rule: Rule) -> str:
    """Name of the runbook that helps most with a secret of this rule: its own, its issuer's, or that of its kind."""
    if rule.family == "custom":
        return rule.runbook
    try:
        return _of(rule.family, rule.source, rule.id, rule.vendor, rule.runbook)
    except _UNREADABLE:
        return rule.runbook


@lru_cache(4096)  # each finding asks
def _of(family: str, source: str, rule_id: str, vendor: str, runbook: str) -> str:
    """Raises what reading a pack raises."""
    issuers = _pack(packs.source(source))
    if rule_id in issuers:
        return f"{family}/{rule_id}"
    return f"{family}/{vendor}" if runbook in GENERAL and vendor in issuers else runbook


@lru_cache(4096)
def load(name: str | None) -> Runbook | None:
    """The shipped runbook of that name, None when there is none."""
    if name is None or not _NAME.fullmatch(name) or (data := _data(name)) is None:
        return None
    base = data.get("base", _BASE if name != _BASE else "")
    book, problems = read(name, data, _tables(base) or () if base else ())
    assert book is not None, (name, problems)  # a test reads every one of them
    return book


@lru_cache(_OF_KINDS)
def _tables(name: str) -> Sequence[Mapping[str, Any]] | None:
    """The tables of all steps of a shipped runbook; None when there is none of that name."""
    data = _data(name) if _NAME.fullmatch(name) else None
    if data is None:
        return None
    own: Sequence[Mapping[str, Any]] = data.get("step", ())
    return own if name == _BASE or data.get("base") == "" else merged(_tables(_BASE) or (), own)


def _data(name: str) -> Mapping[str, Any] | None:
    if "/" not in name:
        return _kinds().get(name)
    issuer = _issuer(name)
    return _of_issuer(issuer) if issuer is not None else None


@cache
def _kinds() -> Mapping[str, Mapping[str, Any]]:
    """The shipped runbooks of kinds of secret, which a thousand issuers' are made from."""
    return {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in _FOLDER.glob("*.toml")}


def _of_issuer(issuer: Mapping[str, Any]) -> dict[str, Any]:
    kind = (_data(issuer["kind"]) or {}) if "kind" in issuer else {}
    data = {
        "title": f"Secret of {issuer['name']}",
        "first_step": issuer.get("first_step") or f"Revoke it at {issuer['name']}: {issuer['where']}.",
        "where": issuer["where"],
        "url": issuer["url"],
        "notes": [*issuer.get("notes", ()), *kind.get("notes", ())],
        "first": issuer.get("first", ()),
        "step": merged(kind.get("step", ()), issuer.get("step", ())),
    }
    return data | {key: value for key in ("order",) if (value := issuer.get(key, kind.get(key)))}


def _issuer(name: str) -> Mapping[str, Any] | None:
    """What is known of who issued it, by "ai/openai", or "ai/openai-admin-key" for a rule that needs other words."""
    family, _, key = name.rpartition("/")
    if not family:
        return None
    try:
        own = _pack(name)
    except FileNotFoundError:  # of most names; to list all packs for each would take a millisecond, and an alert waits
        own = {}
    return own.get(key) or _family(family).get(key)


@cache
def _family(family: str) -> Mapping[str, Mapping[str, Any]]:
    """Of all its packs."""
    if family == _PARTNER:
        return tomllib.loads((_FOLDER / "issuers" / f"{_PARTNER}.toml").read_text(encoding="utf-8"))
    packs_of = (name for name in sorted(packs.names()) if name.startswith(f"{family}/"))
    return {name: entry for pack in packs_of for name, entry in _pack(pack).items()}


@lru_cache(_REMEMBERED)
def _pack(pack: str) -> Mapping[str, Mapping[str, Any]]:
    """The table [issuer] of a pack, by the pack's name, and those inside it, by the rule's id."""
    issuer = tomllib.loads(packs.text(pack)).get("issuer", {})
    own = {key: value for key, value in issuer.items() if not isinstance(value, dict)}
    rules = {name: own | table for name, table in issuer.items() if isinstance(table, dict)}
    # Without a name it is a pack of no issuer, with rules that know more than the rest of it.
    return {pack.rpartition("/")[2]: own} | rules if "name" in own else rules
