from __future__ import annotations

from array import array
from typing import Any

import orjson
import pytest

from monitor.sources.hec import HEALTHY, NO_RECEIPTS, answer, from_events, refusal
from monitor.sources.pushed import BodyCounter, blocks

# As the exporters of the OpenTelemetry Collector, Vector and Docker send them.
EVENTS = [
    {
        "time": 1700000000.123,
        "host": "web-1",
        "source": "/var/log/pay.log",
        "sourcetype": "pay",
        "event": "refused <1>",
    },
    {
        "time": "1700000001",
        "event": {"message": "<2>", "level": "error"},
        "fields": {"k8s.pod.name": "pay-1", "service": "pay"},
    },
    {"event": {"line": "<3>", "tag": "x"}, "source": "stdout", "index": "main"},
]


def test_events_one_behind_another() -> None:
    texts = [orjson.dumps(event) for event in EVENTS]
    for body in (b"".join(texts), b"\n".join(texts) + b"\r\n", b" [" + b",".join(texts) + b"]\n"):
        records = list(from_events(body))
        assert [record.text for record in records] == texts
        assert [record.path for record in records] == ["/var/log/pay.log", "pay", "stdout"]
        assert records[0].about == {"service": "pay", "host": "web-1"}
        assert records[1].about == {"service": "pay", "level": "error"}
        assert [record.logged_at for record in records] == [1700000000.123, 1700000001.0, None]
        assert [bool(record.stamp) for record in records] == [True, True, False]
        assert not any(record.bad for record in records)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"plain <1>", 6),
        (b'{"event": "<1>"', 6),
        (b'"<1>"', 6),
        (b'{"event": <1>}', 6),
        (b'{"fields": {"a": "<1>"}}', 12),
        (b'{"event": null, "a": "<1>"}', 12),
        (b'{"event": "", "a": "<1>"}', 13),
    ],
)
def test_what_is_no_event_is_read_all_the_same_and_told(bad: bytes, code: int) -> None:
    counter = BodyCounter()
    found = list(blocks("s", b"k" * 32, from_events(b'{"event":"<0>"}' + bad), counter))
    assert b"<1>" in found[-1].data
    status, said = answer(counter)
    assert status == 400
    assert orjson.loads(said) == {"text": orjson.loads(said)["text"], "code": code, "invalid-event-number": 1}


def test_a_large_event_is_read_whole() -> None:
    [record] = from_events(orjson.dumps({"event": "x" * 400_000 + "<1>"}))
    assert b"<1>" in record.text
    assert not record.bad


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (answer(BodyCounter(records=2)), (200, {"text": "Success", "code": 0})),
        (answer(BodyCounter()), (400, {"text": "No data", "code": 5})),
        (
            answer(BodyCounter(2, "format", array("L", [1]))),
            (400, {"text": "Invalid data format", "code": 6, "invalid-event-number": 1}),
        ),
        (refusal(401, False), (401, {"text": "Token is required", "code": 2})),
        (refusal(401, True), (403, {"text": "Invalid token", "code": 4})),
        (refusal(503, True), (503, {"text": "Server is busy", "code": 9})),
        (refusal(500, True), (500, {"text": "Internal server error", "code": 8})),
        ((200, HEALTHY), (200, {"text": "HEC is healthy", "code": 17})),
        ((400, NO_RECEIPTS), (400, {"text": "ACK is disabled", "code": 14})),
    ],
)
def test_answers_that_splunk_documents(said: tuple[int, bytes], wanted: tuple[int, Any]) -> None:
    assert (said[0], orjson.loads(said[1])) == wanted
