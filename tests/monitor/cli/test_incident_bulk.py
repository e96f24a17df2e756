from __future__ import annotations

import pytest
import typer

from monitor.cli.incident_bulk import alike, confirm, merging, mistaken
from tests.fakes.incidents import stored_incident


def test_what_is_not_meant_is_refused_before_anything_is_done() -> None:
    one, other = stored_incident("aa"), stored_incident("bb")
    assert mistaken([one, one]) == "incident aa cannot be merged into itself"
    assert mistaken([one, other, other]) == "incident bb is named twice"
    assert mistaken([one, other]) == ""


def test_both_are_named_and_nothing_in_them_reaches_the_terminal_raw() -> None:
    lines = list(merging([stored_incident("aa"), stored_incident("bb", name="\x1b[2J", occurrences=3)]))
    assert lines[0] == "aa stays: high GitHub token ghp_…, open, in no place stored"
    assert lines[1] == "bb goes into it: high \\x1b[2J ghp_…, open, in no place stored and 2 more"


def test_what_differs_in_rule_or_preview_is_not_taken_for_one() -> None:
    one = stored_incident("aa")
    assert alike([one, stored_incident("bb")])
    assert not alike([one, stored_incident("bb", masked="ghp_zz…")])
    assert not alike([one, stored_incident("bb", rule="other")])


def test_where_nobody_can_be_asked_it_has_to_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    confirm("Really?", yes=True)
    with pytest.raises(typer.Exit):
        confirm("Really?", yes=False)
    assert capsys.readouterr().err == "Really? Nobody can be asked here: say --yes\n"
