from __future__ import annotations

import gzip
import json
import os
import sys
import threading
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pexpect
import pytest

from detectors.author.check import check_rules
from detectors.rules.load import builtin_packs
from detectors.rules.packfile import load_file, load_pack
from detectors.rules.template import expand
from tests.detectors import texts
from tests.monitor.cli.conftest import ROOT, STATE, Command

PATTERN = r"\b(?P<secret>acme_[a-z0-9]{12})\b"
SECRET = "acme_" + "k3j9x2m4q8w1"


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A log with a secret, a placeholder, and a token of GitHub; rules of GitHub only."""
    (tmp_path / "config.toml").write_text('[monitor]\nstate_dir = "state"\n[rules]\npacks = ["vcs/github"]\n')
    path = tmp_path / "sample.log"
    path.write_text(
        f"2026-03-04T05:06:07Z INFO paid with {SECRET} by ghp_{expand('{alnum:30}{crc32}', 1)}\n"
        "2026-03-04T05:06:08Z INFO paid with acme_changeme1234\n"
        "2026-03-04T05:06:09Z INFO nothing here\n"
    )
    return path


@pytest.fixture
def terminal(tmp_path: Path) -> Any:
    """The command in a pseudo-terminal: `terminal("test-pattern", …)`."""
    children: list[pexpect.spawn[str]] = []
    texts.lend(tmp_path / STATE / "cache")

    def start(*arguments: str) -> pexpect.spawn[str]:
        child = pexpect.spawn(
            sys.executable,
            ["-m", "monitor", *arguments],
            cwd=str(tmp_path),
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "MONITOR_CONFIG": "config.toml",
                "PYTHONPATH": str(ROOT),
                "TERM": "xterm-256color",
            },
            encoding="utf-8",
            timeout=300,
            dimensions=(50, 200),
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.close(force=True)


# --- in a pipe


def test_hits_are_shown_masked_with_line_column_and_the_stage_that_decided(monitor: Command, sample: Path) -> None:
    answer = monitor("test-pattern", PATTERN, "sample.log", "--no-cost")
    assert answer.returncode == 0, answer.stderr
    first, second = (line for line in answer.stdout.splitlines() if line.startswith("sample.log:"))
    assert first.startswith("sample.log:1:37  found")
    assert second.startswith("sample.log:2:37  rejected by placeholder: placeholder word 'changeme'")
    assert "1 found, 1 rejected in 3 lines" in answer.stdout
    assert "anchor: 'acme_'" in answer.stdout
    assert "entropy" in answer.stdout
    assert "\x1b" not in answer.stdout


def test_what_a_name_alone_tells_comes_with_the_line_that_says_it_is_none(monitor: Command, tmp_path: Path) -> None:
    text = f'{{"dedupToken": "{expand("{alnum:32}")}"}}'
    asked = ("test-pattern", "--rule", "generic-secret", "--no-cost", "-")
    answer = monitor(*asked, stdin=text)
    assert answer.returncode == 0, answer.stdout
    assert 'no secret? [rules] identifiers = ["dedupToken"]' in answer.stdout
    (tmp_path / "config.toml").write_text('[rules]\nidentifiers = ["dedupToken"]\n', encoding="utf-8")
    answer = monitor(*asked, stdin=text)
    assert "rejected by identifier: rules.identifiers says that 'deduptoken' holds none" in answer.stdout


def test_a_text_that_is_asked_for_stands_in_no_argument(monitor: Command) -> None:
    arguments = ("test-pattern", PATTERN, "--text", "-", "--no-cost")
    assert monitor(*arguments, stdin=f"x={SECRET}\n").returncode == 0
    assert monitor(*arguments, stdin="nothing\n").returncode == 1


def test_near_misses_have_the_literal_but_not_the_pattern(monitor: Command, sample: Path) -> None:
    text = f"acme_k3j9x2m {SECRET} acme_ 'acme_{'K3J9X2M4' * 2}' zzz"
    answer = monitor("test-pattern", PATTERN, "--text", text, "--no-cost", "--format", "json")
    hits = json.loads(answer.stdout)["hits"]
    assert [(hit["column"], hit["stage"]) for hit in hits] == [
        (1, "pattern"),
        (14, "accepted"),
        (32, "pattern"),
        (39, "pattern"),
    ]
    assert hits[0]["reason"] == "has 'acme_', but the pattern does not match there"
    assert "k3j9x2m" not in answer.stdout.replace("has 'acme_'", "")
    assert "K3J9X2M" not in answer.stdout


def test_no_secret_is_shown_neither_its_own_nor_those_beside_it(monitor: Command, sample: Path) -> None:
    for form in ("text", "json", "jsonl"):
        answer = monitor("test-pattern", PATTERN, "sample.log", "--no-cost", "--format", form)
        shown = answer.stdout + answer.stderr
        assert SECRET not in shown
        assert SECRET[5:12] not in shown
        assert expand("{alnum:30}{crc32}", 1)[4:20] not in shown
    answer = monitor("test-pattern", PATTERN, "sample.log", "--reveal")
    assert answer.returncode == 2
    assert "works on a terminal only" in answer.stderr
    assert SECRET not in answer.stdout + answer.stderr


def test_a_rule_is_compiled_once_whatever_filters_are_tried(monitor: Command, tmp_path: Path) -> None:
    trial = tmp_path / STATE / "cache" / "trial"
    for filters, made in ((("--entropy", "2"), 1), (("--entropy", "3", "--stopword", "demo"), 1), (("x{9}",), 2)):
        rule = () if filters == ("x{9}",) else ("--rule", "github-pat")
        monitor("test-pattern", *rule, *filters, "--text", "nothing", "--no-cost")
        assert len(list(trial.glob("*.hsdb"))) == made, filters


def test_the_cost_for_the_pack_is_measured(monitor: Command, sample: Path) -> None:
    answer = monitor("test-pattern", PATTERN, "sample.log", "--format", "json")
    summary = json.loads(answer.stdout)["summary"]
    assert summary["measured_on"] == "plain log lines"
    assert min(summary["mb_s_alone"], summary["mb_s_pack_without"], summary["mb_s_pack_with"]) > 0
    slow = monitor("test-pattern", r"(?P<secret>[a-z0-9]{8}-[a-z0-9]{4})", "sample.log")
    assert slow.stdout.startswith("warning: "), "before all hits"
    assert "warning: anchor: " in slow.stdout


def test_one_document_of_json_or_one_object_a_hit(monitor: Command, sample: Path) -> None:
    whole = json.loads(monitor("test-pattern", PATTERN, "sample.log", "--no-cost", "--format", "json").stdout)
    assert [hit["accepted"] for hit in whole["hits"]] == [True, False]
    expected = {
        **{"path": "sample.log", "line": 1, "column": 37, "accepted": True, "stage": "accepted"},
        **{
            "reason": "all stages passed",
            "groups": {"secret": whole["hits"][0]["masked"]},
            "entropy": 3.97,
            "decode": [],
            "labels": {},
        },
        **{"severity": "high", "confidence": "high"},
    }
    assert {key: value for key, value in whole["hits"][0].items() if key not in ("masked", "context")} == expected
    assert whole["summary"]["accepted"] == 1
    assert whole["summary"]["rejected"] == {"placeholder": 1}
    assert whole["summary"]["lines"] == 3
    lines = monitor("test-pattern", PATTERN, "sample.log", "--no-cost", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == whole["hits"]


def test_groups_are_shown_with_every_secret_in_them_masked(monitor: Command, sample: Path) -> None:
    token = f"ghp_{expand('{alnum:30}{crc32}', 2)}"
    pattern = r"(?P<secret>acme_([a-z0-9]{12}))(?P<env>-live|-test)?(x)? by (\S+)"
    arguments = ("test-pattern", pattern, "--text", f"{SECRET}-live by {token}", "--no-cost")
    answer = monitor(*arguments, "--format", "json")
    (hit,) = json.loads(answer.stdout)["hits"]
    assert hit["groups"].keys() == {"secret", "2", "env", "5"}
    assert (hit["groups"]["secret"], hit["groups"]["env"]) == (hit["masked"], "-live")
    assert SECRET[6:] not in answer.stdout
    assert token[8:] not in answer.stdout
    assert "group env: -live" in monitor(*arguments).stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((PATTERN, "--text", f"x={SECRET}"), 0),
        ((PATTERN, "--text", "nothing"), 1),
        ((PATTERN, "--text", f"x={SECRET}", "--entropy", "5"), 1),
        ((PATTERN, "--text", f"x={SECRET}", "--digits", "11"), 1),
        ((PATTERN, "--text", f"x={SECRET}", "--stopword", "K3J9"), 1),
        ((PATTERN, "--text", f"x={SECRET}", "--allow", "^acme_k"), 1),
        (("--rule", "github-pat", "--text", "nothing"), 1),
        (("--rule", "github-pta", "--text", "nothing"), 2),
        (("(?P<secret>acme_(?=x))", "--text", "x"), 2),
        (("acme_*+", "--text", "x"), 2),
        (("a*", "--text", "x"), 2),
        (("acme[[:alpha:]]", "--text", "x"), 2),
        ((PATTERN, "--text", f"x={SECRET}", "--allow", "("), 2),
        ((PATTERN, "--text", f"x={SECRET}", "--allow", "é"), 2),
        ((PATTERN, "no-such-file.log"), 2),
        (("@no-such-file.toml", "--text", "x"), 2),
        ((PATTERN, "--text", "x", "--emit", "yaml"), 2),
        ((), 2),
    ],
)
def test_exit_codes(monitor: Command, sample: Path, arguments: tuple[str, ...], code: int) -> None:
    answer = monitor("test-pattern", *arguments, "--no-cost")
    assert answer.returncode == code, answer.stdout + answer.stderr
    assert "Traceback" not in answer.stderr
    assert code != 2 or answer.stderr


@pytest.mark.parametrize(
    ("pattern", "column", "message"),
    [
        ("(?P<secret>acme_(?=x))", 16, "lookahead"),
        ("acme_(?P<secret>[a-z)", 16, "unterminated character set"),
        (r"acme_(?P<secret>a)\1", 18, "back-reference"),
        ("acme_[a-z]++", 11, "possessive"),
        ("acme{1,5000}", 4, "RE2 counts to 1000"),
        ("acme_[a-z]{32", 10, "a repeat that is not closed"),
        ("acme_[a-z]{3,", 10, "a repeat that is not closed"),
    ],
)
def test_a_caret_stands_under_the_place_that_is_wrong(
    monitor: Command, sample: Path, pattern: str, column: int, message: str
) -> None:
    answer = monitor("test-pattern", pattern, "--text", "x", "--no-cost")
    shown, caret, why = answer.stderr.splitlines()[:3]
    assert shown == pattern
    assert caret == " " * column + "^"
    assert why.removeprefix("RE2: ").startswith(f"column {column + 1}: ")
    assert message in why


def test_a_rule_of_a_pack_can_be_tried_with_other_filters(monitor: Command, sample: Path) -> None:
    token = f"ghp_{expand('{alnum:30}{crc32}', 1)}"
    assert monitor("test-pattern", "--rule", "github-pat", "-", "--no-cost", stdin=f"x {token}\n").returncode == 0
    answer = monitor("test-pattern", "--rule", "github-pat", "--entropy", "7", "-", "--no-cost", stdin=f"x {token}\n")
    assert answer.returncode == 1
    assert "rejected by entropy" in answer.stdout


def test_rules_that_find_the_same_are_named(monitor: Command, sample: Path) -> None:
    answer = monitor("test-pattern", "(?P<secret>ghp_[A-Za-z0-9]{36})", "sample.log", "--no-cost")
    assert "also found by github-pat (1 of 1)" in answer.stdout


def test_an_emitted_rule_loads_and_passes_its_own_examples(monitor: Command, sample: Path, tmp_path: Path) -> None:
    answer = monitor("test-pattern", PATTERN, "sample.log", "--emit", "toml", "--entropy", "3", "--stopword", "demo")
    assert answer.returncode == 0, answer.stderr
    assert SECRET not in answer.stdout
    path = tmp_path / "own.toml"
    path.write_text(answer.stdout)
    (rule,) = load_file(path)
    assert (rule.pattern, rule.entropy, rule.stopwords) == (PATTERN, 3.0, ("demo",))
    assert check_rules(texts.built(rule), seeds=range(20)) == []
    assert tomllib.loads(answer.stdout)["rule"][0]["id"] == "custom-rule"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"key=(?P<secret>[A-Za-z0-9]{16})", expand("key={alnum:16}")),
        (r'"token": ?"(?P<secret>[a-f0-9]{24})"', '{"token": "' + expand("{hex:24}") + '"}'),
        (r"(?P<secret>it's_[a-z0-9]{14})", "x it's_k3j9x2m4q8w1z6 y"),
        (r"pw\\(?P<secret>[a-z0-9]{14})", "pw\\k3j9x2m4q8w1z6"),
        (r"k='''(?P<secret>[a-z0-9]{14})", "k='''k3j9x2m4q8w1z6"),
        (r"k='(?P<secret>[a-z0-9]{14})'", "k='k3j9x2m4q8w1z6'"),
    ],
)
def test_emitted_rules_hold_for_awkward_patterns(
    monitor: Command, sample: Path, tmp_path: Path, pattern: str, text: str
) -> None:
    answer = monitor("test-pattern", pattern, "--text", text, "--emit", "toml")
    assert answer.returncode == 0, answer.stderr
    path = tmp_path / "own.toml"
    path.write_text(answer.stdout)
    (rule,) = load_file(path)
    assert rule.pattern == pattern
    assert check_rules(texts.built(rule), seeds=range(20)) == []


@pytest.mark.parametrize("text", ["nothing", "AKIX" + "Q3" * 8])
def test_an_emitted_rule_has_examples_that_hold_whatever_the_sample_gave(
    monitor: Command, sample: Path, tmp_path: Path, text: str
) -> None:
    answer = monitor("test-pattern", r"\b(?P<secret>(?:AKIX|ASIX)[A-Z2-7]{16})\b", "--text", text, "--emit", "toml")
    path = tmp_path / "own.toml"
    path.write_text(answer.stdout)
    (rule,) = load_file(path)
    assert check_rules(texts.built(rule), seeds=range(20)) == []


def test_an_emitted_rule_that_exists_keeps_all_it_has(monitor: Command, sample: Path, tmp_path: Path) -> None:
    arguments = ("--text", "x", "--emit", "toml")
    (shipped,) = load_pack("vcs/github")[:1]
    answer = monitor("test-pattern", "--rule", shipped.id, "--stopword", "demo", *arguments)
    path = tmp_path / "own.toml"
    path.write_text(answer.stdout)
    (rule,) = load_file(path)
    expected = replace(shipped, stopwords=("demo",), family=rule.family, vendor=rule.vendor, source=rule.source)
    assert rule == expected
    again = monitor("test-pattern", f"@{path}", "--entropy", "2", *arguments)
    assert tomllib.loads(again.stdout)["rule"] == [tomllib.loads(answer.stdout)["rule"][0] | {"entropy": 2.0}]
    # The rules of the family `generic` have other defaults than a rule of one's own.
    (tmp_path / "config.toml").write_text('[monitor]\nstate_dir = "state"\n[rules]\npacks = ["generic"]\n')
    shipped = next(rule for name in builtin_packs(["generic"]) for rule in load_pack(name))
    path.write_text(monitor("test-pattern", "--rule", shipped.id, "--entropy", "3.9", *arguments).stdout)
    (rule,) = load_file(path)
    assert rule == replace(shipped, entropy=3.9, family=rule.family, vendor=rule.vendor, source=rule.source)


def test_a_file_with_several_rules(monitor: Command, sample: Path, tmp_path: Path) -> None:
    text = monitor("test-pattern", PATTERN, "sample.log", "--emit", "toml").stdout
    (tmp_path / "own.toml").write_text(text + text.replace("custom-rule", "other-rule").replace("acme", "emca"))
    arguments = ("@own.toml", "--no-cost", "--text", f"x {SECRET}")
    answer = monitor("test-pattern", *arguments)
    assert answer.returncode == 0
    assert answer.stderr == "own.toml: the first of 2 rules, custom-rule; --rule names another\n"
    assert monitor("test-pattern", *arguments, "--rule", "other-rule").returncode == 1
    answer = monitor("test-pattern", *arguments, "--rule", "third-rule")
    assert answer.returncode == 2
    assert "custom-rule, other-rule" in answer.stderr


def test_a_sample_may_be_a_pipe_with_a_name(monitor: Command, sample: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=(f"x {SECRET}\n",))
    writer.start()
    answer = monitor("test-pattern", PATTERN, "pipe", "--no-cost")
    writer.join()
    assert answer.stdout.startswith("pipe:1:3  found")


def test_a_sample_full_of_hits_names_overlaps_and_masks_all(monitor: Command, sample: Path, tmp_path: Path) -> None:
    tokens = [f"ghp_{expand('{alnum:30}{crc32}', seed)}" for seed in range(300)]
    (tmp_path / "many.log").write_text("".join(f"{token} beside {SECRET}\n" for token in tokens))
    answer = monitor("test-pattern", PATTERN, "many.log", "--no-cost", "--limit", "300", "--format", "json")
    whole = json.loads(answer.stdout)
    assert (whole["summary"]["accepted"], whole["summary"]["overlaps"]) == (300, {})
    assert [hit["line"] for hit in whole["hits"]] == list(range(1, 301))
    assert not any(token[8:] in answer.stdout for token in tokens)
    assert monitor("test-pattern", "ghp_[A-Za-z0-9]{36}", "many.log", "--no-cost", "--format", "json").stdout.count(
        '"github-pat": 300'
    )


# --- in a terminal


def test_in_a_terminal_hits_are_coloured_and_can_be_revealed(terminal: Any, sample: Path) -> None:
    child = terminal("test-pattern", PATTERN, "sample.log", "--no-cost")
    child.expect(pexpect.EOF)
    shown = child.before
    assert "\x1b[" in shown
    assert SECRET not in shown
    child.wait()
    assert child.exitstatus == 0
    child = terminal("test-pattern", PATTERN, "sample.log", "--no-cost", "--reveal")
    child.expect(SECRET)
    child.expect(pexpect.EOF)


def test_in_a_terminal_a_bad_pattern_ends_with_2_and_a_caret(terminal: Any, sample: Path) -> None:
    child = terminal("test-pattern", "acme_(?=x)", "sample.log")
    child.expect(r"\^")
    child.expect("lookahead: neither engine supports it")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 2


def test_watch_runs_again_when_the_sample_or_the_pattern_changes(terminal: Any, sample: Path, tmp_path: Path) -> None:
    pattern = tmp_path / "acme.pattern"
    pattern.write_text(PATTERN + "\n")
    child = terminal("test-pattern", "@acme.pattern", "sample.log", "--watch", "--no-cost")
    child.expect("1 found, 1 rejected in 3 lines")
    # It may still be about to watch, so the change is repeated until it is seen.
    for number in range(20):
        with sample.open("a") as file:
            file.write(f"and acme_{expand('{lownum:12}', number)}\n")
        if child.expect([r"[2-9]\d* found", pexpect.TIMEOUT], timeout=15) == 0:
            break
    else:
        pytest.fail("a change of the sample was not seen")
    pattern.write_text("acme_(?=x)\n")
    child.expect("lookahead", timeout=300)
    new = tmp_path / "new.pattern"
    new.write_text(r"(?P<secret>nothing) here" + "\n")
    new.replace(pattern)  # as editors save
    child.expect(r"sample.log:3:27", timeout=300)
    child.sendintr()
    child.expect(pexpect.EOF)


def test_a_check_that_nobody_knows_is_named_as_the_option_it_was(monitor: Command, sample: Path) -> None:
    answer = monitor("test-pattern", PATTERN, "sample.log", "--checksum", "crc99")
    assert answer.returncode == 2
    assert answer.stderr.startswith("--checksum: no check is called 'crc99'; there are ")


def test_a_compressed_sample_is_said_to_be_one(monitor: Command, sample: Path) -> None:
    (sample.parent / "old.log.gz").write_bytes(gzip.compress(sample.read_bytes()))
    answer = monitor("test-pattern", PATTERN, "old.log.gz", "--no-cost")
    assert answer.returncode == 1
    assert "old.log.gz: is compressed, and searched as it is; give <(zcat FILE)" in answer.stderr
    assert "compressed" not in monitor("test-pattern", PATTERN, "sample.log", "--no-cost").stderr


def test_watch_needs_something_to_watch(monitor: Command, sample: Path) -> None:
    answer = monitor("test-pattern", PATTERN, "--text", "x", "--watch")
    assert answer.returncode == 2
    assert "--watch needs a file" in answer.stderr
