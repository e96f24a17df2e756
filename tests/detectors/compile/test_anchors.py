from __future__ import annotations

import re

import pytest

from detectors.compile import anchors, plan
from detectors.compile.anchors import anchored, choices
from detectors.rules.template import expand
from tests.detectors.texts import rules


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchors, "table", lambda: {"docker login ": "ker logi", "session_key": "ssion_"})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (b"ghp_[a-z]{9}", b"ghp_[a-z]{9}"),  # nothing of eight characters
        (b"postgres[a-z]", b"postgres[a-z]"),
        (b"docker login ", b"docker logi. "),
        (b"docker login [a-z]{3}", b"docker logi. [a-z]{3}"),
        (b"(?i)docker login ", b"(?i:docker logi. )"),
        (b"[xy](?i:docker login )", b"[xy](?i:docker logi. )"),
        (b"a session_key=", b"a session_key="),  # the table speaks of whole literals
        (b"[a-z]session_key[=:]", b"[a-z]s.ssion_.ey[=:]"),
        # What else stands there is broken up, as the longest literal would be preferred.
        (b"docker login [a-z](?:production|development)", b"docker logi. [a-z](?:produ.tion|devel.pment)"),
        (b"(?:production )?docker login ", b"(?:produ.tion )?docker logi. "),
        (b"postgres[a-z]production", b"postg.es[a-z]production"),  # without the table the longest
    ],
)
def test_the_anchor_is_the_only_long_literal(expression: bytes, expected: bytes) -> None:
    assert anchored(expression) == expected


def test_no_line_break_gives_way() -> None:
    assert rb"\x0a" in anchored(rb"docker login [a-z]abcde\nfghij")
    for wide in (rb"(?s)docker login .", rb"\bdocker login "):  # what Hyperscan itself must see as it is
        assert anchored(wide) == wide


def test_choices_are_the_long_literals_that_no_match_is_without() -> None:
    found = choices(rb"(?:authorization|session) [a-z](?i:docker login )postgres(?:[0-9]{3,}production)?")
    assert [(run.text, run.caseless) for run in found] == [("docker login ", True), ("postgres", False)]
    assert [run.caseless for run in choices(b"(?i)mnemonic")] == [True]


def test_what_the_expression_finds_its_anchored_form_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the real table
    changed = 0
    for rule in rules()[::5]:
        texts = [expand(example, 3) for example in rule.examples]
        for trigger in rule.shape.triggers:
            form = anchored(trigger.encode("ascii")).decode("latin-1")
            changed += form != trigger
            for text in texts:
                ends = {m.end() for m in re.finditer(trigger, text)}
                assert ends <= {m.end() for m in re.finditer(form, text)}, (rule.id, trigger)
    assert changed > 50


def test_the_table_is_of_our_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a change of rules, `python -m benchmarks.anchors` makes it anew."""
    monkeypatch.undo()
    made, expressions, _ = plan.make(rules())
    literals = {run.text for text, number in expressions if plan.filler(rules(), made, number) for run in choices(text)}
    for text, anchor in anchors.table().items():
        assert anchor in text
        assert anchors.LEAST <= len(anchor) <= anchors.SIZE
        assert text in literals
