from __future__ import annotations

import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from monitor.audit.check import MOST, Judged, failed, passed, unknown, unread
from monitor.audit.settings import Waiver
from tests.monitor.audit.conftest import Make, write


def test_the_worst_piece_decides_and_nothing_is_unknown() -> None:
    judged = Judged("gitignore", "t", "r")
    assert judged.verdict == "unknown"
    judged.add(passed("a"))
    assert judged.verdict == "pass"
    judged.add(unknown("b"))
    assert judged.verdict == "unknown"
    judged.add(failed("c"))
    assert judged.verdict == "fail"


def test_it_is_accepted_when_a_waiver_covers_every_failure() -> None:
    waiver = Waiver(item="gitignore", reason="known", expires=date(2030, 1, 1))
    judged = Judged("gitignore", "t", "r")
    assert not judged.accepted
    judged.add(replace(failed("a"), waiver=waiver))
    judged.add(unknown("b"))
    assert judged.accepted
    judged.add(failed("c"))
    assert not judged.accepted


def test_what_is_too_much_is_counted_the_worst_stands_first_and_names_are_masked() -> None:
    judged = Judged("gitignore", "t", "r")
    for number in range(MOST + 7):
        judged.add(passed(f"pass {number}"))
    judged.add(failed("fail hush", "cat hush", "hush"))
    judged.masked(lambda text: text.replace("hush", "[masked]"))
    assert (judged.left_out, judged.counts["pass"], len(judged.evidence)) == (7, MOST + 7, MOST + 1)
    first = judged.evidence[0]
    assert (first.text, first.repeat, first.path) == ("fail [masked]", "cat [masked]", "[masked]")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_unknown(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"a": "x", "d/b": "x"})
    (tmp_path / "a").chmod(0)
    (tmp_path / "d").chmod(0)
    (tree,) = make(tmp_path).trees
    try:
        assert [one.path for one in unread(tree)] == ["d"]
        assert {one.path for one in unread(tree, scanned=True)} == {"a", "d"}
        assert {one.verdict for one in unread(tree, scanned=True)} == {"unknown"}
    finally:
        (tmp_path / "d").chmod(0o700)


def test_damaged_archives_are_unknown(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"bad.gz": b"\x1f\x8b\x08rubbish", "good": "x"})
    (tree,) = make(tmp_path).trees
    assert [one.path for one in unread(tree, scanned=True)] == ["bad.gz"]
    assert not list(unread(tree))
