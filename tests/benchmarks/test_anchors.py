from __future__ import annotations

import random
from pathlib import Path

import hyperscan
import pytest

from benchmarks import anchors
from benchmarks.anchors import Choice, Cost, entries, matcher
from tests.detectors.texts import engine


def test_a_databases_literals_are_read_from_it() -> None:
    wanted = {(f"pre{number:03}_x".encode()[-8:], False) for number in range(150)} | {
        (b"LITERAL", True),
        (b"short", False),
    }
    texts = [b"(?i)" + text if caseless else text for text, caseless in wanted]
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=texts, ids=list(range(len(texts))), flags=[0] * len(texts))
    assert set(matcher(hyperscan.dumpb(database))) == wanted


def test_a_word_is_asked_for_by_several_literals_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchors, "texts", lambda logs: [b"no sessions no"])
    parts = [entries(literal, False) for literal in (b"sessXXXX", b"XXXsiXXX", b"XXXXions")]
    cost = Cost(parts)
    for count, part in enumerate(parts):
        assert cost.total == 0, count
        cost.add(part)
    assert cost.total == pytest.approx(1000 / 14)
    cost.add(parts[0])
    cost.remove(parts[0])
    assert cost.total == pytest.approx(1000 / 14)
    cost.remove(parts[1])
    assert cost.total == 0


def test_real_logs_are_as_much_text_as_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchors, "SAMPLE", 1000)
    (tmp_path / "a.log").write_bytes(b"no session\n")
    *_, real = anchors.texts(tmp_path)
    assert real[:22] == b"no session\nno session\n"
    assert 1000 <= len(real) <= 1011
    *_, none = anchors.texts()
    assert none == b""


def test_case_counts_only_where_it_matters() -> None:
    assert entries(b"abcdef", False) < entries(b"abcdef", True)
    assert entries(b"ABCDEF", True) == entries(b"abcdef", True)
    assert (6, 0, ord("f")) in entries(b"abcdef", False)
    assert (6, 1, ord("e") | ord("f") << 8) in entries(b"abcdef", False)


def test_what_only_several_literals_together_let_through_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchors, "texts", lambda logs: [b"no sessions no"])
    options = {name: {name[-8:]: entries(name[-8:].encode(), False), name[:8]: entries(name[:8].encode(), False)}
               for name in ("QQQQQQQQsessiXXX", "ZZZZZZZZsessiXXX")}  # fmt: skip
    other = entries(b"XXXXions", False)
    choice = Choice(options, Cost([other, *(each for of in options.values() for each in of.values())]))
    choice.cost.add(other)
    assert choice.cost.total > 0
    assert not any(choice.improve([name]) for name in options)
    chance = random.Random(1)
    together = next(filter(None, (choice.together(chance) for _ in range(100))))
    assert sorted(together) == sorted(options)
    assert choice.improve(together)
    assert choice.cost.total == 0
    assert choice.anchors == {name: name[:8] for name in options}


def test_a_literal_that_stands_in_the_text_costs_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchors, "texts", lambda logs: [b"no Sessions no"])
    options = {"sessionsQQ": {text: entries(text.encode(), False) for text in ("sessions", "essionsQ")}}
    choice = Choice(options, Cost(options["sessionsQQ"].values()))
    assert choice.cost.total == pytest.approx(anchors.MET * 1000 / 14)
    assert choice.improve(["sessionsQQ"])
    assert choice.cost.total == pytest.approx(0)
    assert choice.anchors == {"sessionsQQ": "essionsQ"}


def test_the_shipped_rules_have_literals_enough_for_a_dense_table() -> None:
    found = {*matcher(hyperscan.dumpb(*engine().databases))}
    assert len(found) >= 10_000, "Hyperscan looks at two bits less of each next character"
    padding = sum(literal[0][0] in range(0xF5, 0xFA) for literal in found)
    assert len(found) - padding < 10_000 or not padding, "padding is of no use"
