"""Where the findings of other scanners stand."""

from __future__ import annotations

from benchmarks.labels.peers import placed, told


def test_both_write_a_finding_a_line_among_what_they_say_of_the_run() -> None:
    rows = [
        {"audit": {"findings": 1}},
        {"finding": {"path": "/t/0.txt", "line": 2, "snippet": "abc", "confidence": "low"}, "rule": {}},
        {
            "finding": {
                "match": {"value": "xyz"},
                "confidence": "high",
                "location": {"path": "/t/1.txt", "start_line": 1},
            }
        },
    ]
    assert [*told(rows)] == [("0.txt", 2, "abc", "low"), ("1.txt", 1, "xyz", "high")]


def test_a_value_stands_on_its_line_or_at_the_beginning_of_it() -> None:
    text = "abc\nü abc\nlast"
    found = placed([("0", 2, "abc", "low"), ("0", 2, "else", "low"), ("0", 3, "last\nmore", "high")], {"0": text})
    assert found == {text: [(6, 9, "", "low"), (4, 8, "", "low"), (10, 19, "", "high")]}
