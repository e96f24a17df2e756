from __future__ import annotations

from typing import Any

import pytest

from monitor.cli.scan_lines import annotation, as_dict, print_annotation, print_text
from monitor.domain.model import Finding
from monitor.scan.search import Hit
from tests.detectors import texts


def hit(**git: Any) -> Hit:
    finding = Finding(
        id="0" * 32, rule="github-pat", name="A token", severity="high", confidence="high", fingerprint="f" * 64,
        masked="ghp_…[40]", source="", path="a\n\udcff", generation="", offset=0, time=0.0, line=2, column=3,
    )  # fmt: skip
    return Hit(finding, texts.rule("x{8}"), (2, 43), 40, suppressed=False, git=git or None)


COMMIT = {"commit": "ab" * 20, "author": "Ann\x1b", "email": "a@b", "date": "2026-01-02T03:04:05Z"}
WHERE = {"in_head": True, "branches": [], "tags": [], "remotes": [], "refs": 0, "owner": None}


def test_an_object_has_what_a_history_says_only_where_there_is_one() -> None:
    assert "git" not in as_dict(hit())
    assert as_dict(hit(commits=1))["git"] == {"commits": 1}
    assert as_dict(hit())["path"] == "a\n\\udcff"


@pytest.mark.parametrize(
    ("git", "says"),
    [
        ({"commits": 1, "first": COMMIT, "last": COMMIT}, "commit abababababab of 2026-01-02 by Ann\\x1b <a@b>"),
        (
            {"commits": 3, "first": COMMIT, "last": {**COMMIT, "commit": "c" * 40}, **WHERE, "owner": "@team"},
            "commit abababababab of 2026-01-02 by Ann\\x1b <a@b>; in 3 commits, the last cccccccccccc of 2026-01-02; "
            "still in HEAD; in no branch or tag; on no known remote; owner @team",
        ),
        (
            {"commits": 1, "first": None, "last": None, **WHERE, "in_head": False, "branches": [*"abcd"],
             "tags": [*"efg"], "remotes": ["origin/x"]},
            "in a content that no readable commit names; no longer in HEAD; in a, b, c, d, e and 2 more; "
            "on a remote (origin/x)",
        ),
    ],
)  # fmt: skip
def test_a_history_in_words(git: dict[str, Any], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_text(hit(**git))
    assert capsys.readouterr().out.splitlines()[1] == f"    {says}"


def test_no_text_from_outside_begins_a_command_to_a_runner(capsys: pytest.CaptureFixture[str]) -> None:
    print_annotation(hit())
    assert capsys.readouterr().out == (
        "::error file=a\\n\\udcff,line=2,title=A token::a\\n\\udcff:2: A token [github-pat] ghp_…[40]\n"
    )
    assert annotation("warning", "100%\n::stop-commands::x", file="a:b,c%") == (
        "::warning file=a%3Ab%2Cc%25::100%25\\n::stop-commands::x"
    )
