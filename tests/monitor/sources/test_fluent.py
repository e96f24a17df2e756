from __future__ import annotations

import random
from typing import Any

import msgpack
import orjson
import pytest

from monitor.sources.fluent import from_msgpack
from monitor.sources.pushed import FormError

SECONDS = 1_700_000_000
EVENT_TIME = msgpack.ExtType(0, SECONDS.to_bytes(4, "big") + (123_000_000).to_bytes(4, "big"))
ITEM = {"log": 'password="<1>"\n', "kubernetes": {"pod_name": "pay-1", "host": "web-1"}}


@pytest.mark.parametrize(
    ("said", "logged"),
    [
        ([EVENT_TIME, ITEM], SECONDS + 0.123),
        ([[EVENT_TIME, {}], ITEM], SECONDS + 0.123),  # since version 2 of Fluent Bit
        ([SECONDS, ITEM], SECONDS),
        ([SECONDS + 0.5, ITEM], SECONDS + 0.5),
        ([msgpack.Timestamp(SECONDS, 5), ITEM], SECONDS),
        (ITEM, None),  # of Fluentd
        ([[-1, {}], ITEM], None),  # begins a group
    ],
)
def test_a_record_in_each_way_it_is_sent(said: Any, logged: float | None) -> None:
    first, second = from_msgpack(msgpack.packb(said) + msgpack.packb([SECONDS, {"log": "<2>"}]))
    assert first.text == orjson.dumps(ITEM)
    assert first.about == {"host": "web-1", "pod": "pay-1"}
    assert first.logged_at == (pytest.approx(logged, abs=1e-5) if logged else None)
    assert bool(first.stamp) == bool(logged)
    assert second.text == b'{"log":"<2>"}'
    assert not first.bad


def test_whatever_it_says_is_read() -> None:
    item = {
        b"bin <1>": b"<2>\xff",
        "list": ["<3>", {"deep": "<4>"}],
        5: "<5>",
        None: "<6>",
        "ext": msgpack.ExtType(9, b"<7>"),
    }
    body = msgpack.packb([[SECONDS, {"about": "<8>"}], item])
    twice = (
        b"\x92\x01\x82" + (msgpack.packb("password") + msgpack.packb("<9>")) + (msgpack.packb("password") + b"\xa4<10>")
    )
    other = msgpack.packb(["<11>", "<12>", "<13>"]) + msgpack.packb("<14>") + msgpack.packb({("a", "<15>"): 1})
    records = list(from_msgpack(body + twice + other))
    text = b"\n".join(record.text for record in records)
    assert [mark for mark in range(1, 16) if b"<%d>" % mark not in text] == []
    assert not any(record.bad for record in records)
    assert b'"password":"<9>"' in text
    assert b'"password":"<10>"' in text


def test_what_is_too_large_to_be_made_into_objects_is_searched_as_it_was_sent() -> None:
    item = {"a": "<1>", "log": "x" * 100_000 + "<2>", "password": "<3>"}
    [record] = from_msgpack(msgpack.packb([EVENT_TIME, item]))
    assert record.text.startswith(b'{"a":"<1>","password":"<3>"}\n')
    assert b"<2>" in record.text
    assert record.logged_at
    for odd in ([1, 2, "x" * 100_000 + "<2>"], "x" * 100_000 + "<2>", {"a": "x" * 100_000 + "<2>"}):
        [record] = from_msgpack(msgpack.packb(odd))
        assert b"<2>" in record.text


@pytest.mark.parametrize("bad", [b"\x92\xd7\xff" + b"\xff" * 8 + b"\xa3<1>", b"\x91" * 600 + b"\xa3<1>"])
def test_what_cannot_be_read_costs_no_other_record(bad: bytes) -> None:
    good = msgpack.packb([SECONDS, {"log": "<2>"}])
    records = list(from_msgpack(good + bad + good))
    assert [b"<1>" in record.text for record in records] == [False, True, False]
    assert [record.text for record in records if b"<2>" in record.text] == [b'{"log":"<2>"}'] * 2


@pytest.mark.parametrize("body", [b"\xc1", b"\x92\x01", msgpack.packb([1, {"log": "text"}])[:-1], b"\x91" * 2000])
def test_what_is_cut_off_or_no_msgpack(body: bytes) -> None:
    with pytest.raises(FormError):
        list(from_msgpack(body))


@pytest.mark.parametrize("seed", range(30))
def test_a_body_that_is_garbled_is_an_error_or_its_records_and_nothing_else(seed: int) -> None:
    rng = random.Random(seed)
    body = bytearray(msgpack.packb([EVENT_TIME, ITEM]) * 5)
    for _ in range(rng.randrange(1, 6)):
        body[rng.randrange(len(body))] = rng.randrange(256)
    try:
        list(from_msgpack(bytes(body)))
    except FormError as error:
        assert "msgpack" in str(error)  # noqa: PT017
