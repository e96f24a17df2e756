"""Synthetic secrets: random, of nobody, and found by their rule."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detectors.match.engine import Engine, Worker
    from detectors.match.outcome import Match
    from detectors.rules.rule import Rule

__all__ = ["TRIES", "Ammunition", "NoSampleError", "ammunition", "synthetic", "worker_for"]

TRIES = 200  # random text may fail its own rule's entropy filter; so many attempts before the rule is to blame
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+\Z")


class NoSampleError(Exception):
    """There is none of a rule, or none that can be planted. The message names the rule and says why."""


def worker_for(rule: Rule, rules: Iterable[Rule]) -> Worker:
    """One that finds this rule alone, of all that there are. Blocking."""
    from detectors.author.check import alone

    return alone([rule], rules).worker()


def synthetic(worker: Worker, rule: Rule, seed: str, *, line: bool = False) -> str:
    """A text in which `worker` finds `rule`. Raises NoSampleError when no example gives one."""
    from detectors.rules.template import expand

    for attempt in range(TRIES):
        template = rule.examples[attempt % len(rule.examples)]
        text = expand(template, f"{seed}/{attempt}")
        found = [match for match in worker.scan(text.encode()) if match.rule.id == rule.id]
        if not found:
            continue
        if not line and not found[0].decode:
            bare = found[0].secret
            again = [match.secret for match in worker.scan(bare) if match.rule.id == rule.id]
            if again == [bare]:
                return bare.decode()
        return text
    raise NoSampleError(f"{rule.id}: no example satisfies the rule; run `monitor rules test`")


@dataclass(frozen=True, slots=True)
class Ammunition:
    """A synthetic secret. `value`: on one line; `line`: as it stands in a file of settings; the fingerprints by which
    the rules in force find it: `logged` in a log, its own rule's first, `written` in that line, `others` elsewhere."""

    value: str = field(repr=False)
    line: str = field(repr=False)
    logged: list[str]
    written: list[str]
    others: list[str]


def ammunition(rule: Rule, rules: Iterable[Rule], whole: Callable[[], Engine], key: bytes) -> Ammunition:
    """A new one of the rule. `rules`: those in force, `whole`: compiled; `key`: of fingerprints. Blocking. Raises
    NoSampleError, also where no log would show it, or where it is always the same: what lies somewhere already is no
    drill, and no canary."""
    from detectors.fingerprint import fingerprint

    alone = worker_for(rule, rules)
    raw, another = (synthetic(alone, rule, secrets.token_hex(16)) for _ in range(2))
    value = raw.replace("\n", "\\n")
    worker, before = whole().worker(), "nothing leaked: "

    logged = worker.scan(f"{before}{value}\n".encode())
    logged.sort(key=lambda match: match.rule.id != rule.id)
    if not logged or logged[0].rule.id != rule.id:
        raise NoSampleError(f"rule {rule.id} finds none of its own secrets in a log line; choose another with --rule")
    bare = min(match.start for match in logged) == len(before) or bool(_URL.match(value))
    line = f"{re.sub('[^A-Z0-9]', '_', rule.id.upper())}={value}" if bare else value

    def prints(matches: Sequence[Match]) -> list[str]:
        return list(dict.fromkeys(fingerprint(key, match.secret) for match in matches))

    written = prints(worker.scan(f"{line}\n".encode()))
    others = [print_ for print_ in prints([*logged, *worker.scan(raw.encode())]) if print_ not in written]
    if not {*written, *others}.isdisjoint(prints(worker.scan(another.encode()))):
        raise NoSampleError(
            f"the examples of rule {rule.id} hold a fixed secret: write it as a template, such as {{alnum:20}}"
        )
    return Ammunition(value, line, prints(logged), written, others)
