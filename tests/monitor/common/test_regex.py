from __future__ import annotations

import runpy
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path

import pytest
import re2

from monitor.common import regex
from monitor.common.regex import HERE, NOWHERE, UNANCHORED, RegexError, compile_re2, compile_search, compile_text

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["_Anchor", "_Anchor.UNANCHORED", "_Anchor.ANCHOR_START", "_Regexp._regexp"])
def test_a_google_re2_without_a_private_name_is_refused_by_that_name(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, _, attribute = name.rpartition(".")
    monkeypatch.delattr(attrgetter(owner)(re2) if owner else re2, attribute)
    refusal = (
        rf"google-re2 [0-9.]+ lacks what monitor/common/regex\.py calls \(.*'{attribute}'.*\): install the version"
    )
    with pytest.raises(ImportError, match=refusal):
        runpy.run_path(regex.__file__)


def test_a_google_re2_that_matches_otherwise_beneath_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(re2, "compile", lambda pattern: type("", (), {"_regexp": None}))
    with pytest.raises(ImportError, match="no attribute 'Match'"):
        runpy.run_path(regex.__file__)


def test_a_version_that_nobody_tried_is_not_installed() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    (bound,) = (one for one in wanted if one.startswith("google-re2"))
    assert bound == f"google-re2=={version('google-re2')}", "its versions are dates: any may drop a private name"
    for lock in ("requirements.lock", "requirements-dev.lock"):
        assert f"\n{bound} \\\n" in (ROOT / lock).read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_search_tells_the_spans_of_the_whole_and_of_its_groups(kind: type) -> None:
    search, text = compile_search("k=(?P<secret>[a-z]+)(!)?"), kind(b"\xffk=ab k=c!")
    assert tuple(search(UNANCHORED, text, 0, 10)) == ((1, 5), (3, 5), NOWHERE)
    assert tuple(search(UNANCHORED, text, 2, 10)) == ((6, 10), (8, 9), (9, 10))
    assert tuple(search(UNANCHORED, text, 2, 9)) == ((6, 9), (8, 9), NOWHERE)
    assert tuple(search(UNANCHORED, text, 7, 10)) == (NOWHERE, NOWHERE, NOWHERE)
    assert search(UNANCHORED, text, 10, 10)[0] == NOWHERE


def test_what_stands_beside_a_search_is_seen() -> None:
    assert compile_search(r"\bb|^b")(UNANCHORED, b"abb", 1, 3)[0] == NOWHERE
    assert compile_search("b$")(UNANCHORED, b"abb", 0, 2)[0] == NOWHERE
    assert compile_search("b$")(UNANCHORED, b"abb", 0, 3)[0] == (2, 3)


def test_a_search_here_begins_where_it_is_told() -> None:
    search = compile_search("b+")
    assert search(HERE, b"abbc", 1, 4)[0] == (1, 3)
    assert search(HERE, b"abbc", 1, 2)[0] == (1, 2)
    assert search(HERE, b"abbc", 0, 4)[0] == NOWHERE


def test_patterns_match_bytes() -> None:
    assert compile_re2(r"\xff[^a]").search(b"\xff\xfe")
    assert compile_re2(r"a.b").search(b"a\xc3b")


def test_patterns_of_text_match_characters() -> None:
    assert compile_text("a.b").fullmatch("aéb")
    assert not compile_text("a.b").fullmatch("aéb!")


@pytest.mark.parametrize("compiler", [compile_re2, compile_text, compile_search])
def test_a_refusal_is_said_in_text_and_nowhere_else(
    compiler: Callable[[str], object], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RegexError, match=r"^missing \): \(a$"):
        compiler("(a")
    assert capfd.readouterr() == ("", "")


def test_a_hostile_pattern_stays_linear() -> None:
    assert compile_search("(?:a+)+$")(UNANCHORED, b"a" * 50_000 + b"b", 0, 50_001)[0] == NOWHERE  # or it never ends
