from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from detectors.author.check import check_rules, shadowed
from detectors.author.convert import Conversion, ReadError, gitleaks, kingfisher, rule_id, to_toml
from detectors.match.engine import Engine
from detectors.rules.load import load_rules
from detectors.rules.packfile import load_file
from detectors.rules.rule import Rule
from detectors.rules.template import expand

GITLEAKS = r"""
title = "ours"
[extend]
useDefault = true
path = "base.toml"
disabledRules = ["x"]

[[rules]]
id = "Acme_Key"
description = "Detected an Acme API key, which may allow access."
regex = '''(?i)\bacme_(?:live|test)_([a-z0-9]{24})(?:['|\"|\n|\r|\s|\x60|;]|$)'''
entropy = 3
keywords = ["acme_"]
tags = ["key"]
[[rules.allowlists]]
regexTarget = "line"
regexes = ["x"]
[[rules.allowlists]]
stopwords = ["abcabc"]
regexes = ['''^(0+)$''']
paths = ["test"]

[[rules]]
id = "alphabet"
regex = '''KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{30}'''

[[rules]]
id = "pair"
regex = '''pairsecret=([a-f0-9]{32})'''
path = '''\.env$'''
[[rules.required]]
id = "Acme_Key"
withinLines = 3

[[rules]]
id = "lonely"
regex = '''lonely=([a-f0-9]{32})'''
[[rules.required]]
id = "gone"

[[rules]]
id = "second"
regex = '''(user|name)=([a-f0-9]{32})'''
secretGroup = 2

[[rules]]
id = "file"
path = '''\.p12$'''

[[rules]]
id = "looking"
regex = '''(?<=x)abcdef'''

[[rules]]
id = "everything"
regex = '''\w+'''

[[allowlists]]
targetRules = ["second"]
stopwords = ["dead"]
commits = ["abc"]
"""


def reasons(done: Conversion) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for name, why in done.problems:
        out.setdefault(Path(name).name, []).append(why)
    return out


def loaded(done: Conversion, folder: Path) -> dict[str, Rule]:
    """The rules as our loader takes them, with their examples checked."""
    path = folder / "pack.toml"
    path.write_text(to_toml(done.rules, "from\nsomewhere"), encoding="utf-8")
    rules = load_file(path)
    assert check_rules(Engine.build(rules), [rule for rule in rules if not rule.requires], range(1, 20)) == []
    return {rule.id: rule for rule in rules}


def test_a_gitleaks_configuration(tmp_path: Path) -> None:
    path = tmp_path / ".gitleaks.toml"
    path.write_text(GITLEAKS)
    done = gitleaks(path)
    rules = loaded(done, tmp_path)
    assert list(rules) == ["acme-key", "alphabet", "pair", "second"]
    acme = rules["acme-key"]
    assert acme.name == "Acme API key"
    assert (acme.severity, acme.confidence, acme.entropy) == ("high", "medium", 3.0)
    assert acme.stopwords == ("abcabc",)
    assert acme.allow == ("^(?:0+)$",)
    assert [(r.rule, r.lines) for r in rules["pair"].requires] == [("acme-key", 3)]
    assert rules["second"].pattern == "(?:user|name)=(?P<secret>[a-f0-9]{32})"
    assert rules["second"].stopwords == ("dead",)
    assert rules["alphabet"].stopwords == ()
    why = reasons(done)
    assert [text.split(":")[0] for text in why[".gitleaks.toml"]] == [
        "extend.useDefault", "extend.path", "extend.disabledRules", "allowlist",
    ]  # fmt: skip
    assert len(why["acme-key"]) == 2
    assert "regexes on the line left out" in why["acme-key"][0]
    assert "paths left out" in why["acme-key"][1]
    assert why["pair"] == ["path: rules are not bound to file names here, so it now looks everywhere"]
    assert why["lonely"] == ["not converted: it requires a rule that is not here"]
    assert why["file"] == ["not converted: it has no regex: it looks at file names only"]
    assert "lookaround" in why["looking"][0]
    assert why["everything"][0].startswith("not converted: ")


def test_rules_that_find_the_same_text_are_ranked_or_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.toml"
    rule = "[[rules]]\nid='{}'\nregex='''{}'''\n"
    path.write_text(rule.format("wide", "key_([a-z0-9]{8,40})") + rule.format("exact", "key_([a-z0-9]{32})") * 2)
    done = gitleaks(path)
    assert "there is a rule with this id already" in str(done.problems)
    loaded(done, tmp_path)


KINGFISHER = r"""
rules:
  - name: Acme Personal Token
    id: custom.acme.1
    pattern: |
      (?xi)
      \b
      acme
      (?:.|[\n\r]){0,32}?
      \b
      (
        [a-z0-9]{32}   # the value
      )
      \b
    pattern_requirements:
      min_digits: 2
      min_uppercase: 1
      ignore_if_contains: [ sample ]
    min_entropy: 3.0
    confidence: low
    examples:
      - 'acme_key = "KEY"'
      - 'not at all'
    references:
      - https://acme.example/docs
    validation:
      type: Http
  - name: Acme Id
    id: custom.acme.id
    visible: false
    pattern: 'acmeid_(?P<TOKEN>[[:xdigit:]]{24})'
    depends_on_rule:
      - rule_id: custom.acme.1
        variable: X
  - name: Nothing
    id: custom.none
""".replace("KEY", expand("{lownum:32}", 3))


