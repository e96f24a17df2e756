from __future__ import annotations

import re

import pytest

from detectors.compile import anchors, plan
from detectors.compile.anchors import anchored, choices, ways
from detectors.rules.template import expand
from tests.detectors.texts import rules


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        anchors, "table", lambda: {"docker login ": "ker logi", "session_key": "ssion_", "postgresql": "postgre"}
    )


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (b"ghp_[a-z]{9}", b"ghp_[a-z]{9}"),  # nothing of eight characters
        # Hyperscan would add a small class to the anchor, so what is next to it is made a wide one.
        (b"postgres[ab]", rb"postgres[ab\x80-\xff]"),
        (b"postgres(?:a|bc)?[^d][ef]", rb"postgres(?:(?:[a\x80-\xff]|[b\x80-\xff]c))?[^d][ef]"),
        (b"[ab](?i:postgresql)x", rb"[ab\x80-\xff](?i:postgre.ql)x"),
        (b"docker login ", b"docker logi. "),
        (b"docker login [a-z]{3}", b"docker logi. [a-z]{3}"),
        (b"(?i)docker login ", b"(?i:docker logi. )"),
        (b"[xy](?i:docker login )", b"[xy](?i:docker logi. )"),
        (b"a session_key=", b"a session_key="),  # the table speaks of whole literals
        (b"[a-z]session_key[=:]", b"[a-z]s.ssion_.ey[=:]"),
        # What else stands there is broken up, as the longest literal would be preferred.
        (b"docker login [a-z](?:production|development)", b"docker logi. [a-z](?:produ.tion|devel.pment)"),
        (b"(?:production )?docker login ", b"(?:produ.tion )?docker logi. "),
        (b"[a-z]password[=:]", b"[a-z]password[=:]"),  # these are met less often with what comes next
        (b"postgres[a-z]production", b"postg.es[a-z]production"),  # without the table the longest
    ],
)
def test_the_anchor_is_the_only_long_literal(expression: bytes, expected: bytes) -> None:
    assert anchored(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (rb"(?:connect|signing|log)\([a-z]", [rb"connect\x28[a-z]", rb"signing\x28[a-z]", rb"log\x28[a-z]"]),
        (
            b"(?i:connect|signing|log|in) [a-z]",
            [b"(?i:connect) [a-z]", b"(?i:signing) [a-z]", b"(?i:(?:log|in)) [a-z]"],
        ),
        (b"docker (?:connect|signing)", [b"docker (?:connect|signing)"]),  # a literal stands in every match
        (b"[a-z](?:connect|signing)", [b"[a-z](?:connect|signing)"]),
        (b"(?:log|in)[a-z]", [b"(?:log|in)[a-z]"]),
        (rb"\b(?:connect|signing)", [rb"\b(?:connect|signing)"]),
    ],
)
def test_long_alternatives_become_expressions(expression: bytes, expected: list[bytes]) -> None:
    assert ways(expression) == expected


def test_no_line_break_gives_way() -> None:
    assert rb"\x0a" in anchored(rb"docker login [a-z]abcde\nfghij")
    for strict in (rb"(?s)docker login .", rb"\bdocker login "):  # what Hyperscan itself must see as it is
        assert anchored(strict) == strict


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
            forms = [anchored(way).decode("latin-1") for way in ways(trigger.encode("ascii"))]
            changed += forms != [trigger]
            for text in texts:
                ends = {m.end() for m in re.finditer(trigger, text)}
                assert ends <= {m.end() for form in forms for m in re.finditer(form, text)}, (rule.id, trigger)
    assert changed > 50


def test_the_table_is_of_our_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a change of rules, `python -m benchmarks.anchors` makes it anew."""
    monkeypatch.undo()
    every = list(rules())
    made, expressions, _ = plan.make(every)
    literals = {run.text for text, number in expressions if plan.filler(every, made, number) for run in choices(text)}
    for text, anchor in anchors.table().items():
        assert anchor in text
        assert anchors.LEAST <= len(anchor) <= anchors.SIZE
        assert text in literals
