from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from detectors.author.check import check_rules
from detectors.match.decode import _REGIONS
from detectors.match.engine import Engine, Worker
from detectors.rules.load import load_rules
from detectors.rules.packfile import load_file
from detectors.rules.rule import Decoder, RuleError
from detectors.rules.template import expand
from monitor.common.regex import compile_re2
from tests.detectors.packs import GOOD, write
from tests.detectors.texts import rules


def problems(path: Path) -> list[str]:
    with pytest.raises(RuleError) as error:
        load_file(path)
    assert all(problem.startswith(f"{path}: ") for problem in error.value.problems)
    return [problem.removeprefix(f"{path}: ") for problem in error.value.problems]


def test_a_pack_file_gives_rules(tmp_path: Path) -> None:
    (rule,) = load_file(write(tmp_path / "acme.toml", GOOD))
    assert (rule.id, rule.severity, rule.confidence, rule.priority) == ("acme-key", "high", "high", 100)
    assert (rule.family, rule.vendor, rule.source) == ("custom", "acme", str(tmp_path / "acme.toml"))
    assert rule.shape.prefix == "acme_"


def test_what_keywords_must_not_find_is_made_where_the_rule_does_not_say_it(tmp_path: Path) -> None:
    own = 'negative_examples = ["acme_{lownum:3}"]\n'
    pattern = "pattern = '''\\b(?P<secret>acme_[a-z0-9]{12})\\b'''"
    keyed = GOOD.replace(pattern, 'keywords = ["acme key"]\nvalue = "[a-z0-9]{12}"').replace("k=acme_", "acme key: ")
    (rule,) = load_file(write(tmp_path / "acme.toml", keyed.replace(own, "")))
    made = ("acme key: {alnum:2}", "acme key: {x:12}", "acme_key_key=your_acme_key_key_here")
    assert rule.negative_examples == made
    assert check_rules(Engine.build([rule]), (rule,)) == []
    (rule,) = load_file(write(tmp_path / "acme.toml", keyed))
    assert rule.negative_examples == ("acme_{lownum:3}",)
    assert problems(write(tmp_path / "acme.toml", GOOD.replace(own, ""))) == [
        "acme-key: negative_examples: give texts that the pattern must not find"
    ]


def test_keywords_make_a_pattern_and_softer_defaults(tmp_path: Path) -> None:
    text = GOOD.replace(
        "pattern = '''\\b(?P<secret>acme_[a-z0-9]{12})\\b'''", 'keywords = ["acme key"]\nvalue = "[a-z0-9]{12}"'
    )
    (rule,) = load_file(write(tmp_path / "acme.toml", text))
    assert (rule.confidence, rule.priority, rule.hashes) == ("medium", 50, True)
    regex = compile_re2(rule.confirm)
    for written in (
        b"acme_key=k3j9x2m4q8w1",
        b'"acmeKey": "k3j9x2m4q8w1"',
        b"ACME-KEY k3j9x2m4q8w1",
        b"acme key is k3j9x2m4q8w1.",
    ):
        assert regex.search(written).group(1) == b"k3j9x2m4q8w1"
    assert not regex.search(b"acme_key=k3j9x2m4q8w12")


SPELLINGS = (
    'acmeToken = "{}"', "acme_token: {}", '"acme_token": "{}"', "ACME_API_KEY={}", r"{{\n  \"acmeToken\": \"{}\"}}",
    "<acmeToken>{}</acmeToken>", "<acmeToken>\n    {}\n</acmeToken>", "acme_token: |\n  {}", "acme_token: >-\n      {}",
    r"acme_token: |\n  {}\n", 'string acmeToken = "{}";', 'var acmeToken string = "{}"', "acmeToken := `{}`",
    'var acmeToken: string = "{}"', '$acmeToken .= "{}"', '$acmeToken ??= "{}"', "acmeToken,{},", '"acmeToken" => "{}"',
    'ACME_TOKEN ::= "{}"', 'ACME_TOKEN :::= "{}"', 'ACME_TOKEN ?= "{}"', 'ACME_TOKEN += "{}"', "export ACME_KEY={}",
    "X-Acme-Token: {}", "https://example.org/a?acme_token={}&b=1", "curl -H 'acme-api-key: {}'", "acme_secret='{}'",
)  # fmt: skip


