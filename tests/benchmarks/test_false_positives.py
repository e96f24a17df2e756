from __future__ import annotations

import gzip
import sysconfig
from pathlib import Path

import pytest

from benchmarks.false_positives import BLOCK, files, main, places, read, search
from benchmarks.loggen import generate
from detectors.rules.template import expand
from tests.detectors.texts import engine


def token(seed: int) -> str:
    return "ghp_" + expand("{alnum:30}{crc32}", seed)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_generated_logs_hold_no_finding(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "app.log"
    generate(16 << 20, path, seed)
    found = [(line, match.rule.id) for line, match in search(engine().worker(), path.read_bytes())]
    assert found == []


def test_the_standard_library_holds_no_finding_of_high_confidence() -> None:
    # Without the certificates of its own tests, which Debian does not ship.
    root = Path(sysconfig.get_path("stdlib"))
    worker = engine().worker()
    bad = [
        f"{path}:{line} {match.rule.id}"
        for path in files(
            [root / name for name in ("asyncio", "email", "http", "json", "logging", "unittest", "urllib", "xml")]
        )
        for line, match in search(worker, read(path))
        if match.confidence == "high"
    ]
    assert bad == []


def test_lines_are_counted_over_blocks() -> None:
    data = (b"x" * 1023 + b"\n") * (BLOCK // 1024 + 100) + f"key {token(1)}\n".encode()
    assert [line for line, _ in search(engine().worker(), data)] == [BLOCK // 1024 + 101]


def test_every_file_is_read_once_unpacked_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "plain").write_text("x")
    (tmp_path / "a" / "packed.gz").write_bytes(gzip.compress(b"text"))
    (tmp_path / "a" / "broken.gz").write_bytes(b"\x1f\x8bnothing")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "a" / "plain")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("x")
    assert [path.name for path in files([tmp_path])] == ["broken.gz", "packed.gz", "plain"]
    assert [read(path) for path in files([tmp_path])] == [b"", b"text", b"x"]
    assert places()


def test_the_report_counts_by_confidence_and_shows_no_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.false_positives.load_rules", lambda: ())
    monkeypatch.setattr("benchmarks.false_positives.Engine.build", lambda _: engine())  # the same, without compiling it
    (tmp_path / "app.log").write_text(f"one\nkey {token(1)} end\n")
    assert main([str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert f"high critical github-pat {tmp_path / 'app.log'}:2 ghp_" in shown
    assert token(1) not in shown
    assert "high        1 findings" in shown
