"""Values found by an anchor and a fingerprint, in every form that logs give them."""

from __future__ import annotations

import base64
import html
import json
import random
import re
import string
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote, quote_plus

import pytest

from detectors.fingerprint import fingerprint, mask
from detectors.match.engine import Engine
from detectors.match.exact import OWN, Anchor, Exact, anchor, settled
from detectors.match.outcome import CandidateDecision, Match
from detectors.rules.rule import Rule
from detectors.rules.template import expand
from tests.detectors import texts

KEY = b"k" * 32
MIXED = string.ascii_letters + string.digits
RANDOM = random.Random(11)
BODY = "\n".join(base64.b64encode(RANDOM.randbytes(48)).decode() for _ in range(6))
PEM = f"-----BEGIN {'PRIVATE'} KEY-----\n{BODY}\n-----END {'PRIVATE'} KEY-----"
VALUES = [
    *("".join(RANDOM.choices(MIXED, k=size)) for size in (12, 14, 20, 40, 88)),
    *("".join(RANDOM.choices(MIXED + '!@#$%/+&" \\<>', k=40)) for _ in range(6)),
    "".join(RANDOM.choices("0123456789abcdef", k=64)),
    "pä" + "".join(RANDOM.choices(MIXED, k=30)) + "ß",
    "".join(RANDOM.choices(MIXED, k=65_536)),
    PEM,
    # Of which no piece is free of what is escaped.
    *("".join(RANDOM.choices("aB3" + '!@#$%/+&" \\<>', k=16)) for _ in range(30)),
]


def exact(values: list[bytes], width: int = 8) -> Exact:
    return Exact([anchor(value, fingerprint(KEY, value), width, KEY) for value in values], KEY)


def forms(value: bytes) -> Iterator[tuple[str, bytes]]:
    yield "raw", value
    yield "hex", value.hex().encode()
    yield "HEX", value.hex().upper().encode()
    for shift in range(3):
        text = base64.b64encode(b"abc"[:shift] + value)
        yield f"base64 {shift}", text
        yield f"base64 {shift}, no padding", text.rstrip(b"=")
        yield f"base64 {shift}, in the midst", base64.b64encode(b"abc"[:shift] + value + b"and more")
        yield f"base64 {shift}, of addresses", base64.urlsafe_b64encode(b"abc"[:shift] + value)
    text = value.decode()
    yield "percent", quote(text, safe="").encode()
    lower = re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quote(text, safe=""))
    yield "percent, lower case", lower.encode()
    yield "form", quote_plus(text).encode()
    yield "percent twice", quote(quote(text, safe=""), safe="").encode()
    yield "HTML", html.escape(text).encode()
    yield "JSON", json.dumps(text).encode()
    yield "JSON as it is", json.dumps(text, ensure_ascii=False).encode()
    yield "JSON in JSON", json.dumps(json.dumps(text)).encode()


@pytest.mark.parametrize("width", [4, 8])
def test_every_value_is_found_once_in_every_form(width: int) -> None:
    values = [value.encode() for value in VALUES]
    worker = exact(values, width).worker()
    for value in values:
        for name, form in forms(value):
            found = worker.search(b"2026-11-02 INFO x=" + form + b" and so on")
            assert [one.fingerprint for one in found] == [fingerprint(KEY, value)], f"{name} of {value[:12]!r}"
            assert found[0].value == value or name.startswith("JSON")


def test_bytes_that_are_no_text_are_found_raw_in_base64_and_in_hex() -> None:
    values = [RANDOM.randbytes(32) for _ in range(20)]
    worker = exact(values).worker()
    for value in values:
        for form in (base64.b64encode(value), base64.b64encode(b"a" + value), value.hex().encode()):
            assert [one.value for one in worker.search(b"x=" + form + b"\n")] == [value]


def test_what_only_shares_the_anchor_is_not_found() -> None:
    value = VALUES[3].encode()
    one = anchor(value, fingerprint(KEY, value), 8, KEY)
    worker = Exact([one], KEY).worker()
    for other in (one.piece, value[:-1], value[1:], value[:-1] + b"\0", value.swapcase()):
        assert worker.search(b"x " + other + b" x") == []
    assert worker.search(b"") == []
    assert Exact([], KEY).worker().search(value) == []


def test_values_that_share_an_anchor_are_told_apart() -> None:
    stem = VALUES[2].encode()
    values = [stem + tail for tail in (b"", b"Q7", b"Z2x")]
    found = exact(values).worker().search(b"a " + b" b ".join(values) + b" c")
    assert {one.value for one in found} == set(values)


def test_an_anchor_is_plain_is_not_where_tokens_begin_and_depends_on_the_key() -> None:
    value = b"acme_live_" + VALUES[3].encode()
    one = anchor(value, fingerprint(KEY, value), 8, KEY)
    assert value[one.at :].startswith(one.piece)
    assert one.at >= len(value) // 4
    assert one.piece.isalnum()
    assert "piece" not in repr(one)
    assert anchor(b"0123ffff" + b"0123456789" * 4, "f", 8, KEY).at == 0  # hex has no beginning of its own
    places = {anchor(b"aB3" * 12, "f", 4, bytes([number])).at for number in range(20)}
    assert len(places) > 3


