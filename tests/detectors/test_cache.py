from __future__ import annotations

import compileall
import os
import py_compile
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors import cache


def test_what_is_read_back_is_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "x.kind"
    for body in (b"", b"\n\0 any bytes", b"a" * 1_000_000):
        cache.write(path, body, keep=4)
        assert cache.read(path) == body
    assert sorted(os.listdir(path.parent)) == ["cache.key", "x.kind"]


@pytest.mark.parametrize(
    "harm",
    [
        lambda raw: b"",
        lambda raw: raw[:10],
        lambda raw: raw[:-1],
        lambda raw: raw + b"more",
        lambda raw: b"\0" * len(raw),
        lambda raw: raw[:-5] + bytes([raw[-5] ^ 1]) + raw[-4:],
        lambda raw: raw[:30] + bytes([raw[30] ^ 1]) + raw[31:],
        lambda raw: raw.replace(b"cache 5", b"cache 4"),
    ],
)
def test_what_is_not_whole_is_not_read(tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "x.kind"
    cache.write(path, b"what was worth keeping", keep=4)
    path.write_bytes(harm(path.read_bytes()))
    assert cache.read(path) is None


def test_a_file_that_is_not_there_or_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache.write(tmp_path / "file" / "x.kind", b"body", keep=4)
    assert cache.read(tmp_path / "file" / "x.kind") is None


def test_what_could_not_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "x.kind").mkdir()
    cache.write(tmp_path / "x.kind", b"body", keep=4)
    assert sorted(os.listdir(tmp_path)) == ["cache.key", "x.kind"]


def test_the_oldest_of_a_kind_go(tmp_path: Path) -> None:
    (tmp_path / "x.other").write_text("")
    for number in range(9):
        cache.write(tmp_path / f"{number}.kind", b"body", keep=3)
        os.utime(tmp_path / f"{number}.kind", (number, number))
    assert sorted(os.listdir(tmp_path)) == ["6.kind", "7.kind", "8.kind", "cache.key", "x.other"]


def test_what_others_may_have_written_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cache"
    path = folder / "x.kind"
    cache.write(path, b"body", keep=4)
    for place in (path, folder, folder / "cache.key"):
        mode = place.stat().st_mode & 0o777
        place.chmod(mode | 0o020)
        assert cache.read(path) is None
        place.chmod(mode)
        assert cache.read(path) == b"body"
    path.rename(folder / "other")
    path.symlink_to("other")
    assert cache.read(path) is None
    path.unlink()
    cache.write(path, b"body", keep=4)
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 1)  # another user, such as root
        assert cache.read(path) is None
        cache.write(folder / "y.kind", b"body", keep=4)
    assert sorted(os.listdir(folder)) == ["cache.key", "other", "x.kind"]


def test_the_digest_has_a_key_of_the_folder(tmp_path: Path) -> None:
    here, there = tmp_path / "a" / "x.kind", tmp_path / "b" / "x.kind"
    cache.write(here, b"ours", keep=4)
    cache.write(there, b"whole, but made elsewhere", keep=4)
    here.write_bytes(there.read_bytes())
    assert cache.read(here) is None
    (tmp_path / "a" / "cache.key").write_bytes(b"short")
    cache.write(here, b"ours", keep=4)  # finds the key cut, the next one makes another
    cache.write(here, b"ours", keep=4)
    assert cache.read(here) == b"ours"


def test_what_is_shipped_is_read_by_whoever_may_run_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "compiled"
    folder.mkdir()
    monkeypatch.setattr(cache, "SHIPPED", folder)
    assert cache.shipped("x.kind") is None
    cache.put(folder / "x.kind", b"body", 4)
    assert os.listdir(folder) == ["x.kind"]
    assert (folder / "x.kind").stat().st_mode & 0o777 == 0o644
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)  # its files are those of whom the code belongs to
    assert cache.shipped("x.kind") == b"body"
    for place in (folder, folder / "x.kind"):
        for open_to in (0o020, 0o002):
            mode = place.stat().st_mode & 0o777
            place.chmod(mode | open_to)
            assert cache.shipped("x.kind") is None, "others may have written it"
            place.chmod(mode)
    assert cache.shipped("x.kind") == b"body"
    (folder / "y.kind").symlink_to("x.kind")
    assert cache.shipped("y.kind") is None
    raw = (folder / "x.kind").read_bytes()
    for harmed in (b"", raw[:-1], raw[:-1] + b"?", raw + b"more"):
        (folder / "x.kind").write_bytes(harmed)
        assert cache.shipped("x.kind") is None


def test_what_is_shipped_by_somebody_else_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o755)
    cache.put(tmp_path / "x.kind", b"body", 4)
    stat = os.stat
    owner = stat(tmp_path).st_uid + 7

    def theirs(path: str | Path, **options: bool) -> os.stat_result:
        return os.stat_result([*stat(path, **options)[:4], owner, *stat(path, **options)[5:]])

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", theirs)  # of the open file
        assert cache.shipped("x.kind", tmp_path) is None
        patch.setattr(os, "stat", theirs)  # of the folder and of the code as well
        assert cache.shipped("x.kind", tmp_path) == b"body"


def test_digests_tell_texts_apart_by_name_and_text_and_not_by_their_order() -> None:
    same = {cache.digest(texts) for texts in ([("x", b"1"), ("y", b"2")], [("y", b"2"), ("x", b"1")])}
    assert len(same) == 1
    assert len(same | {cache.digest([("x", b"12"), ("y", b"")]), cache.digest([("x", b"1"), ("z", b"2")])}) == 3


def test_code_that_decides_what_is_compiled_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that it imports of ours lies in these rooms, which tests/test_layout.py holds. Bytecode may stand for it."""
    rooms = tmp_path / "detectors"
    shutil.copytree(
        Path(cache.__file__).parent, rooms, ignore=shutil.ignore_patterns("__pycache__", "compiled", "packs")
    )
    monkeypatch.setattr(cache, "__file__", str(rooms / "cache.py"))
    counted = cache.code.__wrapped__()
    assert counted == cache.code()
    for name in ("cache.py", "rules/packfile.py", "compile/anchors.json", "compile/plan.py"):
        before = (rooms / name).read_bytes()
        (rooms / name).write_bytes(before + b" ")
        assert cache.code.__wrapped__() != counted
        (rooms / name).write_bytes(before)
    (rooms / "match" / "text.py").write_bytes(b"")  # decides nothing of it
    assert cache.code.__wrapped__() == counted

    compileall.compile_dir(rooms, quiet=1, legacy=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    for path in rooms.rglob("*.py"):
        path.unlink()
    assert cache.code.__wrapped__() == counted
    (rooms / "rules" / "packfile.pyc").unlink()
    assert cache.code.__wrapped__() != counted


def test_nobody_who_scans_it_sees_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "x.kind"
    cache.write(path, b"password = 'of an example'", keep=4)
    raw = path.read_bytes()
    assert raw.startswith(b"exposure-monitor cache 5\n")
    assert not any(word in raw for word in (b"password", b"example"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_root_begins_no_cache_in_the_state_folder_of_somebody_else(tmp_path: Path) -> None:
    """As `monitor check` would, with sudo: the service could neither read nor replace it."""
    os.chown(tmp_path, 65534, 65534)
    cache.write(tmp_path / "cache" / "x.rules", b"body", keep=1)
    assert [*tmp_path.iterdir()] == []
    os.chown(tmp_path, 0, 0)
    cache.write(tmp_path / "cache" / "x.rules", b"body", keep=1)
    assert cache.read(tmp_path / "cache" / "x.rules") == b"body"
