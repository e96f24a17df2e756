from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.common import archive
from monitor.common.archive import ArchiveBudget, ArchiveError, ByteStream, kind, leaves
from tests.examples import examples


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return out.getvalue()


def tarred(members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return out.getvalue()


def everything(data: bytes, budget: ArchiveBudget | None = None) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
    """What can be read of an archive called `a`, and what is said of the rest."""
    problems: list[tuple[str, str]] = []
    out: dict[str, bytes] = {}
    try:
        for path, stream in leaves("a", io.BytesIO(data), budget or ArchiveBudget(), lambda *p: problems.append(p)):
            out[path] = b""
            try:
                while piece := stream.read():
                    out[path] += piece
            except ArchiveError as error:
                problems.append((path, str(error)))
    except ArchiveError as error:
        problems.append(("a", str(error)))
    return out, problems


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": lambda data: bz2.compress(data, 1),  # in blocks of 100 KB
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor().compress,
}
BODY = os.urandom(300_000)  # of several chunks


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "real_chunks" not in request.fixturenames:
        monkeypatch.setattr(archive, "CHUNK", 100 << 10)


@pytest.fixture
def real_chunks() -> None:
    pass


@pytest.mark.parametrize("name", ["gz", "zst"])
@pytest.mark.usefixtures("real_chunks")
def test_chunks_of_the_size_they_have(name: str) -> None:
    body = os.urandom(3 * archive.CHUNK + 5)
    assert everything(PACKERS[name](tarred({"b": body}))) == ({"a!b": body}, [])


@pytest.mark.parametrize("name", PACKERS)
def test_compressed_files_also_when_several_follow_each_other(name: str) -> None:
    pack = PACKERS[name]
    assert kind(pack(BODY)[:512]) == name
    assert everything(pack(BODY)) == ({"a": BODY}, [])
    assert everything(pack(b"one") + pack(b"two" * 9)) == ({"a": b"one" + b"two" * 9}, [])
    assert everything(pack(b"")) == ({"a": b""}, [])


