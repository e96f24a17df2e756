from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import typer

from detectors.rules.template import expand
from monitor.cli.common import sure
from monitor.cli.scan_session import ScanFormat, Session
from monitor.common.severity import SEVERITIES
from monitor.scan.run import scan_stream
from monitor.scan.search import ScanOptions
from tests.detectors import texts


def session(**changes: Any) -> Session:
    made: dict[str, Any] = {
        "paths": ["-"], "form": ScanFormat.text, "rules": frozenset(), "severities": frozenset(SEVERITIES),
        "confidences": sure("low"), "known": frozenset(), "own": set(), "keep": False, **changes,
    }  # fmt: skip
    one = Session(**made)
    one.begin(texts.engine("vcs/github").worker())
    return one


def found(text: str, one: Session) -> Session:
    for outcome in scan_stream("-", io.BytesIO(text.encode()), texts.engine("vcs/github"), ScanOptions(b"k" * 32)):
        one.take(outcome)
    one.finish()
    return one


def test_what_passes_is_counted_and_the_first_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(expand("ghp_{alnum:30}{crc32}", n) for n in range(3))
    one = found(text, session())
    assert (one.shown, one.first and one.first.line) == (3, 1)
    told = capsys.readouterr()
    assert told.err == "3 findings in 1 file\n"
    assert len(told.out.splitlines()) == 3
    known = one.first.fingerprint if one.first else ""
    assert found(text, session(known=frozenset([known]))).accepted == 1
    assert found(text, session(rules=frozenset(["another"]))).shown == 0


def test_a_quiet_one_says_nothing_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    one = session()
    one.quiet = True
    found("nothing", one)
    assert capsys.readouterr() == ("", "")
    one.notes.append("1 submodule not scanned")
    one.unit = "commit"
    one.finish()
    assert capsys.readouterr().err == "0 findings in 1 commit, 1 submodule not scanned\n"


def test_of_what_was_named_more_than_could_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    one = session(paths=["a.zip"])
    one.problem("elsewhere", "damaged")
    assert not one.incomplete
    one.problem("a.zip!b", "damaged")
    assert one.incomplete
    assert capsys.readouterr().err == "elsewhere: damaged\na.zip!b: damaged\n"


def test_documents_are_written_beside_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = {form: tmp_path / form.value for form in ScanFormat if form.document}
    one = session(form=ScanFormat.github, also=[*paths.items()])
    one.problem("::a", "damaged")
    found(expand("ghp_{alnum:30}{crc32}"), one)
    told = capsys.readouterr()
    assert told.out.startswith("::error file=-,line=1,title=GitHub personal access token::-:1: ")
    assert told.err == "::warning ::::a: damaged\n1 finding in 1 file, 1 could not be read (in full)\n"
    made = {form: json.loads(path.read_text()) for form, path in paths.items()}
    assert [row["path"] for row in made[ScanFormat.json]] == ["-"]
    assert len(made[ScanFormat.sarif]["runs"][0]["results"]) == len(made[ScanFormat.gitlab]["vulnerabilities"]) == 1
    with pytest.raises(typer.Exit):
        found("", session(also=[(ScanFormat.sarif, tmp_path / "none/x")]))
    assert "none/x: No such file or directory, so nobody gets this report" in capsys.readouterr().err
