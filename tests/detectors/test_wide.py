"""The pack `wide`, which is on only where a configuration asks for it: its own examples, beside none of the others."""

from __future__ import annotations

import random

from detectors.author.check import FORMS, check_rules
from tests.detectors.texts import engine, rules, wide


def test_it_passes_its_own_examples_and_a_share_in_a_form_drawn_by_lot() -> None:
    own = [rule for rule in wide() if not rule.requires]
    assert check_rules(engine("wide"), own) == []
    lot = random.Random(29)
    for name, wrap in FORMS.items():
        assert check_rules(engine("wide"), lot.sample(own, 6), forms={name: wrap}) == []


def test_no_rule_of_it_is_on_by_default_and_none_needs_another() -> None:
    assert not {rule.id for rule in wide()} & {rule.id for rule in rules()}
    assert {rule.family for rule in wide()} == {"generic"}
    assert not [rule.id for rule in wide() if any(companion.rule for companion in rule.requires)]
