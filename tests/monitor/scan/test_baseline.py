from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.match.engine import Engine
from monitor.common.archive import ByteStream
from monitor.domain.model import Finding
from monitor.scan.baseline import BaselineError, read, write
from monitor.scan.search import ScanOptions, Searcher, stream_blocks

KEY = b"k" * 32


def findings(engine: Engine, text: str) -> list[Finding]:
    blocks = stream_blocks("f\udcff", ByteStream(iter([text.encode()])))
    return [hit.finding for hit in Searcher(engine.worker(), ScanOptions(KEY)).search(blocks)]


def test_written_and_read(engine: Engine, token: Callable[[int], str], tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    found = findings(engine, f"{token(1)} {token(2)} {token(1)}")
    assert write(path, KEY, found) == 2
    assert read(path, KEY) == {finding.fingerprint for finding in found}
    text = path.read_text()
    assert token(1) not in text
    assert token(1)[8:] not in text
    assert [p.name for p in tmp_path.iterdir()] == ["base.json"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        ("nonsense", "it is not JSON"),
        ("[]", "not a baseline of version 1"),
        ('{"version": 2, "secrets": []}', "not a baseline of version 1"),
        ('{"version": 1, "key": "x", "secrets": []}', "another fingerprint key"),
    ],
)
def test_what_is_no_baseline_says_why(tmp_path: Path, content: str | None, why: str) -> None:
    path = tmp_path / "base.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BaselineError, match=why) as caught:
        read(path, KEY)
    assert str(path) in str(caught.value)
    assert "--write-baseline" in str(caught.value)


def test_another_key_and_a_damaged_entry(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    write(path, KEY, [])
    with pytest.raises(BaselineError, match="another fingerprint key"):
        read(path, b"x" * 32)
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"secrets": [{}]}))
    with pytest.raises(BaselineError, match="damaged"):
        read(path, KEY)
    with pytest.raises(BaselineError):
        write(tmp_path / "no" / "such", KEY, [])
