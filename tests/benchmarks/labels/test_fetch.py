from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from benchmarks.labels.draw import sealed
from benchmarks.labels.fetch import HERE, Place, archive, labelled, origins, places

LINES = b"Jan  1 00:00:00 host sshd[1]: one\r\n\nJan  1 00:00:01 host cron: two \xff\nno tag\n"


def tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as packed:
        for name, data in files.items():
            info = tarfile.TarInfo(f"top-1.0/{name}")
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return out.getvalue()


def population(folder: Path, files: dict[str, bytes], *members: dict[str, Any]) -> dict[str, Any]:
    """An origin whose archive is in the cache already, written as the population `logs`."""
    data = tar(files)
    (folder / "archives").mkdir()
    (folder / "archives" / "top.tgz").write_bytes(data)
    at = {"origin": "top", "registry": "npm", "name": "top", "version": "1.0", "file": "top.tgz"}
    origin = at | {"sha256": hashlib.sha256(data).hexdigest(), "members": list(members)}
    (folder / "origins-logs.jsonl").write_text(json.dumps(origin) + "\n")
    return origin


def found(folder: Path, files: dict[str, bytes], *members: dict[str, Any]) -> list[Place]:
    population(folder, files, *members)
    return list(places("logs", folder, folder))


def test_each_line_that_is_not_blank_is_a_place_of_the_product_it_names(tmp_path: Path) -> None:
    tag = r"host (\w+)"
    one, two, three = found(tmp_path, {"a/app_log.txt": LINES}, {"glob": "a/*", "product": "*", "tag": tag})
    assert [(each.line, each.product) for each in (one, two, three)] == [(1, "sshd"), (3, "cron"), (4, "app")]
    assert (one.text, two.text[-1]) == ("Jan  1 00:00:00 host sshd[1]: one", "\ufffd")
    assert two.sha256 == hashlib.sha256(b"Jan  1 00:00:01 host cron: two \xff").hexdigest()[:16]


def test_packed_files_and_archives_inside_are_opened_and_others_left(tmp_path: Path) -> None:
    inner = bz2.compress(gzip.decompress(tar({"x.log": b"inner", "y.txt": b"not named"})))
    files = {"a.log.gz": gzip.compress(b"outer"), "in.tar.bz2": inner, "b.txt": b"not named"}
    got = found(tmp_path, files, {"glob": "*.log.gz", "product": "a"}, {"glob": "in.tar.bz2!*.log", "product": "b"})
    assert [(each.path, each.text) for each in got] == [("a.log.gz", "outer"), ("in.tar.bz2!x.log", "inner")]


def test_a_prefix_and_a_separator_cut_the_lines_of_a_text(tmp_path: Path) -> None:
    files = {"a.rules": b"#LOG: one\nregex=x\n#LOG: two\n", "b.js": rb"data: first\nsecond"}
    members = (
        {"glob": "*.rules", "product": "a", "prefix": "#LOG: "},
        {"glob": "*.js", "product": "b", "separator": r"\n"},
    )
    assert [(each.line, each.text) for each in found(tmp_path, files, *members)] == [
        (1, "one"),
        (3, "two"),
        (1, "data: first"),
        (2, "second"),
    ]


def test_an_event_of_several_lines_is_one_place(tmp_path: Path) -> None:
    files = {"slow.txt": b"head\n# User: a\nselect 1\n# User: b\nselect 2", "none.txt": b"nothing\n"}
    got = found(tmp_path, files, {"glob": "*.txt", "product": "mysql", "start": "^# User"})
    assert [(each.line, each.lines, each.text) for each in got] == [
        (2, 2, "# User: a\nselect 1"),
        (4, 2, "# User: b\nselect 2"),
    ]


