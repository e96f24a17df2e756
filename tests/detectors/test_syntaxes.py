"""Every class of syntax in `syntaxes.txt`, bare and in the forms of logs: secrets are found, others are not told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks.probe import found
from detectors.author.check import FORMS
from detectors.rules.template import expand
from tests.detectors.texts import engine

CLASSES = Path(__file__).with_name("syntaxes.txt")


def templates() -> Iterator[tuple[str, bool, str]]:
    """(class, whether a secret is marked, template)"""
    kind, secret = "", True
    for line in CLASSES.read_text(encoding="utf-8").splitlines():
        if line.startswith("=== "):
            secret, kind = line[4] == "+", line[6:]
        elif kind and line:
            yield kind, secret, line.translate({ord("¶"): "\n", ord("⇥"): "\t"})


def test_there_are_fifteen_templates_a_class() -> None:
    count: dict[str, int] = defaultdict(int)
    for kind, secret, template in templates():
        count[kind] += 1
        assert ("«" in template) is secret, template
    assert min(count.values()) >= 15


def test_secrets_are_found_and_others_are_not_in_every_form() -> None:
    worker = engine().worker()
    told: dict[str, list[bool]] = defaultdict(list)
    wrong: dict[str, list[str]] = defaultdict(list)
    for kind, secret, template in templates():
        text = expand(template, 7)
        value = text[text.find("«") + 1 : text.find("»")] if secret else ""
        for form, wrap in {"bare": str, **FORMS}.items():
            seen = bool(found(worker, wrap(text.translate({ord("«"): "", ord("»"): ""})), value))
            told[kind].append(seen is secret)
            if seen is not secret:
                wrong[kind].append(f"{form}: {template}")
    for kind, right in told.items():
        assert sum(right) >= 0.95 * len(right), (kind, wrong[kind])
