from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from detectors.fingerprint import fingerprint
from detectors.match.engine import Engine, Worker
from detectors.rules.rule import Rule
from monitor.cli.canaries import plant
from monitor.cli.sample import Ammunition, NoSampleError, ammunition, one, worker_for
from monitor.config.config import Config, load
from monitor.config.state import key
from monitor.site import build_engine, read_rules
from tests.detectors import texts

Command = Callable[..., subprocess.CompletedProcess[str]]
RULES = texts.rules()


def test_a_sample_is_a_secret_of_its_rule_and_new_each_time(monitor: Command) -> None:
    answer = monitor("sample", "github-pat", "-n", "3")
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert len(set(lines)) == 3
    worker = Engine.build([rule for rule in RULES if rule.id == "github-pat"]).worker()
    for line in lines:
        (match,) = worker.scan(line.encode())
        assert match.secret.decode() == line
    assert monitor("sample", "github-pat").stdout not in answer.stdout


def test_samples_and_their_rule_for_scripts(monitor: Command) -> None:
    text = monitor("sample", "github-pat", "-n", "2", "--seed", "1").stdout.splitlines()
    expected = [{"rule": "github-pat", "sample": sample} for sample in text]
    assert json.loads(monitor("sample", "github-pat", "-n", "2", "--seed", "1", "--format", "json").stdout) == expected
    lines = monitor("sample", "github-pat", "-n", "2", "--seed", "1", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == expected


def test_a_seed_gives_the_same_samples_and_line_the_text_around(monitor: Command) -> None:
    first = monitor("sample", "github-pat", "--seed", "drill").stdout
    assert first == monitor("sample", "github-pat", "--seed", "drill").stdout
    line = monitor("sample", "github-pat", "--seed", "drill", "--line").stdout
    assert first.strip() in line
    assert len(line) > len(first)


# That every example is found tests/detectors/author/test_check.py holds.
@pytest.mark.parametrize("every", texts.shares(4))
def test_every_rule_gives_samples(every: int) -> None:
    whole = texts.engine().worker()
    # One engine for all is quick; where a more specific rule takes the sample, those that are left are tried without
    # it, and what is left then alone.
    chosen = RULES[::every]
    left = [rule for rule in chosen if shadowed(whole, rule)]
    companions = {companion.rule for rule in left for companion in rule.requires}
    fewer = Engine.build([rule for rule in RULES if rule in left or rule.id in companions]).worker()
    alone = [rule for rule in left if shadowed(fewer, rule)]
    assert len(alone) < len(left) < len(chosen) / 2
    assert not [rule.id for rule in alone if shadowed(worker_for(rule, RULES), rule)]


def shadowed(worker: Worker, rule: Rule) -> bool:
    try:
        one(worker, rule, "1")
    except NoSampleError:
        return True
    return False


@pytest.mark.parametrize("rule", [rule for rule in RULES if any(other.rule for other in rule.requires)][:5])
def test_a_rule_is_compiled_with_the_companions_it_requires(rule: Rule) -> None:
    worker = worker_for(rule, RULES)
    assert 1 < len(worker.engine.rules) < 10
    assert one(worker, rule, "1")


def test_an_unknown_rule_is_two_and_names_what_was_meant(monitor: Command) -> None:
    answer = monitor("sample", "github-patt")
    assert answer.returncode == 2
    assert "did you mean github-pat" in answer.stderr
    assert "monitor rules list" in answer.stderr


def settings(tmp_path: Path, *packs: str, own: str = "") -> Config:
    (tmp_path / "own.toml").write_text(own)
    paths = '["own.toml"]' if own else "[]"
    text = f"[monitor]\nstate_dir = 'state'\n[rules]\npacks = {json.dumps(packs)}\npaths = {paths}\n"
    (tmp_path / "config.toml").write_text(text)
    with texts.shared("sample") as cache:  # what is compiled for one of these tests serves the others
        if cache is not None:
            (tmp_path / "state").mkdir(mode=0o700)
            (tmp_path / "state" / "cache").symlink_to(cache)
    return load(tmp_path / "config.toml")


def shot(config: Config, rule_id: str) -> Ammunition:
    return ammunition(config, next(rule for rule in read_rules(config) if rule.id == rule_id))


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("mysql-password", r"MYSQL_ROOT_PASSWORD=\w{14}"),  # its name once
        ("android-keystore-password", r"storePassword=\w{14}"),
        ("private-key-ec", r"PRIVATE_KEY_EC=-----BEGIN EC PRIVATE KEY-----\\n.*"),
    ],
)
def test_ammunition_is_known_however_it_is_found(tmp_path: Path, rule: str, line: str) -> None:
    config = settings(tmp_path, "database/mysql", "devtools/android", "keys/pem")
    new = shot(config, rule)
    assert re.fullmatch(line, new.line)
    worker = build_engine(config).worker()

    def found(text: str) -> set[str]:
        return {fingerprint(key(config), match.secret) for match in worker.scan(f"{text}\n".encode())}

    in_a_log = found(f"nothing leaked: {new.value}")
    assert in_a_log == set(new.logged)
    assert new.written
    assert found(new.line) == set(new.written)
    assert (in_a_log | found(new.value.replace("\\n", "\n"))) - set(new.written) == set(new.others)
    again = shot(config, rule)
    assert not {*new.written, *new.others} & {*again.written, *again.others}, "nothing is the same each time"


def acme(tmp_path: Path, pattern: str, example: str = "acme_{lownum:20}") -> Config:
    own = f"""
[[rule]]
id = "acme-key"
name = "Acme key"
pattern = '''{pattern}'''
severity = "high"
examples = ["key {example}"]
negative_examples = ["acme_x"]
"""
    return settings(tmp_path, "vcs/github", own=own)


@pytest.mark.parametrize(
    ("pattern", "example", "says"),
    [
        (
            r"(?P<secret>acme_[a-z0-9]{20})!",
            "acme_{lownum:20}",
            "no example satisfies the rule",
        ),
        (
            r"\b(?P<secret>acme_[a-z0-9]{20})\b",
            "acme_k3jd8sk2jd9fk3jsl2kd",
            "hold a fixed secret: write it as a template",
        ),
    ],
)
def test_what_is_not_found_or_not_new_is_no_ammunition(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pattern: str, example: str, says: str
) -> None:
    with pytest.raises(typer.Exit) as ended:
        shot(acme(tmp_path, pattern, example), "acme-key")
    assert ended.value.exit_code == 2
    assert says in capsys.readouterr().err


def test_what_no_file_would_show_is_for_drills_and_no_canary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It wants a space before it: it is found in a log, and not in a setting."""
    config = acme(tmp_path, r"(?:^|[ ])(?P<secret>acme_[a-z0-9]{20})\b")
    new = shot(config, "acme-key")
    assert new.logged
    assert not new.written
    with pytest.raises(typer.Exit) as ended:
        plant(config, "bird", new, "acme-key", at="-", note="")
    assert ended.value.exit_code == 2
    assert "no rule finds a secret of acme-key in a line of settings" in capsys.readouterr().err
