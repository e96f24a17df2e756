from __future__ import annotations

import pytest

from detectors.author.tune import (
    anchor,
    bench,
    cost,
    costly,
    log_text,
    megabytes_a_second,
    passing,
    warnings,
)
from detectors.match.engine import Engine
from detectors.rules.rule import Rule
from tests.detectors.texts import engine, rules


def rule(pattern: str, **fields: object) -> Rule:
    return Rule(**{"id": "r", "name": "Rule", "pattern": pattern, "severity": "high", "source": "own.toml", **fields})  # type: ignore[arg-type]


FAST = rule(r"(?P<secret>acme_[a-z0-9]{12})", id="fast")
SLOW = rule(r"(?P<secret>[a-z0-9]{8}-[a-z]{3,9})", id="slow")


def test_log_text_is_seeded_has_its_size_and_no_secret() -> None:
    text = log_text(1 << 20)
    assert len(text) == 1 << 20
    assert text == log_text(1 << 20) != log_text(1 << 20, seed=2)
    assert engine().worker().scan(text) == []


def test_the_anchor_is_told_in_words() -> None:
    assert anchor(FAST) == "'acme_'"
    assert anchor(rule("(?i)(?P<secret>acme_[a-z]{9})")).endswith("in any case")
    assert anchor(SLOW).startswith("no literal") or anchor(SLOW) == "'-'"
    many = rule(f"(?P<secret>(?:{'|'.join(f'{c}{c}acme' for c in 'abcdefghij')})[0-9])")
    assert anchor(many).endswith("and 4 more")


def test_a_rule_without_an_anchor_is_warned_of_with_advice() -> None:
    assert warnings(FAST) == []
    (warning,) = warnings(SLOW)
    assert warning.startswith("anchor: ")
    assert "keywords" in warning


def test_a_repeat_of_anything_without_a_bound_is_warned_of_with_its_column() -> None:
    (warning,) = warnings(rule(r"acme_(?P<secret>k.*)"))
    assert warning.startswith("pattern: column 18: ")
    assert ".{0,80}" in warning


def test_a_trigger_that_fires_all_the_time_is_warned_of() -> None:
    found = warnings(rule(r"level(?P<secret>=[a-z]+)"), log_text(1 << 20))
    assert found[0].startswith("hits: too broad: ")
    assert not any(warning.startswith("hits: ") for warning in warnings(FAST, log_text(1 << 20)))


def test_costs_are_measured_and_sorted() -> None:
    text = log_text(1 << 20)
    measured = cost(FAST, text + b" acme_k3j9x2m4q8w1\n" * 3)
    assert measured.hits == 3
    assert measured.alone > 0
    assert measured.extra == 1e6 / measured.alone
    listed = bench([FAST, SLOW], text)
    assert [c.alone for c in listed] == sorted(c.alone for c in listed)
    assert {c.rule.id for c in listed} == {"fast", "slow"}


def test_only_own_rules_are_measured() -> None:
    assert costly([rule("x", family="vcs")]) == []
    assert costly([FAST]) == []
    (warning, *_) = costly([SLOW])
    assert warning.startswith("own.toml: slow: anchor: ")


def test_speed_is_of_the_whole_data_in_blocks() -> None:
    (database,) = Engine.build([FAST]).databases
    text = log_text(1 << 20) + b"acme_k3j9x2m4q8w1"
    speed, hits = megabytes_a_second(text, database, repeat=1)
    assert speed > 0
    assert hits >= 1


def test_the_share_of_random_values_that_pass_is_what_a_bound_costs() -> None:
    template = ("KEY={hex:16}",)
    assert passing(rule(r"KEY=(?P<secret>[0-9a-f]{16})", examples=template, entropy=2.0)) > 0.95
    assert passing(rule(r"KEY=(?P<secret>[0-9a-f]{16})", examples=template, entropy=3.3)) < 0.5
    assert passing(rule(r"KEY=(?P<secret>[0-9a-f]{16})", examples=template, digits=12)) < 0.5


def filtered() -> list[Rule]:
    """Rules whose filters look at how random a value is."""
    return [rule for rule in rules() if rule.score or rule.entropy is not None or rule.digits]


def test_random_values_pass_the_filters() -> None:
    shares = [passing(rule, 20) for rule in filtered()[::12]]
    assert min(shares) >= 0.9
    assert sum(shares) / len(shares) >= 0.98


@pytest.mark.campaign
def test_of_random_values_each_rule_lets_nineteen_of_twenty_pass() -> None:
    shares = {rule.id: passing(rule) for rule in filtered()}
    assert {name: share for name, share in shares.items() if share < 0.94} == {}


def test_a_rule_that_shares_a_trigger_of_many_expressions_has_a_cost() -> None:
    (shared,) = [r for r in rules() if r.id == "generic-secret"]
    assert len(shared.shape.triggers) > 1
    assert cost(shared, b"api_key = 0123456789abcdef\n" * 100).hits > 0


def test_of_a_rule_without_a_group_the_whole_is_the_value() -> None:
    whole = rule("own_[a-z0-9]{32}", examples=("own_{lower:20}{digit:12}",))
    assert passing(whole) > 0.9