def test_an_archive_that_is_not_the_one_named_is_refused(tmp_path: Path) -> None:
    origin = population(tmp_path, {"a.log": b"x"}, {"glob": "*", "product": "a"})
    with pytest.raises(ValueError, match=r"top\.tgz: its sha256 is .* delete it"):
        archive(origin | {"sha256": "0" * 64}, tmp_path)


def test_a_label_is_given_with_its_text_and_refused_where_that_changed(tmp_path: Path) -> None:
    population(tmp_path, {"a.log": b"hello"}, {"glob": "*", "product": "a"})
    label = {"origin": "top", "path": "a.log", "line": 1, "sha256": hashlib.sha256(b"hello").hexdigest()[:16]}
    (tmp_path / "labels-logs.jsonl").write_text(json.dumps(label) + "\n")
    assert list(labelled("logs", tmp_path, tmp_path)) == [(label, "hello")]
    (tmp_path / "labels-logs.jsonl").write_text(json.dumps(label | {"line": 3}) + "\n")
    assert [text for _, text in labelled("logs", tmp_path, tmp_path)] == ["hello"], "a line that was counted wrong"
    (tmp_path / "labels-logs.jsonl").write_text(json.dumps(label | {"sha256": "0" * 16}) + "\n")
    with pytest.raises(ValueError, match=r"top:a\.log:1: not the text that was labelled"):
        list(labelled("logs", tmp_path, tmp_path))


def test_every_origin_says_where_it_comes_from_and_no_name_twice() -> None:
    kept = origins("logs")
    assert len({origin["origin"] for origin in kept}) == len(kept)
    for origin in kept:
        assert set(origin) == {"origin", "registry", "name", "version", "file", "sha256", "members"}
        assert origin["registry"] in {"pypi", "debian", "npm", "loghub"}
        assert len(origin["sha256"]) == 64
        assert all(member["glob"] and member["product"] for member in origin["members"])


@pytest.mark.parametrize("kind", ["events", "committed"])
def test_every_file_of_a_repository_is_named_once_and_labelled(kind: str) -> None:
    kept = origins(kind)
    named = [(origin["origin"], member["glob"]) for origin in kept for member in origin["members"]]
    assert len(set(named)) == len(named) == len(kept)
    assert all(set(origin) == {"origin", "registry", "commit", "members"} for origin in kept)
    rows = [json.loads(row) for row in (HERE / f"labels-{kind}.jsonl").read_text("utf-8").splitlines()]
    assert {(row["origin"], row["path"]) for row in rows} == set(named)
    assert all(row["sealed"] == sealed(row["product"]) for row in rows)


def test_a_file_of_a_repository_is_where_it_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = {"origin": "o/r", "registry": "git", "commit": "c0", "members": [{"glob": "a/b.log", "product": "b"}]}
    (tmp_path / "origins-events.jsonl").write_text(json.dumps(origin) + "\n")
    with pytest.raises(ValueError, match=r"o/r/a/b\.log: not there; .*`git show c0:a/b\.log` says in o/r"):
        list(places("events", tmp_path, tmp_path))
    (tmp_path / "o/r/a").mkdir(parents=True)
    (tmp_path / "o/r/a/b.log").write_text("one\n")
    monkeypatch.setenv("REPOSITORIES", str(tmp_path))
    (got,) = places("events", tmp_path / "cache", tmp_path)
    assert (got.origin, got.path, got.line, got.product, got.text) == ("o/r", "a/b.log", 1, "b", "one")


def test_a_sample_of_loghub_is_where_it_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"Jun 14 15:16:01 combo sshd: check\n"
    origin = {"registry": "loghub", "file": "loghub/X_2k.log", "sha256": hashlib.sha256(data).hexdigest()}
    with pytest.raises(ValueError, match="a sample of LogHub, to be put there; or name its folder with LOGHUB"):
        archive(origin, tmp_path)
    (tmp_path / "X_2k.log").write_bytes(data)
    monkeypatch.setenv("LOGHUB", str(tmp_path))
    assert archive(origin, tmp_path / "cache") == data
