from __future__ import annotations

import random
from typing import Any

import orjson
import pytest

from monitor.sources import pieces as module
from monitor.sources.pieces import Json, fields, light, parsed, split
from monitor.sources.pushed import FormError
from tests.fakes.bombs import inside


def whole(at: Json) -> Any:
    """What stands there, read by its pieces alone."""
    if at.begins(b"["):
        return [whole(at) for _ in at.items()]
    if at.begins(b"{"):
        return {name: whole(at) for name in at.members()}
    return orjson.loads(at.body[slice(*at.span())])


def anything(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(6 if depth < 5 else 4)
    if kind == 4:
        return [anything(rng, depth + 1) for _ in range(rng.randrange(5))]
    if kind == 5:
        return {f"{n}{rng.choice(TEXTS)}": anything(rng, depth + 1) for n in range(rng.randrange(5))}
    return (rng.choice(TEXTS), rng.random(), None, rng.choice((True, 12, -3)))[kind]


TEXTS = ["", "a", '"', "\\", '\\"', "[{", "]}", "a,b:c", "\n", "é\U0001f600", "\\\\"]


def test_pieces_are_what_a_parser_reads() -> None:
    rng = random.Random(7)
    for number in range(300):
        value = anything(rng)
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if number % 2 else 0)
        at = Json(text)
        if isinstance(value, list | dict):
            # Names are handed out as they are written.
            assert orjson.dumps(parsed(text, [])) == orjson.dumps(value)
            assert not isinstance(value, list) or len(list(at.items())) == len(value)
            assert at.at == len(text) or not isinstance(value, list)
        at = Json(text)
        assert text[slice(*at.span())] == text
        assert not at.more()


def test_each_item_and_member_is_read_or_passed_over() -> None:
    assert whole(Json(b' {"a": [1, {"b": [] , "c": {}}, "x"], "d": null }')) == {
        "a": [1, {"b": [], "c": {}}, "x"],
        "d": None,
    }
    at = Json(b'{"a": [1, 2], "b": 3}')
    assert list(at.members()) == ["a", "b"]
    at.end()
    assert list(Json(b"null").items()) == list(Json(b"null").members()) == []


@pytest.mark.parametrize(
    "text", [b"", b"[", b'{"a"', b'{"a":', b'{"a":1', b"[1 2]", b"{1:2}", b'"x', b"[1,", b"{} x", b","]
)
def test_what_is_no_json_is_an_error(text: bytes) -> None:
    at = Json(text)
    with pytest.raises(FormError):  # noqa: PT012
        whole(at)
        at.end()


def test_a_value_with_too_much_in_it_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BRACKETS", 10)
    assert Json(b"[" * 5 + b"]" * 5).span() == (0, 10)
    with pytest.raises(FormError, match="too much"):
        Json(b"[" * 6 + b"]" * 6).span()


def test_what_may_be_made_into_objects() -> None:
    assert light(b"[1,2]", 0, 5)
    assert not light(b"[" + b"[]," * 30_001 + b"]", 0, 90_005)
    assert not light(b'"' + b"a" * 300_000 + b'"', 0, 300_002)


def test_values_of_a_name_that_comes_again() -> None:
    more: list[dict[str, Any]] = []
    assert parsed(b'{"a":1,"b":{"c":2,"c":3},"a":4}', more) == {"a": 4, "b": {"c": 3}}
    assert more == [{"c": 2}, {"a": 1}]


def test_fields_of_a_message() -> None:
    body = inside(1, b"abc") + b"\x10\x96\x01" + b"\x19" + bytes(8) + b"\x25" + bytes(4) + inside(15, b"")
    assert [(number, body[content:end]) for number, _, content, end in fields(body, 0, len(body))] == [
        (1, b"abc"),
        (2, b""),
        (3, b""),
        (4, b""),
        (15, b""),
    ]
    assert b"".join(body[begin:end] for _, begin, _, end in fields(body, 0, len(body))) == body
    for cut in range(1, len(body)):
        read = 0
        try:
            read = sum(end - begin for _, begin, _, end in fields(body[:cut], 0, cut))
        except FormError:
            continue
        assert read == cut
    for odd in (b"\x0b", b"\xff" * 11, b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"):
        with pytest.raises(FormError):
            list(fields(odd, 0, len(odd)))


def test_a_large_message_is_its_small_fields_and_a_rest() -> None:
    small, large = inside(1, b"small"), inside(2, b"x" * 70_000)
    assert split(small, 0, len(small)) == (small, b"")
    body = large + small + b"\x18\x01"
    assert split(body, 0, len(body)) == (small + b"\x18\x01", b"x" * 70_000 + b"\n")
