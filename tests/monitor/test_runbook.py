from __future__ import annotations

import re

import pytest

from detectors.rule import load_rules
from monitor import runbook


def test_every_rule_has_a_runbook_that_exists() -> None:
    known = set(runbook.names())
    wanted = {rule.runbook for rule in load_rules() if rule.runbook is not None}
    assert wanted
    assert wanted - known == set()


@pytest.mark.parametrize("name", runbook.names())
def test_a_runbook_says_what_to_do_first_and_where(name: str) -> None:
    book = runbook.load(name)
    assert book is not None
    assert book.name == name
    for sentence in (book.title, book.first_step, book.where, *book.notes):
        assert sentence.strip() == sentence
        assert "\n" not in sentence
        assert sentence
    assert len(book.first_step) <= 300, "it is shown in every alert"


def test_the_text_has_every_step_with_its_deadline_in_order() -> None:
    book = runbook.load("github-token")
    assert book is not None
    text = book.text()
    assert text.splitlines()[0] == book.title
    assert f"First: {book.first_step}\n" in text
    assert re.findall(r"^(\d)\. (\w+) \(within ([^)]+)\)", text, re.MULTILINE) == [
        (str(number), step.name, step.within) for number, step in enumerate(runbook.STEPS, 1)
    ]
    assert [step.name for step in runbook.STEPS] == ["revoke", "replace", "deploy", "audit", "notify", "document"]


@pytest.mark.parametrize("name", [None, "", "nobody", "../runbook", "../runbooks/github-token", "github-token.toml"])
def test_only_names_of_the_folder_are_opened(name: str | None) -> None:
    assert runbook.load(name) is None
