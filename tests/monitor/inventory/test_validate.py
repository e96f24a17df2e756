"""Which values may be enrolled."""

from __future__ import annotations

import random
import string

import pytest

from detectors.rules.template import expand
from monitor.inventory.validate import LARGEST, LEAST_BITS, alphabet, bits, refusal

MIXED = (string.ascii_letters + string.digits).encode()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "empty"),
        (b"Xk29fQ", "shorter"),
        (b"x" * (LARGEST + 1), "longer"),
        (b"changeme-changeme", "placeholder"),
        (b"${DATABASE_PASSWORD}", "expression"),
        (b"change-me", "placeholder"),
        (b"correct horse battery staple", "words"),
        (b"correct-horse-battery", "words"),
        (b"production-database", "words"),
        (b"https://app.acme-corp.net/login", "words"),
        (b"info,debug,warning,error", "guess"),
        (b"Summer2024!!", "guess"),
        (b"192168001002", "guess"),
        (b"Xk29fQ81mZ" * 2, "guess"),
        (b"us-east-1,us-west-2,eu-central-1", "guess"),
        (b"gpt-4o-mini-2024-07-18", "guess"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB", "public"),
        (b"sb_publishable_" + b"Xk29fQ81mZ", "public"),
    ],
)
def test_what_could_be_guessed_is_refused_and_not_quoted(value: bytes, why: str) -> None:
    said = refusal(value)
    assert said is not None
    assert why in said
    assert not value or value.decode() not in said


def test_random_values_of_every_class_are_taken() -> None:
    source = random.Random(1)
    refused = 0
    for _ in range(500):
        for alphabet_, size in ((MIXED, 14), (MIXED, 40), (b"0123456789abcdef", 32), (bytes(range(256)), 32)):
            refused += refusal(bytes(source.choices(alphabet_, k=size))) is not None
    assert refused < 6
    assert refusal(source.randbytes(LARGEST)) is None
    for template in ("hooks.example/{alnum:9}/{alnum:24}", "{hex:8}-{hex:4}-4{hex:3}-a{hex:3}-{hex:12}"):
        assert refusal(b"https://" + expand(template, 3).encode().replace(b"example", b"acme")) is None


def test_hardly_a_random_value_of_some_length_is_refused() -> None:
    source = random.Random(7)
    for alphabet_, size in ((MIXED, 24), (MIXED, 32), (MIXED, 40), (b"0123456789abcdef", 32)):
        assert sum(refusal(bytes(source.choices(alphabet_, k=size))) is not None for _ in range(1000)) <= 1


def test_words_count_for_little_and_random_characters_for_what_they_are() -> None:
    assert bits(b"dragonfly monkey tuesday") < LEAST_BITS
    assert 60 < bits(b"kX9#mQ2$vL7!") < 90
    assert 200 < bits(bytes(random.Random(2).choices(MIXED, k=40))) < 260


@pytest.mark.parametrize(
    ("value", "name"),
    [(b"0123", "digits"), (b"af09", "hex"), (b"aF09", "letters and digits"), (b"a/F=", "base64"), (b"\xff", "bytes")],
)
def test_the_class_of_characters_is_named(value: bytes, name: str) -> None:
    assert alphabet(value) == name
