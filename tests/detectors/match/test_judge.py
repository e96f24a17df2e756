from __future__ import annotations

import pytest

from detectors.rules.rule import Requires
from detectors.rules.template import expand
from tests.detectors.texts import rule, worker


@pytest.mark.parametrize(
    ("fields", "text", "stage"),
    [
        ({}, b"key=changeme1234", "placeholder"),
        ({"stopwords": ("k3J9",)}, b"key=k3j9x2m4q8w1", "stopwords"),
        ({"allow": ("^k3",)}, b"key=k3j9x2m4q8w1", "allow"),
        ({"digits": 9}, b"key=k3j9x2m4q8w1", "digits"),
        ({"entropy": 3.9}, b"key=k3j9x2m4q8w1", "entropy"),
        ({"words": True}, b"key=configuration", "words"),
        ({"hashes": True}, b"sha256 key=" + b"0a1b2c3d" * 2 + b"9e8f7a6b5c4d3e2f", "hash"),
        ({"checksum": "base64"}, b"key=k3j9x2m4q8w1z", "checksum"),
        ({"requires": (Requires(pattern="account"),)}, b"key=k3j9x2m4q8w1", "requires"),
        ({}, b"key=k3j9x2m4q8w1", "accepted"),
    ],
)
def test_each_filter_names_its_stage(fields: dict[str, object], text: bytes, stage: str) -> None:
    subject = rule(r"key=(?P<secret>\w{8,64})", **fields)
    if stage == "hash":
        text = b"sha256 digest: key=9f86d081884c7d659a2feaa0c55ad015"
    (decision, *_) = worker(subject).explain(text)
    assert decision.stage == stage, decision
    assert decision.reason
    assert bool(worker(subject).scan(text)) == (stage == "accepted")


def test_a_near_miss_says_that_the_pattern_does_not_match() -> None:
    (decision,) = worker(rule(r"key=(?P<secret>\w{8})\W{2}", trigger="key=")).explain(b"key=short")
    assert (decision.accepted, decision.stage) == (False, "pattern")


def test_a_rejected_candidate_does_not_hide_the_real_one_after_it() -> None:
    subject = rule(r"key=(?P<secret>[\w=]{8,})", stopwords=("nope",))
    assert not worker(subject).scan(b"key=nope12345678")
    found = worker(subject).scan(b"key=nope12345678 key=k3j9x2m4")
    assert [m.secret for m in found] == [b"k3j9x2m4"]


@pytest.mark.parametrize(("confidence", "told"), [("medium", "high"), ("low", "low")])
def test_the_score_sets_the_confidence_unless_the_rule_says_low(confidence: str, told: str) -> None:
    subject = rule(r"api_key=(?P<secret>\w{8,64})", score=True, confidence=confidence)
    text = expand("api_key={alnum:24}", 7).encode()
    assert [m.confidence for m in worker(subject).scan(text)] == [told]


# --- companions


def test_a_companion_makes_a_finding_whole() -> None:
    ident = rule(r"(?P<secret>id_[a-z0-9]{8})", id="ident")
    need = rule(
        r"(?P<secret>sec_[a-z0-9]{12})", id="need", confidence="medium", requires=(Requires(rule="ident", within=64),)
    )
    alone = worker(ident, need)
    assert [m.rule.id for m in alone.scan(b"sec_k3j9x2m4q8w1")] == []
    found = {m.rule.id: m for m in alone.scan(b"id_q8w1z6v0 sec_k3j9x2m4q8w1")}
    assert found["need"].confidence == "high"
    assert found["need"].labels["ident"].endswith("[11]")
    assert "q8w1z6" not in str(dict(found["need"].labels))
    assert "need" not in {m.rule.id for m in alone.scan(b"id_q8w1z6v0" + b"." * 80 + b"sec_k3j9x2m4q8w1")}


def test_a_companion_can_be_bound_to_lines() -> None:
    subject = rule(r"(?P<secret>sec_[a-z0-9]{12})", requires=(Requires(pattern="account", lines=1),))
    assert worker(subject).scan(b"account 7\nsec_k3j9x2m4q8w1\n")
    assert not worker(subject).scan(b"account 7\n\nsec_k3j9x2m4q8w1\n")
    assert worker(subject).scan(b"sec_k3j9x2m4q8w1\nthe account\n")
