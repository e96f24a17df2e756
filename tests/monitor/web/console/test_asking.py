from __future__ import annotations

import pytest

from monitor.web.console.asking import needed_role, number, request_of
from monitor.web.console.visitor import Posted, Visitor

ID, OTHER = "a" * 16, "b" * 16
ONCE = "n" * 24


def form(**fields: str) -> Posted:
    return Posted(Visitor("ada", "admin", "f" * 32), ONCE, fields)


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"verb": "ack", "note": "mine"}, ""),
        ({"verb": "resolve", "as": "false_positive"}, "false_positive"),
        ({"verb": "reopen"}, ""),
        ({"verb": "reopen", "step": "revoke"}, "revoke"),
        ({"verb": "assign", "to": "bob"}, "bob"),
        ({"verb": "assign", "to": "ada"}, "ada"),
        ({"verb": "silence", "for": "4h"}, "14400"),
        ({"verb": "silence", "for": "0"}, "0"),
        ({"verb": "suppress", "for": "7d", "as": "wont_fix", "note": "x"}, "604800:wont_fix"),
        ({"verb": "suppress", "for": "0"}, "0"),
        ({"verb": "merge", "other": OTHER}, OTHER),
        ({"verb": "start", "book": "aws/aws-key", "order": "replace"}, "aws/aws-key:replace"),
        ({"verb": "start"}, ""),
        ({"verb": "claim", "step": "revoke"}, "revoke"),
        ({"verb": "claim", "step": "revoke", "over": "1"}, "revoke:over"),
        ({"verb": "run", "action": "github-revoke"}, "github-revoke"),
    ],
)
def test_a_form_in_the_words_of_the_store(fields: dict[str, str], detail: str) -> None:
    made = request_of(ID, form(**fields), ["bob"])
    assert made.id == number(ONCE)
    assert (made.sink, made.verb, made.actor, made.incident) == (
        "console", fields["verb"], "ada", ID,
    )  # fmt: skip
    assert (made.detail, made.note, made.refusal, made.answer) == (detail, fields.get("note", ""), "", {})


def test_of_two_that_are_merged_either_stays() -> None:
    made = request_of(ID, form(verb="merge", other=OTHER, way="into"), [])
    assert (made.incident, made.detail) == (OTHER, ID)


SECRET = "s" * 70


@pytest.mark.parametrize(
    "fields",
    [
        {"verb": "assign", "to": SECRET},
        {"verb": "silence", "for": SECRET},
        {"verb": "suppress", "for": "forever"},
        {"verb": "merge", "other": SECRET},
        {"verb": "start", "book": f"../{SECRET}"},
        {"verb": "start", "order": SECRET},
        {"verb": "claim"},
        {"verb": "done", "step": SECRET},
        {"verb": "run", "action": "<i>"},
        {"verb": "resolve", "as": SECRET},
    ],
)
def test_what_is_wrong_with_a_form_is_its_refusal_without_quoting_it(fields: dict[str, str]) -> None:
    made = request_of(ID, form(**fields), ["bob"])
    assert made.refusal
    assert made.detail == ""
    assert SECRET not in repr(made)


@pytest.mark.parametrize("verb", ["", "link", "explode"])
def test_what_is_no_form_of_the_page_is_refused_at_once(verb: str) -> None:
    with pytest.raises(ValueError, match="load the page again"):
        request_of(ID, form(verb=verb), [])


def test_nothing_of_an_address_or_the_number_of_a_form_is_stored_as_it_is() -> None:
    with pytest.raises(ValueError, match="load the page again"):
        request_of(SECRET, form(verb="ack"), [])
    assert number(SECRET).startswith("console:")
    assert SECRET not in number(SECRET)
    assert number(SECRET) != number(f"{SECRET}s")


def test_what_takes_a_secret_back_is_for_admins() -> None:
    assert (needed_role("run"), needed_role("ack")) == ("admin", "responder")
