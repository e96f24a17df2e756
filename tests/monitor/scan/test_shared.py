"""Jobs in processes: all of them, in their order, whatever ends one of the processes."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitor.scan.run import FilePart, ScanOutcome
from monitor.scan.shared import shared

ROOT = Path(__file__).parents[3]


def jobs(count: int) -> Iterator[FilePart]:
    return (FilePart(f"/logs/{number}", 0, None, number, 0) for number in range(count))


def work(job: FilePart) -> ScanOutcome:
    sum(range(random.Random(job.size).randint(0, 20_000)))
    return ScanOutcome(path=job.path, size=job.size, skipped=[str(os.getpid())])


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def lost(job: FilePart, end: str) -> ScanOutcome:
    return ScanOutcome(problems=[(job.path, end)])


def made() -> Callable[[FilePart], ScanOutcome]:
    return work


def test_every_job_is_done_once_in_its_order_by_more_than_one_process() -> None:
    done = list(shared(jobs(500), made, lost, 3))
    assert [outcome.size for outcome in done] == list(range(500))
    assert len({outcome.skipped[0] for outcome in done} - {str(os.getpid())}) == 3
    assert multiprocessing.active_children() == []


def test_no_jobs_are_no_outcomes() -> None:
    assert list(shared(iter(()), made, lost, 2)) == []


def test_jobs_are_asked_for_as_they_are_done() -> None:
    asked = []

    def some() -> Iterator[FilePart]:
        for job in jobs(10_000):
            asked.append(job)
            yield job

    outcomes = shared(some(), made, lost, 2)
    for _ in range(10):
        next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert len(asked) < 100
    assert multiprocessing.active_children() == []


def test_of_a_long_job_no_others_are_done_without_end(tmp_path: Path) -> None:
    asked = []

    def some() -> Iterator[FilePart]:
        for job in jobs(10_000):
            asked.append(job)
            yield job

    def make() -> Callable[[FilePart], ScanOutcome]:
        def do(job: FilePart) -> ScanOutcome:
            if job.path == "/logs/31":
                (tmp_path / "ahead").touch()
            while job.path == "/logs/0" and not (tmp_path / "ahead").exists():
                time.sleep(0.01)
            if job.path == "/logs/0":
                time.sleep(0.1)  # for what would go on
            return lost(job, "")

        return do

    outcomes = shared(some(), make, lost, 2)
    next(outcomes)
    assert len(asked) < 100
    outcomes.close()  # type: ignore[attr-defined]


def test_what_a_process_that_dies_was_about_to_search_is_reported_and_the_rest_is_done() -> None:
    def make() -> Callable[[FilePart], ScanOutcome]:
        def do(job: FilePart) -> ScanOutcome:
            if job.size % 40 == 7:
                os.kill(os.getpid(), signal.SIGKILL)
            return work(job)

        return do

    done = list(shared(jobs(100), make, lost, 2))
    assert [outcome.problems for outcome in done] == [
        [(f"/logs/{number}", "signal 9")] if number % 40 == 7 else [] for number in range(100)
    ]


def test_an_error_in_a_job_is_raised_here() -> None:
    def make() -> Callable[[FilePart], ScanOutcome]:
        return lambda job: ScanOutcome(size=1 // (job.size - 3))

    with pytest.raises(ZeroDivisionError):
        list(shared(jobs(20), make, lost, 2))
    assert multiprocessing.active_children() == []


def test_they_end_with_the_process_that_started_them_however_that_ends() -> None:
    code = (
        "import os, time\n"
        "from monitor.scan.run import ScanOutcome\n"
        "from monitor.scan.shared import shared\n"
        "from tests.monitor.scan.test_shared import jobs\n"
        "def make():\n"
        "    return lambda job: ScanOutcome(skipped=[str(os.getpid())]) if job.size < 4 else time.sleep(600)\n"
        "for outcome in shared(jobs(9), make, None, 2):\n"
        "    print(outcome.skipped[0], flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = {int(parent.stdout.readline()) for _ in range(4)}
        assert len(pids) == 2
        assert all(map(alive, pids))
        parent.kill()
    deadline = time.monotonic() + 60
    while any(map(alive, pids)):
        assert time.monotonic() < deadline, "they live on"
        time.sleep(0.01)
