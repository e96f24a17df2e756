from __future__ import annotations

import pytest

from monitor.sources.file import closed
from monitor.sources.file.closed import Past
from monitor.sources.file.tracked_file import FileState, TrackedFile


def ended(path: str, generation: str = "") -> TrackedFile:
    life = TrackedFile(path, (1, 1), offset=5, place=FileState.ENDED)
    life.generation = generation or life.generation
    return life


def test_lives_are_found_by_the_names_they_may_have_had() -> None:
    kept = Past()
    log, other = ended("/app.log.2"), ended("/other.log.1")
    assert kept.add(log, 0) == kept.add(other, 0) == []
    assert kept.called(["/app.log", "/app.log.2"]) == [log]
    assert kept.called(["/other.log", "/app.log"]) == [other, log]
    assert kept.called(["/app.log.1"]) == []


def test_of_one_content_the_last_is_kept() -> None:
    kept = Past()
    first, second = ended("/app.log.1", "g"), ended("/app.log.2.gz", "g")
    kept.add(first, 0)
    assert kept.add(second, 0) == [first]
    assert kept.called(["/app.log"]) == [second]
    assert kept.called(["/app.log.1"]) == []


def test_the_first_to_end_is_the_first_to_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed, "KEPT", 2)
    kept = Past()
    lives = [ended(f"/{number}.log") for number in range(4)]
    assert [kept.add(life, 3) for life in lives] == [[], [], [], [lives[0]]]
    assert kept.add(again := ended("/again.log"), 0) == lives[1:3]
    assert kept.called([f"/{number}.log" for number in range(4)] + ["/again.log"]) == [lives[3], again]
