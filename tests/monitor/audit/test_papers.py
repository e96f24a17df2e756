from __future__ import annotations

from pathlib import Path

import pytest

from monitor.audit.papers import emergency, rotation
from tests.monitor.audit.conftest import Make, write

PROCEDURE = "# When a secret leaked\n\nRevoke the key at its issuer. Then notify the on-call engineer.\n"


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("docs/rotation.md", "# Keys\n\nCritical ones: every 90 days.\n", 3),
        ("docs/security.md", "# Security\n\n## Rotation\n\nquarterly\n\n# Else\n", 5),
        ("SECURITY.md", "We rotate API keys monthly.\n", 1),
        ("docs/keys.rst", "Keys are rotated at least once a year\n", 1),
    ],
)
def test_a_page_that_says_how_often(name: str, text: str, line: int, make: Make, tmp_path: Path) -> None:
    (one,) = rotation(make(write(tmp_path, {name: text, "README.md": "Built daily.\n"})))
    assert (one.verdict, one.path, one.line) == ("pass", name, line)


@pytest.mark.parametrize(
    "text", ["We rotate keys.\n", "## Rotation\n\nsoon\n\n## Else\n\nevery 2 weeks\n", "Logs: kept for 90 days.\n", ""]
)
def test_one_that_does_not(text: str, make: Make, tmp_path: Path) -> None:
    assert [one.verdict for one in rotation(make(write(tmp_path, {"a.md": text or "x"})))] == ["fail"]


def test_an_emergency_procedure_says_what_to_do_and_whom_to_tell(make: Make, tmp_path: Path) -> None:
    (one,) = emergency(make(write(tmp_path / "a", {"docs/leaks.md": PROCEDURE})))
    assert (one.verdict, one.line) == ("pass", 3)
    for text in ("# Leaks\n\nDo not panic.\n", "# Setup\n\nRevoke keys, notify.\n", "# Incident\n\nRevoke it.\n"):
        assert [one.verdict for one in emergency(make(write(tmp_path / "b", {"a.md": text})))] == ["fail"]


def test_documents_of_the_configuration(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"p.md": PROCEDURE, "other.md": "x"})
    assert [one.verdict for one in emergency(make(emergency_document=tmp_path / "p.md"))] == ["pass"]
    assert [one.verdict for one in emergency(make(emergency_document=tmp_path / "other.md"))] == ["fail"]
    assert [one.verdict for one in rotation(make(rotation_document=tmp_path / "gone.md"))] == ["unknown"]
    assert [one.verdict for one in rotation(make())] == ["unknown"]


def test_hostile_texts_end(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"a.md": "every " * 100_000, "b.md": "#" * 200_000, "c.md": b"\xff" * 1000 + b"\0"})
    assert [one.verdict for one in rotation(make(tmp_path))] == ["fail"]
