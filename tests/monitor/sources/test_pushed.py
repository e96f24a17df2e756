from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from monitor.sources import pushed as module
from monitor.sources.pushed import FormError, Pushed, blocks, bounded, identity, packed_json

KEY = b"k" * 32


def generations(*records: Pushed, key: bytes = KEY) -> list[str]:
    return [block.generation for block in blocks("s", key, records)]


def test_what_is_sent_again_is_the_same_and_what_is_there_twice_is_there_twice() -> None:
    first, second = Pushed(b"a", "p", stamp=b"1"), Pushed(b"b", "p", stamp=b"1")
    once = generations(first, second, first)
    assert len(set(once)) == 3
    assert generations(first, first) == [once[0], once[2]]
    assert generations(second) == [once[1]]
    others = (Pushed(b"a", "p", stamp=b"2"), Pushed(b"a", "q", stamp=b"1"), Pushed(b"a1", "p", stamp=b""))
    assert not set(generations(*others)) & set(once)


def test_who_knows_the_text_cannot_tell_it_from_the_identity() -> None:
    assert generations(Pushed(b"a", "p", stamp=b"1")) != generations(Pushed(b"a", "p", stamp=b"1"), key=b"x" * 32)


def test_parts_that_are_cut_otherwise_are_others() -> None:
    assert identity(KEY, b"a", b"b") == identity(KEY, b"a", b"b")
    assert (
        len({identity(KEY, b"ab", b""), identity(KEY, b"a", b"b"), identity(KEY, b"", b"ab"), identity(KEY, b"ab")})
        == 4
    )


def test_without_a_time_of_its_own_a_text_is_the_same_for_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_800_000_000.0]

    class Clock:
        @staticmethod
        def time() -> float:
            return now[0]

    monkeypatch.setattr(module, "time", Clock)
    first, timed = generations(Pushed(b"a", "p")), generations(Pushed(b"a", "p", stamp=b"1"))
    now[0] += 599
    assert generations(Pushed(b"a", "p")) == first
    now[0] += 2
    assert generations(Pushed(b"a", "p")) != first
    assert generations(Pushed(b"a", "p", stamp=b"1")) == timed


@pytest.mark.parametrize("logged", [-1.0, 0.0, 1e300, float("nan"), float("inf"), 4102444800.0, None])
def test_a_time_that_cannot_be_is_none(logged: float | None) -> None:
    [block] = blocks("s", KEY, [Pushed(b"a", "p", logged_at=logged)])
    assert block.logged_at is None
    [block] = blocks("s", KEY, [Pushed(b"a", "p", logged_at=time.time() - 5)])
    assert block.logged_at is not None


def test_nothing_is_no_record() -> None:
    assert not generations(Pushed(b"", "p"), Pushed(b" \n", "p"))


def nested(levels: int) -> Any:
    value: Any = "end"
    for _ in range(levels):
        value = [value]
    return value


def test_json_of_any_depth_or_an_error() -> None:
    assert packed_json({"a": "ä"}) == '{"a":"ä"}'.encode()
    assert packed_json(nested(400)).count(b"[") == 400
    assert orjson.loads(packed_json({"half": "\ud800", "big": 1 << 70}).replace(b"\\ud800", b""))
    with pytest.raises(FormError, match="deeply"):
        packed_json(nested(100_000))


def test_facts_are_texts_or_numbers_and_the_first_of_a_name_counts() -> None:
    facts = (("a", None), ("a", ""), ("a", "x" * 1000), ("a", "second"), ("b", 7), ("c", ["no"]), ("d", {}))
    assert bounded(facts) == {"a": "x" * 1000, "b": "7"}


def test_a_key_line_by_line_is_seen_whole_too() -> None:
    lines = [b"-----BEGIN RSA PRIVATE KEY-----", b"A" * 64, b"-----END RSA PRIVATE KEY-----"]
    records = [Pushed(line, path) for line in lines for path in ("p", "q")]
    found = list(blocks("s", KEY, records))
    keys = [block for block in found if block.generation.endswith("-key")]
    assert [block.path for block in keys] == ["p", "q"]
    assert len(found) == len(records) + 2
