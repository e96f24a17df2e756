from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from detectors.match.engine import Engine
from detectors.rules.template import expand
from monitor.scan.run import scan
from monitor.scan.sarif import document
from monitor.scan.search import Hit, ScanOptions
from monitor.scan.walk import walk

# The schema of OASIS as schemastore.org has it (sarif-2.1.0-rtm.5), unchanged but for white space.
SCHEMA = json.loads((Path(__file__).parent / "sarif-schema-2.1.0.json").read_text(encoding="utf-8"))
Token = Callable[[int], str]


def occurrences(engine: Engine, folder: Path) -> list[Hit]:
    found = scan(walk([str(folder)], lambda path, why: None), engine, ScanOptions(b"k" * 32), 1)
    return [hit for outcome in found for hit in outcome.hits]


def sarif(engine: Engine, *paths: str) -> dict[str, object]:
    found: list[tuple[str, str]] = []
    hits = []
    for outcome in scan(
        walk(paths, lambda path, why, to=found: to.append((path, why))), engine, ScanOptions(b"k" * 32), 1
    ):
        hits += outcome.hits
        found += outcome.problems
    out = document(hits, found, "1.2.3")
    jsonschema.Draft7Validator(SCHEMA).validate(out)
    return json.loads(json.dumps(out))


def test_the_document_satisfies_the_official_schema(
    engine: Engine, token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a dir").mkdir()
    (tmp_path / "a dir" / "ü#?.txt").write_text(f"x\nø {token(1)}\n")
    (tmp_path / "b").write_text(f"{token(1)} {token(2)}")
    with tarfile.open("c.tar", "w") as file:
        info = tarfile.TarInfo("../../etc/x")
        info.size = len(token(3))
        file.addfile(info, io.BytesIO(token(3).encode()))
    (tmp_path / "bad\udcff.gz").write_bytes(b"\x1f\x8b\x08rubbish")
    run = sarif(engine, ".", "gone")["runs"][0]  # type: ignore[index]
    results = run["results"]
    uris = [r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in results]
    assert uris == ["b", "b", "c.tar!etc/x", "a%20dir/%C3%BC%23%3F.txt"]
    region = results[3]["locations"][0]["physicalLocation"]["region"]
    size = len(token(1))
    assert region == {
        **{"startLine": 2, "startColumn": 3, "endLine": 2, "endColumn": 3 + size},
        **{"byteOffset": 5, "byteLength": size},
    }
    assert results[0]["partialFingerprints"] == results[3]["partialFingerprints"]
    assert results[0]["partialFingerprints"] != results[1]["partialFingerprints"]
    rules = run["tool"]["driver"]["rules"]
    assert {r["ruleIndex"] for r in results} == set(range(len(rules)))
    assert results[0]["level"] == "error"
    notes = run["invocations"][0]["toolExecutionNotifications"]
    assert {n["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for n in notes} == {"gone", "bad%FF.gz"}
    assert token(1) not in json.dumps(run)


def test_an_absolute_path_is_a_file_uri_and_no_findings_are_a_document_too(
    engine: Engine, token: Token, tmp_path: Path
) -> None:
    (tmp_path / "b").write_text(token(1))
    run = sarif(engine, str(tmp_path))["runs"][0]  # type: ignore[index]
    uri = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == (tmp_path / "b").as_uri()
    (tmp_path / "b").write_text("nothing")
    assert sarif(engine, str(tmp_path))["runs"][0]["results"] == []  # type: ignore[index]


def test_more_findings_than_a_code_host_takes_in_a_run_are_split_the_worst_first(
    engine: Engine, token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("".join(f"{token(number)}\n" for number in range(7)))
    hits = occurrences(engine, tmp_path)
    hits = [
        replace(hit, finding=replace(hit.finding, severity="low" if number < 3 else "high"))
        for number, hit in enumerate(hits)
    ]
    monkeypatch.setattr("monitor.scan.sarif.MOST", 3)
    out = document(hits, [("gone", "no such file")], "1.2.3")
    jsonschema.Draft7Validator(SCHEMA).validate(out)
    runs = out["runs"]
    assert [len(run["results"]) for run in runs] == [3, 3, 1]
    assert [result["properties"]["severity"] for run in runs for result in run["results"]] == ["high"] * 4 + ["low"] * 3
    assert len({run["automationDetails"]["id"] for run in runs}) == 3
    assert [len(run["invocations"][0]["toolExecutionNotifications"]) for run in runs] == [1, 0, 0]


def test_a_secret_of_several_lines_ends_where_it_ends(engine: Engine, tmp_path: Path) -> None:
    key = expand("{pem:EC PRIVATE KEY}")
    (tmp_path / "key").write_text(f"x {key} y\n")
    (hit,) = occurrences(engine, tmp_path)
    whole = (tmp_path / "key").read_bytes()[hit.finding.offset :][: hit.length].decode()
    line = hit.finding.line
    assert line is not None
    assert hit.end == (line + whole.count("\n"), 1 + len(whole.rpartition("\n")[2]))
    assert "\n" in whole
