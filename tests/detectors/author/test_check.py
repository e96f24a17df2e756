from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from detectors.author.check import FORMS, TORN, check_rules, shadowed
from detectors.rules.rule import Rule
from tests.detectors.texts import built, engine, rules

ACME = Rule(
    id="acme",
    name="Acme key",
    pattern=r"\b(?P<secret>acme_[a-z0-9]{12})\b",
    severity="high",
    source="acme.toml",
    examples=("k=acme_{lownum:12}",),
    negative_examples=("acme_{lownum:3}",),
)


def changed(**fields: object) -> Rule:
    return replace(ACME, **fields)  # type: ignore[arg-type]


def problems(*chosen: Rule) -> list[str]:
    return check_rules(built(*chosen), seeds=range(3))


def test_the_packs_pass_their_own_examples() -> None:
    assert check_rules(engine()) == []


# Of other families those that a form of log once hid.
HIDDEN = {"google-app-password", "htpasswd-bcrypt-hash", "sql-identified-by-bare", "square-access-token"}
HIDDEN |= {"twilio-api-key-sid", "twilio-api-key-sid-shape"}


def test_the_packs_pass_in_every_form_a_log_gives_them() -> None:
    chosen = [rule for rule in rules() if rule.family in ("vcs", "generic") or rule.id in HIDDEN]
    assert check_rules(engine(), chosen, forms=FORMS) == []


def test_each_rule_of_the_other_packs_passes_in_a_form_drawn_by_lot() -> None:
    lot = random.Random(11)
    drawn: dict[str, list[Rule]] = {name: [] for name in FORMS}
    for rule in rules()[::2]:
        drawn[lot.choice([*FORMS])].append(rule)
    assert [one for name, chosen in drawn.items() for one in check_rules(engine(), chosen, forms=only(name))] == []


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_every_rule_passes_in_every_form() -> None:
    """What `monitor rules test --wrapped` does: more than a minute."""
    assert check_rules(engine(), forms=FORMS) == []


def only(name: str) -> dict[str, Callable[[str], str]]:
    return {name: FORMS[name]}


@pytest.mark.parametrize("name", FORMS)
def test_lines_that_a_form_makes_records_of_may_be_told_quietly(name: str) -> None:
    """What is a counter-example by the line below it alone: of that no record knows."""
    lines = ("ACME{alnum:60}\n{alnum:64}\n", "ACME{alnum:60}\nother words\n", "ACME{alnum:60}\n")
    key = r"\b(?P<secret>ACME[A-Za-z0-9]{60})(?:[^A-Za-z0-9]|$)"
    rule = changed(family="saas", pattern=key, examples=(), negative_examples=lines)
    found = check_rules(built(rule), forms=only(name))
    numbers = (2, 3) if name in TORN else (1, 2, 3)
    assert found == [
        f"acme.toml: acme: negative_examples {n} in {name}: found, and should not be (seed 1)" for n in numbers
    ]


def test_a_good_rule_has_no_problem() -> None:
    assert problems(ACME) == []


def test_problems_name_file_rule_template_and_the_stage_that_rejected() -> None:
    assert problems(changed(examples=("k=acme_{lownum:12}", "k=acme_{lownum:9}"))) == [
        "acme.toml: acme: examples 2: not found (seed 0): the trigger is not in it"
    ]
    (problem,) = problems(changed(entropy=5.0))
    assert problem.startswith("acme.toml: acme: examples 1: not found (seed 0): rejected by entropy: entropy ")
    (problem,) = problems(changed(negative_examples=("acme_{lownum:12}",)))
    assert problem == "acme.toml: acme: negative_examples 1: found, and should not be (seed 0)"
    (problem,) = problems(changed(examples=("acme_{lownum:x}",)))
    assert "lownum" in problem


def test_a_problem_never_shows_the_expanded_text() -> None:
    (problem,) = problems(changed(negative_examples=("acme_{lownum:12}",)))
    assert "acme_" not in problem


def test_losing_to_a_more_specific_rule_is_no_problem_but_to_an_equal_one_is() -> None:
    shipped = changed(family="saas")
    assert problems(shipped, replace(shipped, id="twin", priority=200)) == []
    (problem,) = problems(shipped, replace(shipped, id="zwin"))
    assert "rejected by overlap: a more specific rule has this span (acme)" in problem


def test_a_users_rule_may_lose_to_any_which_is_worth_a_note() -> None:
    own = changed(id="zwin", source="own.toml")
    assert problems(changed(family="saas"), own) == []
    assert shadowed(built(changed(family="saas"), own), [own]) == ["own.toml: zwin (acme)"]
    assert shadowed(built(own), [own]) == []


def test_forms_hold_the_text_in_one_piece_or_a_record_a_line() -> None:
    for name, wrap in FORMS.items():
        text = wrap("first\nsecond")
        assert text.endswith("\n"), name
        assert "first" in text
        assert text.count("\n") == (2 if name in ("docker", "cri", "syslog") else 4 if name == "traceback" else 1), name
