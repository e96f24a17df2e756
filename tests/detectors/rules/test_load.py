from __future__ import annotations

from pathlib import Path

import pytest

from detectors.author.check import check_rules
from detectors.match.engine import Engine
from detectors.rules import packs
from detectors.rules.gone import GONE
from detectors.rules.load import (
    OFF_BY_DEFAULT,
    builtin_families,
    builtin_packs,
    elsewhere,
    load_rules,
    rule_families,
    rule_forms,
)
from detectors.rules.rule import NAMED, Rule, RuleError
from detectors.rules.template import expand
from tests.detectors import texts
from tests.detectors.packs import GOOD, write


def test_own_rules_replace_those_we_ship_but_not_each_other(tmp_path: Path) -> None:
    path = write(tmp_path / "own.toml", GOOD.replace("acme-key", "github-pat"))
    rules = {rule.id: rule for rule in load_rules(["vcs"], [path])}
    assert rules["github-pat"].source == str(path)
    twin = write(tmp_path / "twin.toml", GOOD.replace("acme-key", "github-pat"))
    with pytest.raises(RuleError, match="github-pat: there is a rule with this id in"):
        load_rules(["vcs"], [path, twin])


def test_a_companion_must_exist(tmp_path: Path) -> None:
    path = write(
        tmp_path / "own.toml", GOOD.replace('severity = "high"', 'severity = "high"\nrequires = [{rule = "nope"}]')
    )
    with pytest.raises(RuleError, match="acme-key: requires: no rule is called 'nope'"):
        load_rules([], [path])
    write(path, path.read_text(encoding="utf-8").replace('"nope"', '"exposure-aws-rds-host"'))
    with pytest.raises(RuleError, match="no rule is called 'exposure-aws-rds-host'; it is of the pack exposure"):
        load_rules([], [path])


def test_a_rule_that_went_or_is_off_is_known_by_its_id() -> None:
    """Routes, disabled rules and open incidents by id, family and form go on."""
    assert "redis-auth" not in {rule.id for rule in texts.rules()}
    assert (rule_families()["redis-auth"], rule_forms()["redis-auth"]) == ("generic", "generic")
    assert load_rules(["vcs/git"], disable=["redis-auth"]) == load_rules(["vcs/git"])
    with pytest.raises(RuleError, match="no rule is called 'redis-auht'"):
        load_rules(["vcs/git"], disable=["redis-auht"])
    assert elsewhere("exposure-aws-rds-host") == '; it is of the pack exposure: rules.packs = ["default", "exposure"]'
    assert elsewhere("jwt") == elsewhere("nope") == ""


def test_what_names_a_rule_by_an_id_it_had_goes_on(tmp_path: Path) -> None:
    assert "apify-api-token" in {rule.id for rule in load_rules(["saas/apify"])}
    assert "apify-api-token" not in {rule.id for rule in load_rules(["saas/apify"], disable=["apify-token"])}
    # What is found by a broad rule now, among other secrets, does not turn that one off.
    assert load_rules(["generic/assignment"], disable=["superset-secret-key"]) == load_rules(["generic/assignment"])
    own = write(tmp_path / "own.toml", GOOD.replace("acme-key", "apify-token"))
    rules = {rule.id for rule in load_rules(["saas/apify"], [own])}
    assert ("apify-token" in rules, "apify-api-token" in rules) == (True, False)
    needs = GOOD.replace('severity = "high"', 'severity = "high"\nrequires = [{rule = "apify-token"}]')
    [rule] = [rule for rule in load_rules(["saas/apify"], [write(own, needs)]) if rule.id == "acme-key"]
    assert [companion.rule for companion in rule.requires] == ["apify-api-token"]


def test_the_families_are_known_without_the_rules() -> None:
    gone = {rule_id: one.family for rule_id, one in GONE.items()}
    assert rule_families() == gone | {rule.id: rule.family for rule in (*texts.rules(), *load_rules(OFF_BY_DEFAULT))}


def test_rules_can_be_taken_out() -> None:
    assert "github-pat" not in {rule.id for rule in load_rules(["vcs"], disable=["github-pat"])}


def test_what_a_configuration_says_of_names_holds_in_every_notation() -> None:
    rules = load_rules(identifiers=["Dedup_Token"], credentials=["frobval", "x-frob"])
    worker = Engine.build(rules).worker()
    value, token = expand("{alnum:32}"), expand("ghp_{alnum:30}{crc32}")
    lines = ["{}={}", '"{}": "{}"', '\\"{}\\":\\"{}\\"', "<{}>{}<", "{}: {}", "?a=1&{}={}&b=2"]

    def found(name: str, held: str) -> list[list[str]]:
        return [[match.rule.id for match in worker.scan(line.format(name, held).encode())] for line in lines]

    assert all(found("other_token", value)), "where nothing is said"
    assert not any(found("dedup_token", value))
    assert not any(found("event.DEDUP_TOKEN", value))
    assert found("dedup_token", token) == [["github-pat"]] * len(lines), "a vendor's format stays one"
    for name in ("frobval", "FROBVAL", "X-Frob", "http.x-frob"):
        assert found(name, value) == [[NAMED]] * len(lines)
    assert found("frobval", token) == [["github-pat"]] * len(lines)
    assert not any(found("frobvalue", value)), "another name"
    assert not any(found("frobval", "${FROBVAL}"))
    assert not any(found("frobval", "undefined"))


def test_as_many_names_as_a_configuration_may_hold_are_one_rule() -> None:
    names = [f"{'field_' * 9}n{number:03}"[-64:] for number in range(100)]
    worker = Engine.build(load_rules(credentials=names)).worker()
    assert [match.rule.id for match in worker.scan(f"{names[73]}: {expand('{alnum:24}')}".encode())] == [NAMED]


def test_the_rule_of_names_passes_its_examples() -> None:
    rules = load_rules(credentials=["frobval", "a.b-c"])
    assert check_rules(Engine.build(rules), [rule for rule in rules if rule.id == NAMED]) == []
    assert NAMED not in {rule.id for rule in load_rules(["vcs"], credentials=["frobval"], disable=[NAMED])}


def test_packs_are_named_by_family_or_file() -> None:
    assert builtin_packs(["cloud/aws"]) == ["cloud/aws"]
    assert set(builtin_packs(["cloud"])) == {f"cloud/{file.stem}" for file in (packs.FOLDER / "cloud").glob("*.toml")}
    assert {name.partition("/")[0] for name in builtin_packs()} == set(builtin_families()) - {"exposure", "protected"}


def test_what_we_ship_is_whole() -> None:
    rules: list[Rule] = load_rules(builtin_families())
    assert len(rules) >= 500
    for rule in rules:
        assert len(rule.examples) >= 2, rule.id
        assert len(rule.negative_examples) >= 2, rule.id
        assert rule.references, rule.id
        assert rule.source.startswith(f"packs/{rule.family}/"), rule.id
