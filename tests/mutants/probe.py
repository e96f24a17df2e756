"""Plugin of pytest in a tree with mutants, alone in its environment: nothing here is imported from the tree.

`seen(n)` stands before the line of mutant n when the tests are mapped. MUTANTS names a folder: with a
`plan.json` there, what it says is played, else the tests are mapped.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

FOLDER = Path(os.environ.get("MUTANTS", Path(__file__).with_name("mutants")))  # a command may have no such variable
_MEMORY = 6 << 30  # a loop without an end gathers no more than this

_current: str | None = None  # test of this process, also in what is forked off it
_done: set[tuple[int, str | None]] = set()


def seen(number: int) -> None:
    """What a command does is of the test that runs, as far as one can tell: each counts once."""
    key = number, _current
    if key in _done:
        return
    _done.add(key)
    with suppress(OSError):
        test = _current or (FOLDER / "current").read_text(encoding="utf-8")
        _append("seen.jsonl", [number, test])


def _append(name: str, row: Any) -> None:
    file = os.open(FOLDER / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        os.write(file, f"{json.dumps(row)}\n".encode())
    finally:
        os.close(file)


def _used() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class _Play:
    """Plays mutants, each in a process forked off this one, in which all is imported: most of what a run of pytest
    costs is its start."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._told: list[list[str]] | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        gc.collect()
        gc.freeze()
        for job in self._plan["jobs"]:
            if time.time() < self._plan["until"]:
                _append("played.jsonl", {"name": job["name"], **self._played(session, job)})
        return True

    def _played(self, session: pytest.Session, job: dict[str, Any]) -> dict[str, Any]:
        order = {name: number for number, name in enumerate(job["tests"])}
        whole = tuple(f"{name}::" for name in job["whole"])
        items = [item for item in session.items if item.nodeid in order or item.nodeid.startswith(whole)]
        items.sort(key=lambda item: order.get(item.nodeid, len(order)))
        (FOLDER / "told.jsonl").unlink(missing_ok=True)
        began = time.monotonic()
        with _changed(Path(session.config.rootpath, job["path"]), job["text"]) if job["path"] else nullcontext():
            sys.stdout.flush()
            child = os.fork()
            if child == 0:
                try:
                    self._child(items, job)
                except BaseException as error:  # noqa: BLE001 - whatever it is, this process must end here
                    _append("told.jsonl", [repr(error), "not played"])
                finally:
                    os._exit(0)
            try:
                hung = not select.select([os.pidfd_open(child)], [], [], (job["wall"] + 60) * job["patience"])[0]
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)  # with what it has started
                os.waitpid(child, 0)
        shutil.rmtree(FOLDER / "tmp", ignore_errors=True)
        told = (FOLDER / "told.jsonl").read_text(encoding="utf-8") if (FOLDER / "told.jsonl").exists() else ""
        ran = [json.loads(line) for line in told.splitlines()]
        seconds = round(time.monotonic() - began, 1)
        left = len(items) - len({test for test, _ in ran}) + job["skipped"]
        how = {"patience": job["patience"], "alone": not job["path"]}
        return {"told": ran, "left": left, "hung": hung, "seconds": seconds, **how}

    def _child(self, items: list[pytest.Item], job: dict[str, Any]) -> None:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        if job["path"] and items:
            _swap(Path(items[0].config.rootpath, job["path"]), job["text"])
        cpu, end = _used() + job["cpu"], time.monotonic() + job["wall"] * job["patience"]
        self._told = []
        for item, after in zip(items, [*items[1:], None], strict=True):
            item.config._tmp_path_factory._given_basetemp = FOLDER / "tmp"  # type: ignore[attr-defined]
            patience = job["patience"] * (30 + 10 * job["tests"].get(item.nodeid, 5))
            item.add_marker(pytest.mark.timeout(patience), append=False)
            item.ihook.pytest_runtest_protocol(item=item, nextitem=after)
            failed = any(how in ("failed", "timeout") for _, how in self._told)
            if (failed and not job["all"]) or _used() > cpu or time.monotonic() > end:
                break
        if items:
            items[0].session._setupstate.teardown_exact(None)  # servers end

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self._told is not None and (report.when == "call" or report.outcome != "passed"):
            hung = report.failed and "Timeout (>" in str(report.longrepr)
            self._told.append([report.nodeid, "timeout" if hung else report.outcome])
            _append("told.jsonl", self._told[-1])


@contextmanager
def _changed(file: Path, text: str) -> Iterator[None]:
    """For what the tests start."""
    kept = file.read_text(encoding="utf-8")
    try:
        _write(file, text)
        yield
    finally:
        _write(file, kept)


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink(missing_ok=True)  # it is told by its time in seconds and its size


def _swap(file: Path, text: str) -> None:
    """Each function of `file` does as `text` says from now on; its lines have the same numbers."""
    codes: dict[tuple[str, int], CodeType] = {}
    heap = [compile(text, str(file), "exec")]
    while heap:
        code = heap.pop()
        codes[code.co_qualname, code.co_firstlineno] = code
        heap += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
    gc.unfreeze()
    for function in gc.get_objects():
        if type(function) is FunctionType and function.__code__.co_filename == str(file):
            code = codes[function.__code__.co_qualname, function.__code__.co_firstlineno]
            if code != function.__code__:
                function.__code__ = code


class _Map:
    """How each test ended and what it cost."""

    def __init__(self) -> None:
        self._failed: set[str] = set()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """On PostgreSQL a test does what it does on SQLite, in three times the time."""
        names = {item.nodeid for item in items}
        items[:] = [item for item in items if not names & {item.nodeid.replace("postgres", "sqlite")} - {item.nodeid}]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        global _current
        _current = item.nodeid
        (FOLDER / "current").write_text(item.nodeid, encoding="utf-8")
        cpu, wall = _used(), time.monotonic()
        try:
            return (yield)
        finally:
            passed = item.nodeid not in self._failed
            _append("cost.jsonl", [item.nodeid, passed, round(_used() - cpu, 3), round(time.monotonic() - wall, 3)])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome != "passed":
            self._failed.add(report.nodeid)


def pytest_configure(config: pytest.Config) -> None:
    plan = FOLDER / "plan.json"
    made = _Play(json.loads(plan.read_text(encoding="utf-8"))) if plan.exists() else _Map()
    config.pluginmanager.register(made, "mutants")
