"""Runbooks: what to do about a kind of secret, by whom and until when."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detectors.rule import Rule

__all__ = ["GENERAL", "STEPS", "Runbook", "Step", "load", "names", "of"]

_FOLDER = Path(__file__).parent / "runbooks"
_ISSUERS = _FOLDER / "issuers"  # one file a family of rules
_NAME = re.compile(r"(?:[a-z0-9-]+/)?[a-z0-9-]+")

# Of no issuer in particular: where the issuer is known, its own runbook says more.
GENERAL = frozenset({"generic-secret", "ai-key", "payment-key", "vault-token", "database-password", "webhook-url"})


@dataclass(frozen=True, slots=True)
class Step:
    """One step of every runbook. `within`: how long after the first alert it must be done."""

    name: str
    what: str
    within: str
    done_when: str


STEPS = (
    Step("revoke", "take the secret out of service at its issuer", "15 minutes", "the issuer refuses it"),
    Step("replace", "issue a new one, into the secret manager and nowhere else", "15 minutes", "the new one works"),
    Step("deploy", "give it to every service that used the old one", "30 minutes", "no service logs failed logins"),
    Step(
        "audit",
        "read the issuer's log from first_logged on (first_seen where the log gives no time): who used it, from where",
        "1 hour",
        "each use is explained",
    ),
    Step("notify", "tell the owners, and those whose data may be concerned", "1 hour", "they have confirmed"),
    Step("document", "write down cause, exposure and remedy; prevent the next", "1 day", "the incident is resolved"),
)


@dataclass(frozen=True, slots=True)
class Runbook:
    """What is particular to one kind of secret, or to the secrets of one issuer."""

    name: str
    title: str
    first_step: str  # one sentence, shown in every alert
    where: str  # where it is revoked
    url: str | None = None  # the issuer's page for it, or the one that documents it
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """The whole runbook as plain text."""
        lines = [self.title, "", f"First: {self.first_step}", f"Where: {self.where}"]
        lines += [f"Link: {self.url}", ""] if self.url else [""]
        lines += [
            f"{i}. {s.name} (within {s.within}): {s.what}; done when {s.done_when}" for i, s in enumerate(STEPS, 1)
        ]
        lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines).rstrip() + "\n"


@cache
def names() -> tuple[str, ...]:
    """Names of all runbooks: of kinds of secret ("private-key"), then of issuers ("ai/openai")."""
    kinds = sorted(path.stem for path in _FOLDER.glob("*.toml"))
    families = sorted(path.stem for path in _ISSUERS.glob("*.toml"))
    return (*kinds, *(f"{family}/{vendor}" for family in families for vendor in sorted(_issuers(family))))


def of(rule: Rule) -> str:
    """Name of the runbook that helps most with a secret of this rule: its own, its issuer's, or that of its kind."""
    if rule.family == "custom":
        return rule.runbook
    issuers = _issuers(rule.family)
    if rule.id in issuers:
        return f"{rule.family}/{rule.id}"
    if rule.runbook in GENERAL and rule.vendor in issuers:
        return f"{rule.family}/{rule.vendor}"
    return rule.runbook


@lru_cache(4096)
def load(name: str | None) -> Runbook | None:
    """The runbook of that name, None when there is none."""
    if name is None or not _NAME.fullmatch(name):  # anybody may ask, over HTTP too
        return None
    family, _, vendor = name.rpartition("/")
    if family:
        issuer = _issuers(family).get(vendor)
        return _of_issuer(name, issuer) if issuer is not None else None
    path = _FOLDER / f"{name}.toml"
    return _read(name, path) if path.is_file() else None


def _read(name: str, path: Path) -> Runbook:
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    notes = tuple(data.get("notes", ()))
    return Runbook(name, data["title"], data["first_step"], data["where"], data.get("url"), notes)


def _of_issuer(name: str, issuer: Mapping[str, Any]) -> Runbook:
    kind = load(issuer.get("kind"))
    notes = (*issuer.get("notes", ()), *(kind.notes if kind is not None else ()))
    first = issuer.get("first_step") or f"Revoke it at {issuer['name']}: {issuer['where']}."
    return Runbook(name, f"Secret of {issuer['name']}", first, issuer["where"], issuer["url"], notes)


@cache
def _issuers(family: str) -> Mapping[str, Mapping[str, Any]]:
    """What is known of each issuer of a family, by the name of its pack, and of rules that need other words, by id.

    What stands above a file's tables holds for all of them; a table inside an issuer's is one of its rules.
    """
    path = _ISSUERS / f"{family}.toml"
    if not path.is_file():
        return {}
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    common = {key: value for key, value in data.items() if not isinstance(value, dict)}
    found: dict[str, Mapping[str, Any]] = {}
    for vendor, entry in data.items():
        if isinstance(entry, dict):
            own = common | {key: value for key, value in entry.items() if not isinstance(value, dict)}
            found[vendor] = own
            found |= {rule: own | value for rule, value in entry.items() if isinstance(value, dict)}
    return found
