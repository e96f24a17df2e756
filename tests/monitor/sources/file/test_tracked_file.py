from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from monitor.sources.file.identity import Hasher
from monitor.sources.file.tracked_file import FileState, StoredState, TrackedFile, text


def test_state_survives_json(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_bytes(b"x" * 2000 + b"\n")
    status = log.stat()
    tracked = TrackedFile(str(log), (status.st_dev, status.st_ino), archive=True)
    with log.open("rb") as file:
        Hasher.derived(b"k" * 32).settle(file.fileno(), tracked, 2001)
    again = TrackedFile.restore(tracked.key, orjson.loads(orjson.dumps(tracked.state())))
    for name in ("path", "inode", "key", "generation", "offset", "head", "mark", "line", "start", "body", "archive"):
        assert getattr(again, name) == getattr(tracked, name)
    assert (again.record, again.place) == (StoredState.SAVED, FileState.LOOSE)
    assert "x" * 20 not in repr(tracked.state())


def test_that_it_ended_survives() -> None:
    tracked = TrackedFile("/x", (1, 2), offset=5, place=FileState.ENDED)
    assert TrackedFile.restore("k", tracked.state()).ended


def test_a_name_that_is_not_utf8_survives_json(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xe9.log")
    state = orjson.loads(orjson.dumps(TrackedFile(path, (1, 2)).state()))
    assert state["path"] == f"{tmp_path}/\\xff\\xe9.log" == text(path)
    assert TrackedFile.restore("k", state).path == path


def test_what_was_seen_of_a_file_before_its_first_turn_survives() -> None:
    assert TrackedFile.restore("k", TrackedFile("/x", (1, 2), there=9).state()).there == 9
    looked_into = TrackedFile.restore("k", TrackedFile("/x", (1, 2), size=5, there=9, known=(5, 1, 1)).state())
    assert (looked_into.looked_into, looked_into.there) == (True, 5)


@pytest.mark.parametrize("state", [{}, {"path": 1}, TrackedFile("/x", (1, 2)).state() | {"head": []}])
def test_restore_refuses_what_is_no_state(state: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, IndexError)):
        TrackedFile.restore("k", state)


def test_what_follows_from_its_state() -> None:
    tracked = TrackedFile("/x", (1, 2), offset=5, size=9)
    assert (tracked.loose, tracked.ended, tracked.busy, tracked.drained) == (True, False, False, False)
    tracked.flushed = 9
    assert tracked.drained
    tracked.place = FileState.ENDED
    assert (tracked.loose, tracked.ended) == (False, True)


def test_what_is_read_again_keeps_its_generation() -> None:
    tracked = TrackedFile("/x", (1, 2), start=3, offset=50, mark=(4, "m"), record=StoredState.SAVED, flushed=60)
    generation = tracked.generation
    tracked.rewind()
    assert (tracked.offset, tracked.mark, tracked.flushed, tracked.generation) == (3, (0, ""), 0, generation)
    assert tracked.record is StoredState.STALE
    copy = TrackedFile("/y", (1, 3))
    copy.adopt(tracked)
    assert (copy.generation, copy.offset, copy.record) == (generation, 3, StoredState.NONE)
