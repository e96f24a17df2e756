from __future__ import annotations

import pytest

from monitor.common.condition import amount, sink_state, size, source_state, source_trouble, span


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (123_456, "123 KB"), (5e9, "5.0 GB"), (7e15, "7000.0 TB")],
)
def test_bytes(count: float, words: str) -> None:
    assert size(count) == words


def test_seconds() -> None:
    assert [span(seconds) for seconds in (-1, 0.44, 70, 7200)] == ["0.0 s", "0.4 s", "1 min", "2 h"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sent": None}, "not known"),
        ({}, "nothing sent yet"),
        ({"sent": 3}, "works"),
        ({"sent": 3, "refusing": "401"}, "refuses everything: 401"),
        ({"sent": 3, "failing": 2, "last_error": "503"}, "2 failures in a row: 503"),
        ({"sent": 3, "failing": 2, "last_error": "503", "rests_until": 1060.0}, "takes nothing for 1 min: 503"),
    ],
)
def test_a_sink(changes: dict[str, object], words: str) -> None:
    known = {"sent": 0, "refusing": None, "rests_until": None, "failing": 0, "last_error": None}
    assert sink_state(known | changes, 1000.0) == words


@pytest.mark.parametrize(
    ("changes", "trouble", "words"),
    [
        ({}, False, "reads"),
        ({"last_success": None}, False, "nothing read yet"),
        ({"problems": {"/a": "denied"}}, True, "/a: denied"),
        ({"problems": {"/a": "denied", "/b": "gone"}}, True, "/a: denied; and 1 more"),
        ({"failed": {"at": 940.0, "error": "OSError"}}, True, "started again 1 min ago after OSError, 2 times"),
        ({"failed": {"at": 1.0, "error": "OSError"}}, False, "reads"),
    ],
)
def test_a_source(changes: dict[str, object], trouble: bool, words: str) -> None:
    known = {"problems": {}, "last_success": 1.0, "restarts": 2, "failed": None} | changes
    assert source_trouble(known, 1000.0) is trouble
    assert source_state(known, 1000.0).startswith(words)


def test_a_loss() -> None:
    assert amount({"count": 0, "unknown": 1, "unit": "bytes"}) == "?"
    assert amount({"count": 1042, "unknown": 1, "unit": "bytes"}) == "1,042 bytes and more"
