"""Runbooks: what to do about a kind of secret, by whom and until when."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["STEPS", "Runbook", "Step", "load", "names"]

_FOLDER = Path(__file__).parent / "runbooks"


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
        "audit", "read the issuer's log from first_seen on: who used it, from where", "1 hour", "each use is explained"
    ),
    Step("notify", "tell the owners, and those whose data may be concerned", "1 hour", "they have confirmed"),
    Step("document", "write down cause, exposure and remedy; prevent the next", "1 day", "the incident is resolved"),
)


@dataclass(frozen=True, slots=True)
class Runbook:
    """What is particular to one kind of secret."""

    name: str
    title: str
    first_step: str  # one sentence, shown in every alert
    where: str  # where it is revoked
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """The whole runbook as plain text."""
        lines = [self.title, "", f"First: {self.first_step}", f"Where: {self.where}", ""]
        lines += [
            f"{i}. {s.name} (within {s.within}): {s.what}; done when {s.done_when}" for i, s in enumerate(STEPS, 1)
        ]
        lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines).rstrip() + "\n"


@cache
def names() -> tuple[str, ...]:
    """Names of all runbooks."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load(name: str | None) -> Runbook | None:
    """The runbook of that name, None when there is none."""
    return _read(name) if name in names() else None


@cache  # of names that exist: anybody may ask for others
def _read(name: str) -> Runbook:
    data = tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    return Runbook(name, data["title"], data["first_step"], data["where"], tuple(data.get("notes", ())))