@pytest.mark.parametrize("name", PACKERS)
def test_truncated_and_damaged_files_say_so_and_keep_what_came_before(name: str) -> None:
    packed = PACKERS[name](BODY)
    out, problems = everything(packed[: len(packed) // 2])
    assert BODY.startswith(out["a"])
    assert name == "zst" or out["a"]
    assert name == "zst" or problems == [("a", "ends in the middle")]
    damaged = bytearray(packed)
    damaged[len(packed) // 2 : len(packed) // 2 + 64] = b"\xff" * 64
    _, problems = everything(bytes(damaged[:-40]))
    assert len(problems) <= 1


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip(method: int) -> None:
    members = {"b.txt": b"hello", "folder/c": BODY, "empty": b""}
    assert everything(zipped(members, method)) == ({f"a!{k}": v for k, v in members.items()}, [])


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar(form: int) -> None:
    deep = "/".join(["folder" * 4] * 5) + "/file"
    members = {"b.txt": b"hello", deep: BODY, "empty": b""}
    expected = {f"a!{k}": v for k, v in members.items()}
    assert everything(tarred(members, form)) == (expected, [])
    for pack in PACKERS.values():
        assert everything(pack(tarred(members, form))) == (expected, [])


def test_names_longer_than_a_header_and_beyond_ascii() -> None:
    members = {"näme/" + "x" * 300: b"1", "y" * 150: b"2"}
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        assert everything(tarred(members, form)) == ({f"a!{k}": v for k, v in members.items()}, [])


def test_links_devices_and_folders_of_a_tar_are_passed_over() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for name, what in (
            ("l", tarfile.SYMTYPE),
            ("h", tarfile.LNKTYPE),
            ("d", tarfile.DIRTYPE),
            ("p", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = what, "/etc/shadow"
            file.addfile(info)
        info = tarfile.TarInfo("last")
        info.size = 3
        file.addfile(info, io.BytesIO(b"end"))
    assert everything(out.getvalue()) == ({"a!last": b"end"}, [])


def test_archives_inside_archives_to_a_depth() -> None:
    data = b"core"
    for name in ("d.txt", "c", "b"):
        data = zipped({name: data})
    assert everything(data) == ({"a!b!c!d.txt": b"core"}, [])
    data = zipped({"z": data})
    out, problems = everything(data)
    assert list(out) == ["a!z!b!c"]
    assert kind(out["a!z!b!c"]) == "zip"
    assert problems == [("a!z!b!c", "an archive inside 3 others is not opened; only its bytes are searched")]
    mixed = gzip.compress(tarred({"x.zip": zipped({"y.log.xz": lzma.compress(b"core")})}))
    assert everything(mixed) == ({"a!x.zip!y.log.xz": b"core"}, [])


def test_names_that_climb_are_only_shown() -> None:
    names = ["../../etc/passwd", "/abs", "C:\\win"]
    assert list(everything(zipped(dict.fromkeys(names, b"x")))[0]) == [f"a!{name}" for name in names]
    assert list(everything(tarred(dict.fromkeys(names, b"x")))[0]) == [f"a!{name}" for name in names]


@pytest.mark.parametrize("name", PACKERS)
def test_a_bomb_ends_at_the_budget(name: str) -> None:
    pack = PACKERS[name]
    bomb = pack(pack(bytes(24 << 20)))
    out, problems = everything(bomb, ArchiveBudget(size=8 << 20))
    assert sum(map(len, out.values())) <= 8 << 20
    assert [why for _, why in problems] == ["stopped after 8 MiB unpacked; --max-unpacked raises the limit"]


def test_a_zip_bomb_of_many_members_that_share_bytes_ends_at_the_budget() -> None:
    bomb = zipped({f"m{n}": bytes(4 << 20) for n in range(20)})
    out, problems = everything(bomb, ArchiveBudget(size=10 << 20))
    assert sum(map(len, out.values())) <= 10 << 20
    # The member that went over, then the archive as a whole.
    assert all("stopped after 10 MiB" in why for _, why in problems)
    assert [path for path, _ in problems] == ["a!m2", "a"]
    many = zipped({f"m{n}": b"" for n in range(50)})
    out, problems = everything(many, ArchiveBudget(members=10))
    assert len(out) == 10
    assert "more members" in problems[-1][1]


def test_time_is_bounded_too() -> None:
    _, problems = everything(gzip.compress(bytes(32 << 20)), ArchiveBudget(seconds=0.0))
    assert problems == [("a", "stopped after 0 s; unpack it and scan the files")]


def test_a_nested_zip_has_to_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "NESTED_ZIP", 1000)
    out, problems = everything(tarred({"x.zip": zipped({"y": BODY}), "after": b"still read"}))
    assert out == {"a!after": b"still read"}
    assert problems[0][0] == "a!x.zip"


def test_an_encrypted_member_is_named_and_the_rest_read() -> None:
    data = bytearray(zipped({"locked": b"secret", "open": b"plain"}))
    central = data.index(b"PK\x01\x02")
    data[6] |= 1
    data[central + 8] |= 1
    out, problems = everything(bytes(data))
    assert out == {"a!open": b"plain"}
    assert problems == [("a!locked", "encrypted, so not read")]


def test_a_damaged_member_does_not_hide_the_others() -> None:
    data = bytearray(zipped({"first": BODY[:5000], "second": b"plain"}, zipfile.ZIP_STORED))
    data[200] ^= 0xFF  # its checksum fails
    out, problems = everything(bytes(data))
    assert out["a!second"] == b"plain"
    assert problems == [("a!first", "damaged or not supported (BadZipFile)")]


def test_a_tar_header_that_claims_more_than_there_is() -> None:
    info = tarfile.TarInfo("huge")
    info.size = 1 << 60
    out, problems = everything(info.tobuf(tarfile.GNU_FORMAT) + b"short")
    assert out == {"a!huge": b"short"}
    assert problems == [("a!huge", "ends in the middle")]
    record = tarfile.TarInfo("names")
    record.type, record.size = b"L", 1 << 50
    assert everything(record.tobuf(tarfile.GNU_FORMAT) + bytes(1000))[0] == {}


def test_a_stream_gives_exactly_what_is_asked_of_take() -> None:
    stream = ByteStream(iter([b"ab", b"cdef", b"g"]))
    assert stream.peek(3) == b"abcdef"[:3]
    assert (stream.take(3), stream.read(), stream.take(9), stream.read()) == (b"abc", b"def", b"g", b"")


SEEDS = [zipped({"a": b"x" * 50}), tarred({"a": b"x" * 50}), *(p(b"x" * 500) for p in PACKERS.values())]


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=8),
    st.integers(0, 3000),
)
def test_no_damage_raises_anything_else(seed: bytes, changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(seed)
    for at, value in changes:
        data[at % len(data)] = value
    everything(bytes(data[: max(1, length)]), ArchiveBudget(size=4 << 20))


def test_zlib_data_appended_to_gzip_is_ignored() -> None:
    assert everything(gzip.compress(b"one") + zlib.compress(b"two")) == ({"a": b"one"}, [])