def test_kingfisher_rule_files(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "acme.yml").write_text(KINGFISHER)
    (folder / "b.toml").write_text("[[rules]]\nid='tomlish'\nregex='tomlish_[a-z0-9]{20}'\n")
    (folder / "bad.yaml").write_text("rules: [\n")
    (folder / "other.yaml").write_text("a: 1\n")
    (folder / "README.md").write_text("no rules\n")
    done = kingfisher(folder)
    rules = loaded(done, tmp_path)
    assert list(rules) == ["tomlish", "custom.acme.1", "custom.acme.id"]
    acme = rules["custom.acme.1"]
    assert acme.pattern == r"(?i)\bacme(?:.|[\n\r]){0,32}?\b(?P<secret>[a-z0-9]{32})\b"
    assert (acme.digits, acme.entropy, acme.confidence, acme.stopwords) == (2, 3.0, "low", ("sample",))
    assert acme.references == ("https://acme.example/docs",)
    assert len(acme.examples) == 1
    assert rules["custom.acme.id"].severity == "info"
    why = reasons(done)
    assert why["bad.yaml"] == ["not YAML"]
    assert why["other.yaml"] == ["no `rules:` list in it; is it a Kingfisher rule file?"]
    assert why["custom.none"] == ["not converted: it has no pattern"]
    said = "\n".join(why["custom.acme.1"])
    for text in ("min_uppercase: no counterpart", "validation: not converted", "1 of 2 are not found here"):
        assert text in said
    assert "depends_on_rule" in "\n".join(why["custom.acme.id"])


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("g.toml", None, "No such file"),
        ("g.toml", "[[rules", "not TOML"),
        ("g.toml", "a = 1", r"no \[\[rules\]\] in it"),
        ("k.yml", "{", "not YAML"),
        ("k.yml", "- 1", "no `rules:` list"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, name: str, content: str | None, why: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(ReadError, match=why):
        (gitleaks if name.endswith("toml") else kingfisher)(path)


def test_a_folder_without_rule_files(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"no \.yml"):
        kingfisher(tmp_path)


def test_yaml_never_makes_objects(tmp_path: Path) -> None:
    path = tmp_path / "k.yml"
    path.write_text("rules: !!python/object/apply:os.system ['touch made']\n")
    with pytest.raises(ReadError, match="not YAML"):
        kingfisher(path)


def test_ids_and_strings_survive() -> None:
    assert rule_id("Acme Key_V2 (old)") == "acme-key-v2-old"
    texts = ["plain", 'quote " and \\', "both ' and \" \\", "line\nbreak\t", "'''\\", "é\x07\U0001f511", "ends in '"]
    entry = {"id": "x", "texts": texts, "n": 3.5, "b": True, "t": [{"a": 1, "b": "c\\"}]}
    assert tomllib.loads(to_toml([entry]))["rule"] == [entry]


BESIDE = r"""
[[rules]]
id = "github-pat"
regex = '''ghp_[0-9a-zA-Z]{36}'''
[[rules]]
id = "pair"
regex = '''pair_([a-f0-9]{32})'''
[[rules.required]]
id = "github-pat"
"""


def test_an_imported_rule_takes_no_shipped_ones_place_unasked(tmp_path: Path) -> None:
    path = tmp_path / ".gitleaks.toml"
    path.write_text(BESIDE)
    done = gitleaks(path)
    assert [entry["id"] for entry in done.rules] == ["github-pat-imported", "pair"]
    assert done.rules[1]["requires"][0]["rule"] == "github-pat-imported"
    assert "renamed to github-pat-imported" in dict(done.problems)["github-pat"]
    assert [entry["id"] for entry in gitleaks(path, replace_shipped=True).rules] == ["github-pat", "pair"]


def test_imported_rules_beside_the_default_pack_are_no_problem_and_weaken_no_shipped_rule(tmp_path: Path) -> None:
    path = tmp_path / ".gitleaks.toml"
    path.write_text(BESIDE)
    pack = tmp_path / "pack.toml"
    pack.write_text(to_toml(gitleaks(path).rules, "somewhere"), encoding="utf-8")
    rules = load_rules(["vcs"], [pack])
    engine = Engine.build(rules)
    assert check_rules(engine) == []
    own = [rule for rule in rules if rule.family == "custom"]
    assert [note.partition(": ")[2] for note in shadowed(engine, own)] == ["github-pat-imported (github-pat)"]


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("acme_[a-z]{16,2048}", r"not converted: pattern: RE2: column 22: .*counts to 1000"),
        ("acme_(?P<secret>[a-z]{16}", r"not converted: a group is not closed"),
        ("acme_(live|test)_[a-z]{32}", r"not converted: its first group says fixed words: write it"),
        ("[0-9]*", r"not converted: column 1: matches the empty text"),
    ],
)
def test_a_refusal_says_why_in_one_line_without_the_rules_name(tmp_path: Path, pattern: str, why: str) -> None:
    (tmp_path / "one.yml").write_text(f"rules:\n- {{id: acme.key, name: Acme, pattern: '{pattern}', examples: []}}\n")
    told = [told for name, told in kingfisher(tmp_path / "one.yml").problems if name == "acme.key"]
    assert re.match(why, told[-1])
    assert "acme.key" not in told[-1]
