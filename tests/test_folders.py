"""The folders that test sessions leave behind."""

from __future__ import annotations

import os
from pathlib import Path

from tests import folders


def test_what_a_killed_session_left_goes_with_the_next_and_what_goes_on_stays(tmp_path: Path) -> None:
    killed, going_on = folders.make(tmp_path), folders.make(tmp_path)
    os.close(folders._held.pop(killed))
    (beginning := tmp_path / "monitor-tests-beginning").mkdir()
    mine = folders.make(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([going_on, beginning, mine])
    folders.remove(mine)
    folders.remove(going_on)
    assert list(tmp_path.iterdir()) == [beginning]


def test_a_copy_takes_the_place_of_what_was_there_and_of_nothing_there_is_none(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    folders.copy(one, other)
    for folder, text in ((one, "new"), (other, "old")):
        (folder / "rules").mkdir(mode=0o700, parents=True)
        (folder / "rules" / text).write_text(text)
    folders.copy(one, other)
    assert [path.name for path in other.rglob("*")] == ["rules", "new"]
    assert (other / "rules").stat().st_mode & 0o777 == 0o700
