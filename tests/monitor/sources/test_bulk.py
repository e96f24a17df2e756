from __future__ import annotations

from typing import Any

import orjson
import pytest

from monitor.sources.bulk import ABOUT, HEADERS, HEALTH, LICENSE, Bulk, refusal
from monitor.sources.pushed import BodyCounter, FormError, blocks

# As Filebeat sends it.
DOCUMENT = {
    "@timestamp": "2026-11-02T10:00:00.000Z",
    "message": "refused <1>",
    "log": {"offset": 7, "file": {"path": "/var/log/pay.log"}},
    "host": {"name": "web-1"},
    "agent": {"type": "filebeat"},
}


def lines(*items: Any) -> bytes:
    return b"".join((item if isinstance(item, bytes) else orjson.dumps(item)) + b"\n" for item in items)


def read(body: bytes) -> tuple[list[bytes], dict[str, Any]]:
    """What is searched, and the answer."""
    asked, counter = Bulk(), BodyCounter()
    texts = [bytes(block.data) for block in blocks("s", b"k" * 32, asked.read(body), counter)]
    return texts, orjson.loads(asked.answer(counter, 3))


def test_documents_with_their_actions() -> None:
    index = {"create": {"_index": "logs-pay", "_id": "<2>"}}
    records = list(Bulk().read(lines(index, DOCUMENT)))
    assert [record.text for record in records] == [lines(index, DOCUMENT)[:-1]]
    assert records[0].path == "/var/log/pay.log"
    assert records[0].about == {"host": "web-1"}
    assert records[0].stamp


def test_each_action_has_its_answer() -> None:
    body = lines({"index": {}}, {"a": "<1>"}, {"create": {}}, {"a": "<2>"}, b"", {"delete": {"_id": "<3>"}})
    texts, said = read(body + lines({"update": {"_id": "4"}}, {"doc": {"a": "<4>"}}))
    assert [b"<%d>" % mark in text for mark, text in enumerate(texts, 1)] == [True] * 4
    assert (said["took"], said["errors"]) == (3, False)
    assert [(*item, next(iter(item.values()))["status"]) for item in said["items"]] == [
        ("index", 201),
        ("create", 201),
        ("delete", 404),
        ("update", 200),
    ]


def test_a_document_that_is_none_costs_no_other_one() -> None:
    texts, said = read(
        lines({"index": {}}, {"a": "<1>"}, {"index": {}}, b"<2>", {"index": {}}, {"a": "<3>"}, {"index": {}})
    )
    assert [b"<%d>" % mark in text for mark, text in enumerate(texts[:3], 1)] == [True] * 3
    assert said["errors"] is True
    assert [item["index"]["status"] for item in said["items"]] == [201, 400, 201, 400]
    assert said["items"][1]["index"]["error"]["type"] == "document_parsing_exception"


@pytest.mark.parametrize("line", [b"<2>", b'{"a": 1, "b": 2}', b"[]", b'{"drop": {}}', b"{}"])
def test_a_line_that_is_no_action_ends_it_and_the_rest_is_read_as_lines(line: bytes) -> None:
    records = Bulk().read(lines({"index": {}}, {"a": "<1>"}, line, b"<3>"))
    assert [next(records).text for _ in range(3)][1:] == [line, b"<3>"]
    with pytest.raises(FormError, match="no action"):
        next(records)


def test_what_clients_ask_before_they_send() -> None:
    assert HEADERS == {"X-Elastic-Product": "Elasticsearch"}
    said = orjson.loads(ABOUT)
    assert said["version"]["number"].startswith("8.")
    assert said["version"]["build_flavor"] == "default"
    assert said["tagline"] == "You Know, for Search"
    assert orjson.loads(LICENSE)["license"]["status"] == "active"
    assert orjson.loads(HEALTH)["status"] == "green"


def test_refusals() -> None:
    assert orjson.loads(refusal(413, "too large\n")) == {
        "error": {"type": "content_too_large_exception", "reason": "too large"},
        "status": 413,
    }
    assert orjson.loads(refusal(503, "x"))["error"]["type"] == "es_rejected_execution_exception"
