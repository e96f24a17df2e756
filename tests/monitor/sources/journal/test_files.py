from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.sources.journal import files
from monitor.sources.journal.files import Catalogue
from tests.fakes.journal import Journal

MACHINE = "a" * 32


async def test_files_by_sequence_and_how_far_they_go(tmp_path: Path) -> None:
    assert not Catalogue(str(tmp_path / "none"), None).look().complete
    journal = Journal(tmp_path)
    for name, count in (("a", 3), ("b", 1), ("a", 2)):
        for _ in range(count):
            journal.write(b"text")
        await journal.settle(name)
    (tmp_path / "empty.journal").touch()
    (tmp_path / "odd.journal").write_bytes(b"no journal" * 100)
    (tmp_path / "notes.txt").write_text("no journal")
    listing = Catalogue(str(tmp_path), None).look()
    assert listing.complete
    found = {Path(file.path).name: (file.head, file.tail, file.entries) for [file] in listing.sequences.values()}
    assert found == {"a.journal": (1, 5, 5), "b.journal": (1, 1, 1)}
    os.rename(tmp_path / "a.journal", tmp_path / "a@1.journal~")
    again = Catalogue(str(tmp_path), None).look()
    assert again.sequences.keys() == listing.sequences.keys()


@pytest.mark.parametrize(
    ("namespace", "wanted"),
    [(None, {MACHINE}), ("app", {f"{MACHINE}.app"}), ("+app", {MACHINE, f"{MACHINE}.app"})],
)
async def test_folders_of_machines_and_namespaces(tmp_path: Path, namespace: str | None, wanted: set[str]) -> None:
    for folder in (MACHINE, f"{MACHINE}.app", f"{MACHINE}.web", "remote"):
        journal = Journal(tmp_path / folder)
        journal.write(b"text")
        await journal.settle()
    found = Catalogue(str(tmp_path), namespace).look().sequences.values()
    assert {Path(file.path).parent.name for [file] in found} == wanted
    assert len(Catalogue(str(tmp_path), "*").look().sequences) == 3


async def test_a_file_that_goes_while_it_looks_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    journal.write(b"text")
    await journal.settle()
    read = files._read

    def renamed(path: str) -> object:
        if path.endswith("system.journal"):
            os.rename(path, tmp_path / "system@1.journal")
        return read(path)

    monkeypatch.setattr(files, "_read", renamed)
    listing = Catalogue(str(tmp_path), None).look()
    assert listing.complete
    assert [Path(file.path).name for [file] in listing.sequences.values()] == ["system@1.journal"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_what_may_not_be_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(b"text")
    await journal.settle()
    (tmp_path / "system.journal").chmod(0)
    listing = Catalogue(str(tmp_path), None).look()
    assert listing.refused == (str(tmp_path / "system.journal"),)
    assert not listing.complete
