from __future__ import annotations

import os
import sys

import hyperscan
import pytest

from detectors.compile import apart as module
from detectors.compile import plan
from detectors.compile.apart import apart

TEXTS, IDS, FLAGS = [b"acme_[a-z]{4}", b"\xc3\xa9t\xff", b"x{3}"], [7, 9, 8], [0, 0, hyperscan.HS_FLAG_SINGLEMATCH]


def hits(database: hyperscan.Database) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    database.scan(
        b"acme_abcd \xc3\xa9t\xff xxxx",
        match_event_handler=lambda number, _start, end, *_: found.append((number, end)),
        scratch=hyperscan.Scratch(database),
    )
    return found


def test_the_database_is_the_one_that_this_process_would_make() -> None:
    dump = apart(TEXTS, IDS, FLAGS)
    assert dump is not None
    here = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    here.compile(expressions=TEXTS, ids=IDS, flags=FLAGS)
    assert hits(plan._restored(dump)) == hits(here) == [(7, 9), (9, 14), (8, 18)]


def test_what_the_user_asks_of_the_allocator_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Done:
        returncode, stdout = 0, b"x"

    monkeypatch.setattr(module.subprocess, "run", lambda *_, env, **__: seen.append(env["GLIBC_TUNABLES"]) or Done())
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=1")
    apart(TEXTS, IDS, FLAGS)
    monkeypatch.delenv("GLIBC_TUNABLES")
    apart(TEXTS, IDS, FLAGS)
    assert seen == [f"glibc.malloc.check=1:{module._TUNABLES}", module._TUNABLES]
    assert "GLIBC_TUNABLES" not in os.environ


def test_without_such_a_process_it_is_compiled_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_LONG", 0)
    for program in ("", "/nonexistent/python", "/bin/false"):
        monkeypatch.setattr(sys, "executable", program)
        assert apart(TEXTS, IDS, FLAGS) is None
        assert hits(plan._compile(list(zip(TEXTS, IDS, strict=True)))) == [(7, 9), (9, 14), (8, 18), (8, 19)]


def test_what_hyperscan_refuses_is_told_by_this_process(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plan, "_LONG", 0)
    with pytest.raises(hyperscan.error):
        plan._compile([(rb"(a)\1", 1)])
    assert capfd.readouterr() == ("", "")


def test_many_expressions_are_compiled_apart_and_few_here(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(plan, "apart", lambda texts, ids, flags: asked.append(len(texts)))
    monkeypatch.setattr(plan, "_LONG", 2)
    plan._compile([(b"abc", 1), (b"def", 2)])
    plan._compile([(b"abc", 1), (b"def", 2), (b"ghi", 3)])
    assert asked == [3]
