"""How far each history was looked at: what all its refs led to then, so that the next time begins behind that."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson

from monitor.clients.git import Git
from monitor.scan.history import Range

if TYPE_CHECKING:
    from detectors.rules.rule import Rule

__all__ = ["Cursor", "rules_digest"]

FOLDER = "histories"  # below state_dir


def rules_digest(rules: Iterable[Rule], version: str) -> str:
    """Of what would be found: where it changes, what was looked at is looked at again."""
    text = orjson.dumps([version, sorted([rule.id, rule.pattern, str(rule.severity)] for rule in rules)])
    return hashlib.sha256(text).hexdigest()


class _DamagedError(Exception):
    pass


class _Known(NamedTuple):
    """What was looked at, with which rules. `printed`: what was found is stored nowhere."""

    rules: str
    tips: list[str]
    printed: bool


@dataclass(frozen=True, slots=True)
class Cursor:
    """Of one repository. `tips`: names of what its refs lead to now, of HEAD, and of its annotated tags."""

    path: Path
    tips: frozenset[str]
    rules: str

    @classmethod
    def of(cls, git: Git, state: Path, rules: str) -> Cursor:
        """Raises GitError."""
        common = (git.folder / git.line("rev-parse", "--git-common-dir")).resolve()
        rows = git.ask("for-each-ref", "--format=%(objectname)").decode().split()
        head = git.line("rev-parse", "--verify", "--quiet", "HEAD")
        name = hashlib.sha256(os.fsencode(common)).hexdigest()[:32]
        return cls(state / FOLDER / f"{name}.json", frozenset([*rows, *([head] if head else [])]), rules)

    def _known(self) -> _Known:
        """Raises _DamagedError, OSError."""
        try:
            known = orjson.loads(self.path.read_bytes())
            return _Known(str(known["rules"]), [str(name) for name in known["tips"]], known["printed"] is True)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _DamagedError from None

    def since(self, git: Git, everything: Range, *, storing: bool = False) -> tuple[Range, str]:
        """What came since, and in words why that is all there is, where it is. `storing`: what is found will be stored.
        Raises GitError, OSError."""
        try:
            rules, before, printed = self._known()
        except FileNotFoundError:
            return everything, "this history was not looked at before"
        except _DamagedError:
            return everything, f"{self.path} is damaged, so the whole history is looked at"
        if rules != self.rules:
            return everything, "the rules have changed, so the whole history is looked at again"
        if printed and storing:
            return everything, "what was found before was only printed, so the whole history is looked at again"
        asked = "".join(f"{name}\n" for name in before).encode()
        kinds = [row.decode().split(" ") for row in git.ask("cat-file", "--batch-check", stdin=asked).splitlines()]
        there = [row[0] for row in kinds if row[1] in ("commit", "tag")]  # others went since
        rows = git.ask("for-each-ref", "--format=%(objecttype) %(objectname)", "refs/tags").decode().splitlines()
        tags = {row.split(" ")[1] for row in rows if row.startswith("tag ")} - set(before)
        return Range(everything.options, (*everything.names, *(f"^{name}" for name in there)), tuple(sorted(tags))), ""

    def behind(self) -> str:
        """Why not all is known of the history as it is now, in words; empty: it was looked at to its end."""
        try:
            rules, before, printed = self._known()
        except FileNotFoundError:
            return "it was never searched"
        except (OSError, _DamagedError):
            return f"{self.path} cannot be read"
        if rules != self.rules:
            return "it was searched with other rules"
        if fresh := len(self.tips.difference(before)):
            return f"{fresh:,} of its {len(self.tips):,} branches, tags and stashes have moved since"
        return "what was found in it was printed and not stored: `--report` does that" if printed else ""

    def save(self, *, found: bool = False, stored: bool = False) -> None:
        """Whether something was `found`, and whether all that was found is `stored`. Raises OSError."""
        try:
            printed = found or self._known().printed
        except (FileNotFoundError, _DamagedError):
            printed = found
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        fresh.write_bytes(orjson.dumps(_Known(self.rules, sorted(self.tips), printed and not stored)._asdict()))
        fresh.replace(self.path)
