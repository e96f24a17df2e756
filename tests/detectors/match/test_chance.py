from __future__ import annotations

import base64
import random

import pytest

from detectors.match.chance import by_chance, unwritten
from detectors.match.filters import _PATH, _random, placeholder
from tests.detectors.texts import engine

LITERAL = b"ghp_"


def placed(before: bytes, behind: bytes) -> tuple[bytes, int, int]:
    """Encoded text with the literal between the two, the group it begins in, and the end of its whole characters."""
    encoded = base64.b64encode(before + LITERAL + behind)
    return encoded, len(before) // 3 * 4, (len(before) + len(LITERAL)) * 8 // 6


@pytest.mark.parametrize("lead", range(3))
def test_random_bytes_on_both_sides_are_chance(lead: int) -> None:
    rng = random.Random(lead)
    told = [by_chance(*placed(rng.randbytes(30 + lead), rng.randbytes(40))) for _ in range(2000)]
    assert sum(told) > 1970


@pytest.mark.parametrize("lead", range(3))
@pytest.mark.parametrize("size", [0, 1, 2, 5, 30])
def test_text_on_either_side_is_none(lead: int, size: int) -> None:
    noise, text = random.Random(size).randbytes(40), b"0123456789abcdefghij"
    assert not by_chance(*placed(noise[:size] + b"x" * lead, text))
    assert not by_chance(*placed(noise[: size + lead], text + noise))
    assert not by_chance(*placed(noise[:size] + text + b"x" * lead, noise))


def test_the_end_of_what_is_encoded_is_none() -> None:
    noise = random.Random(1).randbytes(40)
    for size in range(6):
        assert not by_chance(*placed(noise, noise[:size]))
    encoded, group, end = placed(noise, noise)
    assert not by_chance(encoded[:end] + b"\n" + encoded[end:], group, end)
    assert not by_chance(encoded[group - 4 :], 4, end - group + 4)


def test_a_long_literal_is_none() -> None:
    encoded, group, end = placed(random.Random(1).randbytes(30), random.Random(2).randbytes(40))
    assert by_chance(encoded, group, end)
    assert not by_chance(encoded, group, end + 12)


def test_a_token_amid_bytes_that_are_no_text_is_found() -> None:
    # As in a message of protobuf: a length before it and another field behind.
    token = b"xoxb-" + b"-".join(
        (b"194732865108", b"284756193027", bytes(random.Random(5).choices(b"abcXYZ019", k=24)))
    )
    for lead in range(3):
        data = (
            b'{"body":"'
            + base64.b64encode(b"\x00\x92\xff\x08" * 6 + b"\x0a" * lead + token + b"\x12\x00\xfe" * 9)
            + b'"}'
        )
        assert any(token in match.secret for match in engine().worker().scan(data))


def test_letters_in_a_row_and_slashes_come_by_chance_in_what_is_random() -> None:
    assert placeholder(b"j+iMmJwI2kg+mxxxxez+Va8NGap5EJz3") is None
    assert all(map(placeholder, (b"sk-proj-xxxxxxxxxxxxxxxxxxxxxxxx", b"abcdxxxxefgh", b"AKIAxxxx-xxxx-xxxx-1234")))
    chance = random.Random(9)
    encoded = [base64.b64encode(chance.randbytes(24)) for _ in range(20_000)]
    looks = [value for value in encoded if _PATH.fullmatch(value)]
    assert len(looks) > 800
    assert all(unwritten(value) or _random(value, 10.0) for value in looks)
    paths = (b"Users/Kim/Projects/Acme2/build", b"/srv/app/releases/7Fq2xKp9/Zr4", b"k8S/V2/f5Ven/prod/keyRing9abc")
    assert not any(map(unwritten, paths))
