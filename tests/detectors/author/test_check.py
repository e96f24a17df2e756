from __future__ import annotations

from dataclasses import replace

from detectors.author.check import FORMS, check_rules, shadowed
from detectors.match.engine import Engine
from detectors.rules.rule import Rule
from tests.detectors.texts import engine, rules

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
    return check_rules(Engine.build(chosen), seeds=range(3))


def test_the_packs_pass_their_own_examples() -> None:
    assert check_rules(engine()) == []


def test_the_packs_pass_in_every_form_a_log_gives_them() -> None:
    chosen = [rule for rule in rules() if rule.family in ("vcs", "keys", "generic", "cloud")]
    # Rules of these packs know a value by where files and people put it (its own line, a column, quotes around it,
    # words before it), which a frame takes away: of them only the counter-examples hold in every form.
    placed = (
        "syntax basic clients idioms issuers loose lists protocols rows speech fallbacks brief devices servers tools "
        "traces plain unlisted"
    )
    chosen = [replace(rule, examples=()) if rule.vendor in placed.split() else rule for rule in chosen]
    assert check_rules(engine(), chosen, forms=FORMS) == []


def test_what_people_and_code_say_in_one_line_is_found_in_every_form_that_encodes_no_spaces() -> None:
    chosen = [rule for rule in rules() if rule.vendor in ("speech", "fallbacks")]
    forms = {name: form for name, form in FORMS.items() if name != "access-log"}
    assert chosen
    assert check_rules(engine(), chosen, forms=forms) == []


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
    assert shadowed(Engine.build([changed(family="saas"), own]), [own]) == ["own.toml: zwin (acme)"]
    assert shadowed(Engine.build([own]), [own]) == []


def test_forms_hold_the_text_in_one_piece_or_a_record_a_line() -> None:
    for name, wrap in FORMS.items():
        text = wrap("first\nsecond")
        assert text.endswith("\n"), name
        assert "first" in text
        assert text.count("\n") == (2 if name in ("docker", "cri", "syslog") else 4 if name == "traceback" else 1), name
