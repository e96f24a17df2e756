from __future__ import annotations

from pathlib import Path

from monitor.domain.model import Block
from monitor.store.crash_mark import BlockMarks
from tests.fakes.forks import Forks


def block(offset: int = 0, size: int = 100, path: str = "/var/log/a.log") -> Block:
    return Block(source="s", path=path, generation="g", offset=offset, data=bytes(size), time=0.0)


def killed_at(forks: Forks, path: Path, *offsets: int, done: tuple[int, ...] = ()) -> None:
    """A process that has these blocks in work, and is killed."""
    program = f"""
import os, signal, sys
from pathlib import Path
from monitor.store.crash_mark import BlockMarks
from tests.monitor.store.test_crash_mark import block
marks = BlockMarks(Path({str(path)!r}))
slots = {{offset: marks.begin(block(offset)) for offset in {offsets!r}}}
for offset in {done!r}: marks.end(slots[offset])
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert forks.python(program).returncode == -9


def test_a_block_met_at_two_kills_is_known(tmp_path: Path, forks: Forks) -> None:
    path = tmp_path / "blocks"
    killed_at(forks, path, 0, 1000, done=(1000,))
    marks = BlockMarks(path)
    assert [marks.suspicion(block(offset)) for offset in (0, 50, 99, 100, 1000)] == [1, 1, 1, 0, 0]
    assert marks.suspicion(block(path="/var/log/b.log")) == 0
    marks.close()
    killed_at(forks, path, 40)  # the cut is another one after a restart
    marks = BlockMarks(path)
    assert marks.suspicion(block(0)) == 2
    marks.pass_over(block(0))
    assert marks.suspicion(block(0)) == 0
    marks.close()
    assert BlockMarks(path).suspicion(block(0)) == 0


def test_who_came_through_is_above_suspicion(tmp_path: Path, forks: Forks) -> None:
    path = tmp_path / "blocks"
    killed_at(forks, path, 0)
    marks = BlockMarks(path)
    marks.end(marks.begin(block(0, 200)))
    assert marks.suspicion(block(0)) == 0
    marks.close()
    killed_at(forks, path, 0)
    assert BlockMarks(path).suspicion(block(0)) == 1


def test_a_clean_end_accuses_nobody(tmp_path: Path) -> None:
    marks = BlockMarks(tmp_path / "blocks")
    marks.begin(block(0))
    marks.close()
    assert BlockMarks(tmp_path / "blocks").suspicion(block(0)) == 0


def test_a_place_that_cannot_be_had_stops_nothing(tmp_path: Path) -> None:
    for path in (None, tmp_path / "missing" / "blocks"):
        marks = BlockMarks(path)
        slots = [marks.begin(block(offset)) for offset in range(0, 30_000, 100)]  # more than there is room for
        for slot in slots:
            marks.end(slot)
        assert marks.suspicion(block(0)) == 0
    (tmp_path / "blocks").write_bytes(b"something else")
    assert BlockMarks(tmp_path / "blocks").suspicion(block(0)) == 0
    assert b"/var/log" not in (tmp_path / "blocks").read_bytes()
