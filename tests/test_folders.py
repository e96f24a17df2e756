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
