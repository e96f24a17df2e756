"""Jobs shared out among processes that are forked off this one, so that each has what is compiled without a copy.

A process that dies (memory, a bug in a library) takes its job along, and another takes its place.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from monitor.common.hardening import end_with_parent

if TYPE_CHECKING:
    from multiprocessing.context import ForkProcess

__all__ = ["shared"]

_Job = TypeVar("_Job")
_Done = TypeVar("_Done")
_END = 2.0  # seconds that a killed process may take
_AHEAD = 16


def shared(
    jobs: Iterator[_Job],
    make: Callable[[], Callable[[_Job], _Done]],
    lost: Callable[[_Job, str], _Done],
    count: int,
    ahead: int = _AHEAD,
) -> Iterator[_Done]:
    """What `count` processes make of the jobs, in order. `make` gives what does one, and is called in each of them;
    `lost`: what becomes of the job of a process that died, and how it did; `ahead`: jobs for each process that may be
    done before the one whose turn it is. Raises what a job raises."""
    pool = _Pool(make, lost)
    numbered = enumerate(jobs)
    done: dict[int, _Done] = {}
    due = given = 0  # outcomes, jobs
    idle = [pool.start() for _ in range(count)]
    try:
        while True:
            while idle and given - due < ahead * count:
                if (job := next(numbered, None)) is None:
                    break
                pool.give(idle.pop(), *job)
                given += 1
            if not pool.busy:
                return
            for number, outcome, process in pool.results():
                done[number] = outcome
                idle.append(process)
            while due in done:
                yield done.pop(due)
                due += 1
    finally:
        pool.end()


class _Pool(Generic[_Job, _Done]):
    """Processes, and the job that each of them has."""

    def __init__(self, make: Callable[[], Callable[[_Job], _Done]], lost: Callable[[_Job, str], _Done]) -> None:
        self._make, self._lost = make, lost
        self._processes: dict[Connection, ForkProcess] = {}
        self.busy: dict[Connection, tuple[int, _Job]] = {}

    def start(self) -> Connection:
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        process = context.Process(target=_serve, args=(theirs, ours, self._make, os.getpid()), daemon=True)
        with warnings.catch_warnings():
            # Beside a thread that draws the progress bar, which holds nothing that is needed there.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        theirs.close()
        self._processes[ours] = process
        return ours

    def give(self, process: Connection, number: int, job: _Job) -> None:
        self.busy[process] = number, job
        with contextlib.suppress(OSError):  # it is dead, as its result will say
            process.send(job)

    def results(self) -> Iterator[tuple[int, _Done, Connection]]:
        """(number of the job, its outcome, who waits for another one), of at least one. Raises what a job raised."""
        for process in wait(list(self.busy)):
            assert isinstance(process, Connection)
            number, job = self.busy.pop(process)
            try:
                outcome: Any = process.recv()
            except (EOFError, OSError):  # also in the midst of it
                yield number, self._lost(job, self._end_of(process)), self.start()
                continue
            if isinstance(outcome, BaseException):
                raise outcome
            yield number, outcome, process

    def _end_of(self, process: Connection) -> str:
        dead = self._processes.pop(process)
        dead.join()
        process.close()
        return f"signal {-dead.exitcode}" if dead.exitcode and dead.exitcode < 0 else f"exit code {dead.exitcode}"

    def end(self) -> None:
        for process in self._processes.values():
            process.kill()
        for connection, process in self._processes.items():
            process.join(_END)  # one that waits for a disk that hangs does not end before that does
            connection.close()


def _serve(asked: Connection, other: Connection, make: Callable[[], Callable[[Any], Any]], parent: int) -> None:
    """Jobs from a pipe, outcomes into it, for as long as the parent is there."""
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal it goes to all; the parent ends this process
    other.close()
    do = make()
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            job = asked.recv()
            try:
                outcome = do(job)
            except Exception as error:  # noqa: BLE001 - raised where the jobs come from
                outcome = error
            asked.send(outcome)
