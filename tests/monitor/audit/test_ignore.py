from __future__ import annotations

from pathlib import Path

import pytest

from detectors.rules.template import expand
from monitor.audit.check import Evidence
from monitor.audit.ignore import covered
from tests.monitor.audit.conftest import ONE, Make, git, repository, write

WHOLE = ".env\n.env.local\n.env.*.local\n*.pem\n*.key\n"


def wrong(make: Make, folder: Path) -> list[Evidence]:
    found = list(covered(make(folder)))
    assert found
    return [one for one in found if one.verdict != "pass"]


def test_all_patterns_at_the_top_hold_everywhere(make: Make, tmp_path: Path) -> None:
    folder = repository(tmp_path / "r", {".gitignore": WHOLE})
    write(folder, {"services/web/.env": "A=b"})
    assert wrong(make, folder) == []


@pytest.mark.parametrize("left", WHOLE.split())
def test_each_pattern_is_asked_for(left: str, make: Make, tmp_path: Path) -> None:
    folder = repository(tmp_path / "r", {".gitignore": WHOLE.replace(f"{left}\n", "", 1), "a": "x"})
    (one,) = wrong(make, folder)
    assert one.verdict == "fail"
    assert one.text == f"{left} is not ignored"
    assert one.repeat.startswith(f"git -C {folder} check-ignore --no-index -v ")


def test_what_only_this_clone_or_this_user_ignores_does_not_count(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository(tmp_path / "r", {"a": "x"})
    (folder / ".git/info/exclude").write_text(WHOLE)
    write(tmp_path / "home", {".gitconfig": f"[core]\n excludesFile = {tmp_path}/home/ignore\n", "ignore": WHOLE})
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert len(wrong(make, folder)) == 5


def test_a_pattern_for_the_top_alone_fails_where_a_file_lies_below(make: Make, tmp_path: Path) -> None:
    folder = repository(tmp_path / "r", {".gitignore": WHOLE.replace(".env\n", "/.env\n", 1)})
    assert wrong(make, folder) == []
    write(folder, {"web/.env": "A=b"})
    assert [one.text for one in wrong(make, folder)] == [".env is not ignored in web/"]


def test_a_pattern_taken_back_is_none(make: Make, tmp_path: Path) -> None:
    folder = repository(tmp_path / "r", {".gitignore": WHOLE + "!.env.local\n"})
    assert [one.path for one in wrong(make, folder)] == [".env.local"]


def test_what_is_tracked_is_judged_by_its_name_or_by_what_it_holds(make: Make, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        ".gitignore": WHOLE, ".env.example": "A=", "a/.env.local.example": "A=", ".envrc": "use nix\n",
        ".env": "PORT=1", "a/.env.test.local": "", ".env.test": "PORT=1\n", ".env.production": f"DB_PASSWORD={ONE}\n",
        "ca.pem": "-----BEGIN CERTIFICATE-----\nMIIB\n",
        "x.key": expand("{pem:RSA PRIVATE KEY}", 1), "y.key": b"\x30\x82",
    }  # fmt: skip
    pieces = wrong(make, repository(tmp_path / "r", files))
    assert {one.path: one.verdict for one in pieces} == {
        ".env": "fail", "a/.env.test.local": "fail", ".env.production": "fail", "x.key": "fail", "y.key": "unknown",
    }  # fmt: skip
    assert ".env.production is tracked, and holds DB_PASSWORD" in {one.text for one in pieces}
    assert ONE not in str(pieces)


def test_names_that_are_no_text(make: Make, tmp_path: Path) -> None:
    folder = repository(
        tmp_path / "r", {".gitignore": WHOLE, "d\udcff/\x01a\nb/.env.production": f"DB_PASSWORD={ONE}\n"}
    )
    write(folder, {"d\udcff/.env": "A=b"})
    assert [(one.verdict, one.path) for one in wrong(make, folder)] == [("fail", "d\udcff/\x01a\nb/.env.production")]


def test_the_history_is_read_and_a_deleted_file_is_still_in_it(make: Make, tmp_path: Path) -> None:
    pem = expand("{pem:RSA PRIVATE KEY}", 1)
    folder = repository(tmp_path / "r", {".gitignore": WHOLE, "web/.env": "A=b", "x.pem": pem, "a": "x"})
    git(folder, "rm", "-q", "web/.env", "x.pem")
    git(folder, "commit", "-q", "-m", "second")
    found = wrong(make, folder)
    assert {one.path: one.verdict for one in found} == {"web/.env": "fail", "x.pem": "fail"}
    assert all("is in the history" in one.text for one in found)


def test_a_shallow_clone_tells_no_history(make: Make, tmp_path: Path) -> None:
    folder = repository(tmp_path / "r", {".gitignore": WHOLE})
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{folder}", str(tmp_path / "clone"))
    (one,) = wrong(make, tmp_path / "clone")
    assert (one.verdict, "shallow" in one.text) == ("unknown", True)


def test_no_repository_is_unknown(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {".git": "rubbish", ".gitignore": WHOLE})
    (one,) = wrong(make, tmp_path)
    assert one.verdict == "unknown"
    assert [one.verdict for one in covered(make())] == ["unknown"]


def test_a_repository_without_a_commit(make: Make, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, {".gitignore": WHOLE})
    assert wrong(make, tmp_path) == []
