from __future__ import annotations

from functools import cache

import pytest
from pydantic import ValidationError

from monitor.actions.config import ActionConfig, Ready, load_ready
from monitor.config.config import parse
from monitor.config.locate import ConfigError
from monitor.store import actions
from monitor.verify.probe import probe_of
from tests.detectors import texts


@cache
def rule_ids() -> set[str]:
    return {rule.id for rule in texts.rules()}


def problems(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return str(caught.value)


def action(**keys: object) -> ActionConfig:
    given = {"name": "a", "type": "http", "url": "https://x.example"} | keys
    return ActionConfig.model_validate({name: value for name, value in given.items() if value is not None})


@pytest.mark.parametrize("ready", load_ready().values(), ids=lambda ready: ready.id)
def test_a_ready_made_action_is_whole(ready: Ready) -> None:
    assert set(ready.rules) <= rule_ids()
    asked = {name for step in ready.steps for name in step.parts}
    shape = f"{ready.shape}{ready.labels}"
    kept: set[str] = set()
    for step in ready.steps:
        assert step.expect
        assert step.url.startswith(("https://", "{server}/"))
        for name in step.names - asked - kept:
            assert f"(?P<{name}>" in shape, name
        # An action with a credential of its own says which.
        if "{credential}" in f"{step.auth}{step.headers}":
            assert ready.credential
        kept |= step.keep.keys()
    assert len(load_ready()) >= 15


def test_what_is_about_a_place_fits_where_its_labels_say_which() -> None:
    delete = action(type="github-run-logs-delete", url=None, credential="env:X")
    there = {"repository": "acme/web.js", "run": "42", "workflow": "CI"}
    assert delete.about_place
    assert delete.place(there) == {"account": "acme", "project": "web.js", "run": "42"}
    assert delete.fits("openai-project-key", there)
    hostile = [{"repository": "acme/.."}, {"repository": "../web"}, {"run": "42/../7"}, {"run": ""}, {"workflow": ""}]
    for change in (*hostile, {"repository": "a/b/c"}):
        assert not delete.fits("openai-project-key", there | change)
    assert not delete.fits("openai-project-key", {})
    assert not delete.fits("canary", there)
    assert not action(type="github-revoke", url=None).about_place
    with pytest.raises(ValidationError, match="people plan what is about a place"):
        action(type="github-run-logs-delete", url=None, credential="env:X", automatic=['rule="a"', 'severity="low"'])


@pytest.mark.parametrize(
    "change",
    [
        {"rules": ["github-pat"]},
        {"labels": {}},
        {"steps": [{"url": "https://x.example/{value}", "auth": "header A {credential}", "expect": ["200"]}]},
        {"steps": [{"url": "https://x.example/", "auth": "bearer", "expect": ["200"]}]},
    ],
)
def test_what_is_about_a_place_is_never_told_the_secret(change: dict[str, object]) -> None:
    step = {"url": "https://x.example/", "auth": "header A {credential}", "expect": ["200"]}
    whole = {"id": "a", "name": "A", "docs": "https://x.example", "labels": {"run": "(?P<run>.+)"}, "steps": [step]}
    Ready.model_validate(whole)
    with pytest.raises(ValidationError, match="labels"):
        Ready.model_validate(whole | change)


def test_what_a_revocation_did_can_be_seen_by_a_probe() -> None:
    seen = {
        ready.id for ready in load_ready().values() if ready.rules and all(probe_of(rule) for rule in ready.rules[:1])
    }
    assert {"github-revoke", "aws-key-deactivate", "slack-revoke", "vault-revoke-self", "supabase-key-delete"} <= seen


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ('type = "magic"', "must be http, command, or one of"),
        ('type = "http"', "needs a url"),
        ('type = "http"\nurl = "http://api.example.org"', "unencrypted"),
        ('type = "http"\nurl = "https://{value}.example.org"', "must name its host"),
        ('type = "http"\nurl = "https://a.example"\ntimeout = "11m"', "must be from 100ms to 10m"),
        ('type = "command"\ncommand = ["/bin/true"]\ntimeout = "36500d"', "must be from 100ms to 10m"),
        ('type = "command"\ncommand = ["/bin/true"]\ntimeout = "0s"', "must be from 100ms to 10m"),
        ('type = "http"\nurl = "https://a.example"\nauth = "magic"', "must begin with one of"),
        ('type = "http"\nurl = "https://a.example"\nexpect = ["ok"]', "begins with a status"),
        ('type = "http"\nurl = "https://a.example"\ncommand = ["/bin/true"]', "only an action of type command"),
        ('type = "command"', "absolute path"),
        ('type = "command"\ncommand = ["revoke"]', "absolute path"),
        ('type = "command"\ncommand = ["/opt/revoke/{user}"]', "no hole"),
        ('type = "command"\ncommand = ["/bin/true"]\nurl = "https://a.example"', "only an action of type http"),
        ('type = "supabase-key-delete"', "needs a credential"),
        ('type = "github-revoke"\nautomatic = [\'severity="critical"\']', "which rule and which severity"),
        ('type = "github-revoke"\napprovals = 3', "approvals"),
        ('type = "github-revoke"\ncredential = "literal"', "reference"),
    ],
)
def test_what_is_wrong_is_said_under_its_key(lines: str, what: str) -> None:
    said = problems(f'[[actions]]\nname = "a"\n{lines}\n')
    assert what in said
    assert "actions[0]" in said


def test_names_are_unique() -> None:
    one = '[[actions]]\nname = "a"\ntype = "github-revoke"\n'
    assert "already the name of actions[0]" in problems(one + one)


def test_an_action_is_for_some_rules() -> None:
    assert action().fits("anything", {})
    assert action(rules=["acme-*"]).fits("acme-token", {})
    assert not action(rules=["acme-*"]).fits("github-pat", {})
    assert action(rules=["apify-token"]).fits("apify-api-token", {})  # by an id that the rule had
    assert action(rules=["apify-api-token"]).fits("apify-token", {})  # of an incident from then
    github = ActionConfig(name="a", type="github-revoke")
    assert github.fits("github-pat", {})
    assert not github.fits("openai-project-key", {})


def test_nothing_is_done_about_a_canary_unless_it_is_named() -> None:
    assert not action().fits("canary", {})
    assert not action(rules=["*", "can*"]).fits("canary", {})
    assert action(rules=["*", "canary"]).fits("canary", {})
    automatic = action(automatic=['severity="critical"', 'rule=~".*"'])
    assert not automatic.wants({"rule": "canary", "severity": "critical", "confidence": "high"})


def test_nothing_is_automatic_but_what_is_said_to_be() -> None:
    labels = {"rule": "github-pat", "severity": "critical", "confidence": "high"}
    assert not ActionConfig(name="a", type="github-revoke").wants(labels)
    chosen = ActionConfig.model_validate(
        {"name": "a", "type": "github-revoke", "automatic": ['severity="critical"', 'rule="github-pat"']}
    )
    assert chosen.wants(labels)
    assert not chosen.wants(labels | {"severity": "high"})
    assert not chosen.wants(labels | {"rule": "openai-project-key"})
    assert not chosen.wants(labels | {"confidence": "low"})


def test_the_longest_action_ends_before_it_is_given_up() -> None:
    requests = max(len(ready.steps) for ready in load_ready().values())
    assert requests * action(timeout="10m").timeout < actions._LONGEST / 1.5