@pytest.fixture(scope="module", params=["near", "assignment"])
def issuer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Worker:
    """Finds one rule: the keyword `acme` and a value near it."""
    shape = f'keywords = ["acme"]\nvalue = "[a-z0-9]{{18}}"\nnear = "{request.param}"\n'
    text = "\n".join(line for line in GOOD.splitlines() if not line.startswith(("pattern", "examples")))
    path = tmp_path_factory.mktemp("packs") / "acme.toml"
    write(path, f'{text}\n{shape}examples = ["acme_token={{lownum:18}}"]\n')
    return Engine.build(load_file(path), trial=True).worker()


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_issuers_value_is_found_however_it_is_assigned(issuer: Worker, spelling: str) -> None:
    value = "k3j9x2m4q8w1z7v5t6"
    assert [match.secret for match in issuer.scan(spelling.format(value).encode())] == [value.encode()]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", None),
        ("decode = true", None),
        ("decode = false", ()),
        ('decode = ["base64", "percent"]', ("base64", "percent")),
    ],
)
def test_decoders_are_all_none_or_those_named(tmp_path: Path, written: str, expected: tuple[str, ...] | None) -> None:
    (rule,) = load_file(write(tmp_path / "acme.toml", GOOD + written))
    assert rule.decode == expected


def test_the_decoders_a_rule_may_name_are_those_there_are() -> None:
    assert set(get_args(Decoder)) == set(_REGIONS)