def test_anchors_of_one_kind_end_alike() -> None:
    def ends(alphabet: str) -> list[bytes]:
        values = ["".join(RANDOM.choices(alphabet, k=40)).encode() for _ in range(50)]
        return [anchor(value, fingerprint(KEY, value), 8, KEY).piece[-2:] for value in values]

    assert all(chr(end[-1]) in string.ascii_lowercase[6:] for end in ends(MIXED))
    assert sum(chr(end[0]) in string.ascii_uppercase[6:] for end in ends(MIXED)) > 40
    assert all(chr(end[-1]) in "9abcdef" for end in ends("0123456789abcdef"))
    assert all(chr(end[-1]) in "56789" for end in ends(string.digits))


def test_in_base64_whole_groups_of_the_anchor_are_looked_for() -> None:
    one = Anchor("f", b"Ab3dEf7h", 8, 32)
    literals = Exact([one], KEY).literals
    inside = [text for text in literals if text not in (one.piece, one.piece.hex()[:8].encode())]
    assert [base64.b64decode(text) for text in inside] == [b"Ab3dEf", b"3dEf7h", b"b3dEf7"]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return texts.engine()


def test_beside_rules_each_secret_is_told_once(engine: Engine) -> None:
    token, plain = expand("ghp_{alnum:30}{crc32}", 3).encode(), VALUES[3].encode()
    worker = engine.beside(exact([token, plain])).worker()
    text = b"token %b refused, then %b\n" % (token, plain)
    found = worker.search(text)
    assert [(match.rule.id, match.secret) for match in found.matches] == [("github-pat", token), (OWN.id, plain)]
    assert plain[:4] not in found.matches[1].masked.encode()
    assert found.matches[0].masked == mask(token, ("ghp_",))
    assert any(start <= text.index(plain) < end for start, end in found.hidden)
    assert [match.rule.id for match in engine.worker().scan(text)] == ["github-pat"]


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("text", ["the value is {}\r\n", "значение “{}” здесь\r\n", "sent as {64} of it\r\n"])
def test_ours_is_found_in_utf_16(engine: Engine, order: str, text: str) -> None:
    value = VALUES[3].encode()
    worker = engine.beside(exact([value])).worker()
    coded = base64.b64encode(value).decode()
    data = text.replace("{}", value.decode()).replace("{64}", coded).encode(f"utf-16-{order}")
    [found] = worker.scan(data)
    assert (found.rule.id, found.secret, found.decode[0]) == (OWN.id, value, "utf16")
    assert data[found.start : found.end].replace(b"\0", b"") in (value, coded.rstrip("=").encode(), coded.encode())


def test_where_a_rule_takes_another_part_ours_wins(engine: Engine) -> None:
    value = VALUES[3].encode()
    worker = engine.beside(exact([value])).worker()
    [found] = worker.scan(b'password = "x' + value + b'9"\n')
    assert (found.rule.id, found.secret) == (OWN.id, value)
    [same] = worker.scan(b'password = "' + value + b'"\n')
    assert (same.rule.id, same.secret) == ("generic-password-quoted", value)


def test_only_what_is_new_in_a_block_counts(engine: Engine) -> None:
    value = VALUES[3].encode()
    text = value + b" " + value
    worker = engine.beside(exact([value])).worker()
    assert [match.start for match in worker.scan(text, 40, None)] == [41]
    assert [match.start for match in worker.scan(text, 0, 40)] == [0]
    assert engine.beside(None) is engine


def test_what_another_rule_takes_from_the_rule_that_found_ours_is_still_ours() -> None:
    value = VALUES[3].encode()
    rules = [
        Rule("narrow", "narrow", pattern=r"key=([A-Za-z0-9]{40})", severity="low"),
        Rule("wide", "wide", pattern=r"key=([A-Za-z0-9]{40}-east)", severity="low", priority=500),
    ]
    worker = Engine.build(rules).beside(exact([value])).worker()
    assert [(match.rule.id, match.secret) for match in worker.scan(b"key=%b-east\n" % value)] == [(OWN.id, value)]
    assert [match.rule.id for match in worker.scan(b"key=%b-west\n" % value)] == ["narrow"]


@pytest.mark.timeout(300)  # each held against each would take many minutes
def test_one_that_stands_in_every_line_costs_each_line_the_same() -> None:
    value = VALUES[3].encode()
    rule = Rule("keys", "keys", pattern=r"key=([A-Za-z0-9]{40})", severity="low")
    match = Match(rule, 4, 44, value, "…", "low", "high")
    decided = []
    for at in range(0, 30_000 * 45, 45):
        for which in (rule, OWN):
            one = replace(match, rule=which, start=at + 4, end=at + 44)
            decided.append((CandidateDecision(which, one.start, one.end, True, "accepted", "", one), one.end))
    assert {one.rule.id for one, _ in settled(decided)} == {"keys"}
