from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from detectors.fingerprint import fingerprint
from detectors.match.engine import Engine, Worker
from detectors.rules.rule import Rule
from monitor.config.config import Config, load
from monitor.config.state import key
from monitor.drill.ammunition import Ammunition, NoSampleError, ammunition, synthetic, worker_for
from monitor.site import build_engine, read_rules
from tests.detectors import texts

RULES = texts.rules()


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
        synthetic(worker, rule, "1")
    except NoSampleError:
        return True
    return False


@pytest.mark.parametrize("rule", [rule for rule in RULES if any(other.rule for other in rule.requires)][:5])
def test_a_rule_is_compiled_with_the_companions_it_requires(rule: Rule) -> None:
    worker = worker_for(rule, RULES)
    assert 1 < len(worker.engine.rules) < 10
    assert synthetic(worker, rule, "1")


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
    rules = read_rules(config)
    rule = next(rule for rule in rules if rule.id == rule_id)
    return ammunition(rule, rules, lambda: build_engine(config), key(config))


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
def test_what_is_not_found_or_not_new_is_no_ammunition(tmp_path: Path, pattern: str, example: str, says: str) -> None:
    with pytest.raises(NoSampleError, match=says):
        shot(acme(tmp_path, pattern, example), "acme-key")
