from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.rules.template import expand
from monitor.access.forms import FORMS
from monitor.access.reader import Reader
from monitor.domain.model import Block
from monitor.scanning.redact import Redactor
from tests.detectors import texts
from tests.fakes.audit import lines, month


def block(data: bytes, fresh: int = 0, limit: int | None = None, parts: tuple[tuple[int, Block], ...] = ()) -> Block:
    return Block("vault", "/audit.log", "g", 0, data, 0.0, fresh=fresh, limit=limit, parts=parts)


def reader(form: str = "vault") -> Reader:
    return Reader(form, lambda text: text)


def sample(count: int = 3) -> list[bytes]:
    return [line.encode() for line in lines(month(1)[:count], "id")]


def record(**changes: Any) -> dict[str, Any]:
    return {**json.loads(sample(1)[1]), **changes}


def test_the_lines_of_a_block_that_are_settled_are_read_once_each() -> None:
    found = reader()
    whole = b"\n".join(sample()) + b"\n"
    for cut in range(0, len(whole), 97):  # whatever the block, what ends in it is its own
        end = whole.rfind(b"\n", 0, cut) + 1
        found = reader()
        found.read(block(whole[:end]))
        found.read(block(whole, fresh=end))
        assert len(found.readings) == 3
    assert (found.lines, found.understood, found.malformed) == (6, 6, 0)


def test_a_line_without_its_end_counts_when_it_is_whole() -> None:
    first, second = sample()[1], sample()[3]
    found = reader()
    found.read(block(first + b"\n" + second))
    found.read(block(first + b"\n" + second[:-9]))
    found.read(block(first + b"\n" + second, limit=len(first) + 20))  # somebody is still writing
    assert (len(found.readings), found.malformed) == (4, 0)
    alone = [(0, block(second)), (900, block(b"no json"))]
    found.read(block(second + b"no json", parts=tuple(alone)))
    assert (len(found.readings), found.malformed) == (5, 1)


def test_what_is_in_front_of_a_record_does_not_matter() -> None:
    found = reader()
    for before in (b"<134>1 2026-10-05T00:00:00Z host vault - - - ", b"@cee: ", b"vault-audit "):
        found.read(block(before + sample()[1] + b"\n"))
    assert len(found.readings) == 3


def test_records_in_a_list_and_in_what_exports_put_around_it() -> None:
    found = reader()
    records = [json.loads(line) for line in sample()]
    for wrapped in (records, {"Records": records}, {"items": records, "cursor": "c", "has_more": False}):
        found.read(block(json.dumps(wrapped).encode() + b"\n"))
    assert len(found.readings) == 9
    without = [{**one, "request": {**one["request"], "id": ""}} for one in records]
    found = reader()
    found.read(block(json.dumps(without).encode() + b"\n"))
    assert len({one.id for one in found.readings}) == 3


def hostile() -> Iterator[bytes]:
    yield b"[" * 10_000 + b"]" * 10_000
    yield b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    yield b'{"type":"response","request":' + b"[" * 2000 + b"]" * 2000 + b"}"
    yield b"{" + b'"a":"' + b"x" * (2 << 20) + b'"}'
    yield b"\xff\xfe{\x00}"
    yield b'{"type":"response"'
    yield b"null"
    yield b"7"
    yield json.dumps([[], "x", None, 1e308, {"type": 1}]).encode()
    for value in (None, 7, -1, 1e400, True, [], {}, "x" * 100_000, [{}], {"data": []}, "\x00\x1b[31m\u202e"):
        for name in ("time", "type", "auth", "request", "response", "error"):
            yield json.dumps(record(**{name: value})).encode()
        for name in ("id", "path", "operation", "remote_address", "mount_point"):
            yield json.dumps(record(request={**record()["request"], name: value})).encode()


@pytest.mark.parametrize("form", FORMS)
def test_nothing_that_anybody_writes_stops_it_or_is_kept_as_it_came(form: str) -> None:
    found = reader(form)
    for line in hostile():
        found.read(block(line + b"\n"))
        found.read(block(line))
    for one in found.readings:
        for text in (one.secret, one.principal, one.address, one.agent, *one.names):
            assert len(text) <= 300
            assert text.isprintable()
        assert 0 <= one.at <= time.time() + 3601
        assert one.secret
        assert one.principal
    assert found.malformed


_WORDS = (
    *("type", "response", "request", "auth", "data", "time", "path", "operation", "read", "secret/data/x", "error"),
    *(
        "eventName",
        "GetSecretValue",
        "eventTime",
        "userIdentity",
        "arn",
        "requestParameters",
        "secretId",
        "eventSource",
    ),
    *("protoPayload", "methodName", "x.AccessSecretVersion", "resourceName", "projects/p/secrets/s", "status", "code"),
    *("operationName", "SecretGet", "properties", "id", "https://v.vault.azure.net/secrets/s", "httpStatusCode"),
    *("security.secret_read", "metadata", "secrets", "s", "user", "kind", "item_uuid", "timestamp", "headers", "sb"),
    *("event_message", '{"auth_event": {"actor_username": "service_role"}}', "2026-10-05T12:00:00Z", "Records"),
)
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(_WORDS) | st.text(max_size=8)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=6),
    max_leaves=25,
)


@settings(max_examples=60, deadline=None)
@given(_JSON)
def test_records_of_any_shape_are_read_or_refused(value: Any) -> None:
    for form in FORMS:
        found = reader(form)
        found.read(block(json.dumps(value).encode() + b"\n"))
        assert found.understood + found.malformed == found.lines == 1


def test_a_line_of_ten_megabytes_costs_itself_only() -> None:
    found = reader()
    line = b'{"a":"' + b"x" * (10 << 20) + b'"}\n'
    text = line + sample()[1] + b"\n"
    size = 1 << 20
    for start in range(0, len(text), size):
        piece = text[start : start + size]
        after = text[max(0, start - 100) : start] + piece
        last = start + size >= len(text)
        found.read(block(after, fresh=len(after) - len(piece), limit=None if last else len(after)))
    assert (len(found.readings), found.malformed) == (1, 1)


def test_no_secret_in_a_field_is_kept() -> None:
    value = expand("ghp_{alnum:30}{crc32}", 7)
    redact = Redactor(texts.engine().worker())
    found = Reader("vault", redact)
    request = {**record()["request"], "path": f"secret/data/{value}", "remote_address": value}
    answer = {"data": {"data": {value: "hmac-sha256:00"}}}
    found.read(block(json.dumps(record(request=request, response=answer, auth={"display_name": value})).encode()))
    [one] = found.readings
    assert value[8:] not in repr(one)
    assert one.secret.startswith("secret/ghp_")


def test_a_record_from_the_future_is_of_now() -> None:
    found = reader()
    found.read(block(json.dumps(record(time="9999-12-31T23:59:59Z")).encode()))
    assert found.readings[0].at <= time.time() + 3600
