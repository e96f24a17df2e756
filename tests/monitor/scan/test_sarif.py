from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from detectors.engine import Engine
from monitor.scan.run import Options, scan
from monitor.scan.sarif import document
from monitor.scan.walk import walk

# The schema of OASIS as schemastore.org has it (sarif-2.1.0-rtm.5), unchanged but for white space.
SCHEMA = json.loads((Path(__file__).parent / "sarif-schema-2.1.0.json").read_text(encoding="utf-8"))
Token = Callable[[int], str]


def sarif(engine: Engine, *paths: str) -> dict[str, object]:
    found: list[tuple[str, str]] = []
    hits = []
    for outcome in scan(walk(paths, lambda path, why, to=found: to.append((path, why))), engine, Options(b"k" * 32), 1):
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
    assert region == {"startLine": 2, "startColumn": 3, "byteOffset": 5}
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