@pytest.mark.parametrize(
    "before", ["", "=", "%3D", r"\n", r"\u003d", r"\x3d", r"\075", "\x1b[31m", '"', " "]
)  # what may stand left of a token in logs
def test_a_word_boundary_on_the_left_sees_through_escapes(tmp_path: Path, before: str) -> None:
    (rule,) = load_file(write(tmp_path / "acme.toml", GOOD))
    assert compile_re2(rule.confirm).search(f"{before}acme_k3j9x2m4q8w1".encode())
    assert not compile_re2(rule.confirm).search(b"xacme_k3j9x2m4q8w1")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("[a-z0-9]{12}", "(?=x)"), "acme-key: pattern: column 19: lookahead"),
        (("[a-z0-9]{12}", "[a-z"), "acme-key: pattern: column 19: unterminated character set"),
        (
            ("(?P<secret>", "("),
            "acme-key: pattern: column 3: a group without a name, and none named 'secret'",
        ),
        (("[a-z0-9]{12}", r"\1"), "acme-key: pattern: column 19: back-reference"),
        (('severity = "high"', 'severity = "huge"'), "acme-key: severity: must be 'critical', 'high'"),
        (('severity = "high"', ""), "acme-key: severity: missing"),
        (
            ('severity = "high"', 'severity = "high"\nentrpy = 3'),
            "acme-key: entrpy: unknown key; did you mean 'entropy'?",
        ),
        (
            ('severity = "high"', 'severity = "high"\nentropy = 9'),
            "acme-key: entropy: must be less than or equal",
        ),
        (('id = "acme-key"', 'id = "Acme Key"'), "Acme Key: id: must match pattern"),
        (('id = "acme-key"', ""), "rule number 1: id: missing"),
        (("examples = [", "exampels = ["), "acme-key: exampels"),
        (('severity = "high"', 'severity = "high"\ndecode = ["rot13"]'), "acme-key: decode"),
        (
            ('severity = "high"', 'severity = "high"\nvalue = "x"'),
            "acme-key: give either pattern, or keywords and value",
        ),
        (
            ('severity = "high"', 'severity = "high"\nrequires = [{within = 9}]'),
            "acme-key: requires.0: give one of rule and",
        ),
        (('severity = "high"', 'severity = "high"\nallow = ["(a"]'), "acme-key: allow: RE2: missing )"),
        (
            ('severity = "high"', 'severity = "high"\nrequires = [{pattern = "x{9999}"}]'),
            "acme-key: requires.pattern: RE2",
        ),
        (("[[rule]]", "[rule]"), "rule: write [[rule]], not [rule]"),
        (("[[rule]]", "[[rules]]"), "unknown key 'rules'"),
        (("[[rule]]", "[[rule"), "Expected ']]'"),
    ],
)
def test_a_mistake_is_named_with_file_rule_and_place(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    path = write(tmp_path / "acme.toml", GOOD.replace(*change))
    assert any(problem.startswith(expected) for problem in problems(path)), problems(path)


def test_every_mistake_of_every_file_is_reported_at_once(tmp_path: Path) -> None:
    bad = GOOD.replace('severity = "high"', 'severity = "huge"\ndigits = -1')
    write(tmp_path / "one.toml", bad + GOOD.replace("acme-key", "other").replace("acme_[a", "acme_(?=[a"))
    write(tmp_path / "two.toml", "nonsense = 1\n" + GOOD.replace("acme-key", "third"))
    (tmp_path / "three.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RuleError) as error:
        load_rules(["nope"], [str(tmp_path / "*.toml"), str(tmp_path / "missing.toml")], ["no-such-rule"])
    text = "\n".join(error.value.problems)
    for part in (
        "acme-key: severity", "acme-key: digits", "other: pattern: column", "two.toml: unknown key 'nonsense'",
        "not UTF-8 at byte 0", "no pack is called 'nope'",
        "missing.toml: no such file", "no rule is called 'no-such-rule'",
    ):  # fmt: skip
        assert part in text


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    assert problems(tmp_path / "none.toml") == ["No such file or directory"]
    assert problems(tmp_path)[0].startswith("Is a directory")


@pytest.mark.parametrize(
    ("behind", "more"),
    [
        ("&Q4z", "&Q4z"),
        ("&Q4z&secondpart", "&Q4z&secondpart"),
        ("&user=bob", ""),
        ("&&psql", ""),
        ("&amp;x", ""),
        ("", ""),
    ],
)
def test_a_value_goes_on_behind_an_ampersand_unless_a_parameter_or_an_entity_does(behind: str, more: str) -> None:
    value = expand("{lower:4}{digit:3}{lower:3}")
    (rule,) = (rule for rule in rules() if rule.id == "postgresql-password")
    found = compile_re2(rule.confirm).search(f"PGPASSWORD={value}{behind} psql".encode())
    assert found.group(1).decode() == value + more


def test_names_in_any_case_become_keywords_where_every_example_assigns_to_them() -> None:
    found = {rule.id: rule for rule in rules()}
    assert found["cohere-api-key"].keywords
    assert found["cohere-api-key"].anywhere == ()
    assert not found["discord-bot-token"].keywords  # `bot.login("…")` assigns nothing
    assert not found["github-pat"].keywords


@pytest.mark.parametrize("key", ["id", "name"])
def test_a_rule_named_like_a_secret_is_refused_without_being_shown(tmp_path: Path, key: str) -> None:
    token = expand("{hex:40}")
    text = re.sub(rf'(?m)^{key} = ".*"$', f'{key} = "{token}"', GOOD)
    with pytest.raises(RuleError, match="looks like a secret") as caught:
        load_file(write(tmp_path / "own.toml", text))
    assert token[5:] not in str(caught.value)


def test_only_what_looks_like_an_expression_goes_without_the_filter_of_placeholders() -> None:
    without = {rule.id for rule in rules() if not rule.placeholders}
    assert without == {
        "wallet-seed-phrase",
        "ldap-ssha-hash",
        "asaas-api-key",
        "nmap-valid-credentials",  # whatever it is, it let somebody in
        "wordpress-secret-key",  # of all signs, so any sign of an expression may be in it
    }


def test_no_generic_rule_knows_a_header_of_one_products_tokens() -> None:
    assert not [rule.id for rule in rules() if rule.family == "generic" and re.search(r"AQA+BA", rule.pattern)]
