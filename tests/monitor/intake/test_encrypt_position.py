from __future__ import annotations

import json
from collections.abc import Iterable

from monitor.domain.model import Position
from monitor.intake.encrypt_position import Sealer

KEY = b"k" * 32
SECRET = "swordfish-0123456789"


def redact(text: str) -> str:
    return text.replace(SECRET, "sword…")


def rows(before: dict[str, object], positions: Iterable[Position]) -> dict[str, object]:
    """What the database holds afterwards."""
    after = dict(before)
    for position in positions:
        if position.state is None:
            after.pop(position.key, None)
        else:
            after[position.key] = json.loads(json.dumps(position.state))
    return after


def tracked(path: str, offset: int = 1) -> Position:
    return Position("s", "a1b2", {"path": path, "offset": offset, "head": [3, "00ff"]})


def test_a_plain_position_is_left_as_it_is() -> None:
    plain = tracked("/var/log/app.log")
    assert Sealer(KEY, redact).seal([plain]) == [plain]
    assert Sealer(KEY, redact).open({"a1b2": plain.state or {}}) == {"a1b2": plain.state}


def test_a_secret_is_not_in_the_row_and_comes_back_whole() -> None:
    for position in (
        tracked(f"/var/log/{SECRET}.log"),
        Position("s", SECRET, {"offset": 1}),
        Position("s", "k", {"unread": {f"/{SECRET}": [1, 2]}}),
        Position("s", "k", {"target": f"/srv/{SECRET}".encode().hex()}),
        Position("s", "k\udcff", {"path": SECRET}),
    ):
        stored = rows({}, Sealer(KEY, redact).seal([position]))
        assert SECRET not in json.dumps(stored)
        assert SECRET.encode().hex() not in json.dumps(stored)
        assert Sealer(KEY, redact).open(stored) == {position.key: position.state}  # type: ignore[arg-type]


def test_the_row_stays_the_same_one() -> None:
    stored = rows({}, Sealer(KEY, redact).seal([tracked(SECRET, 1)]))
    after = rows(stored, Sealer(KEY, redact).seal([tracked(SECRET, 2)]))
    assert list(after) == list(stored)
    assert Sealer(KEY, redact).open(after)["a1b2"]["offset"] == 2  # type: ignore[arg-type]
    assert rows(after, Sealer(KEY, redact).seal([Position("s", "a1b2", None)])) != {}  # nothing tells that it is sealed
    sealer = Sealer(KEY, redact)
    sealer.open(after)  # type: ignore[arg-type]
    assert rows(after, sealer.seal([Position("s", "a1b2", None)])) == {}


def test_a_changed_rule_leaves_no_row_of_the_other_kind() -> None:
    plain = rows({}, Sealer(KEY, str).seal([tracked(SECRET, 1)]))
    sealed = rows(plain, Sealer(KEY, redact).seal([tracked(SECRET, 2)]))
    assert len(sealed) == 1
    assert SECRET not in json.dumps(sealed)
    later = Sealer(KEY, str)
    later.open(sealed)  # type: ignore[arg-type]
    again = rows(sealed, later.seal([tracked(SECRET, 3)]))
    assert list(again) == ["a1b2"]


def test_another_key_or_a_damaged_row_is_read_again() -> None:
    stored = rows({}, Sealer(KEY, redact).seal([tracked(SECRET)]))
    assert Sealer(b"x" * 32, redact).open(stored) == {}  # type: ignore[arg-type]
    (name,) = stored
    for damage in ({}, {"name": name}, {"name": name, "box": "AA=="}, {"name": 1, "box": None}):
        assert Sealer(KEY, redact).open({name: damage}) == {}
