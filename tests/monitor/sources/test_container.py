from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from monitor.domain.model import Block
from monitor.sources.container import ContainerConfig, ContainerSource
from monitor.sources.file import source as file_source
from tests.fakes.intake import FakeIntake, running, until
from tests.fakes.peer import Way
from tests.monitor.sources.test_unwrap import cri, docker

PIECE = 16 << 10


@asynccontextmanager
async def way_in(folder: Path) -> AsyncIterator[Way]:
    async def feed(lines: Sequence[str]) -> None:
        with (folder / "a-json.log").open("w") as log:
            log.writelines(json.dumps({"log": f"{line}\n", "stream": "stdout"}) + "\n" for line in lines)

    yield Way({"include": [str(folder / "*-json.log")]}, feed)


def source(intake: FakeIntake, *include: Path) -> ContainerSource:
    config = ContainerConfig(
        name="pods", include=tuple(map(str, include)), start_at="beginning", reconcile="20ms", quiet="50ms"
    )
    return ContainerSource(config, intake, b"k" * 32)


def long(text: bytes, form: str) -> bytes:
    """A long line as runtimes keep it: in pieces."""
    pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
    if form == "docker":
        return b"".join(docker(piece.decode()) for piece in pieces[:-1]) + docker(pieces[-1].decode() + "\n")
    return b"".join(cri(piece, tag="P") for piece in pieces[:-1]) + cri(pieces[-1])


def check_offsets(intake: FakeIntake, data: bytes) -> None:
    for seen in intake.found.values():
        assert data[seen.offset : seen.offset + 1] == b"<"


@pytest.mark.parametrize("form", ["docker", "cri"])
async def test_values_over_pieces_wherever_blocks_are_cut(tmp_path: Path, form: str) -> None:
    """Lines of up to 3 MiB, with a mark across every border of two pieces."""
    rng = random.Random(1)
    data, count = b"", 0
    for size in (1, 3, 40, 2, 190, 5, 70):
        text = bytearray(b"x" * (size * PIECE + rng.randrange(100)))
        for border in range(PIECE, len(text) - 10, PIECE):
            count += 1
            mark = b"<%d>" % count
            text[border - 2 : border - 2 + len(mark)] = mark
        data += long(bytes(text), form)
    path = tmp_path / "0.log"
    path.write_bytes(data)
    intake = FakeIntake()
    await source(intake, path).run(True)
    assert intake.marks == list(range(1, count + 1))
    assert intake.hits == count
    check_offsets(intake, data)


@pytest.mark.parametrize("form", ["docker", "cri"])
async def test_kills_rotation_and_an_archive(tmp_path: Path, form: str) -> None:
    intake = FakeIntake()
    path = tmp_path / "0.log"
    data = long(b"<1> and" + b"y" * PIECE + b"<2>", form)
    cut = data.index(b"<2>") - 40
    path.write_bytes(data[:cut])
    async with running(source(intake, path)):
        await until(lambda: intake.marks == [1])
    with path.open("ab") as file:
        file.write(data[cut:])
    async with running(source(intake, path)):
        await until(lambda: intake.marks == [1, 2])
        with path.open("ab") as file:
            file.write(long(b"<3>", form))
        os.replace(path, tmp_path / "0.log.20260102-030405")
        path.write_bytes(long(b"<4>", form))
        await until(lambda: intake.marks == [1, 2, 3, 4])
    with path.open("ab") as file:
        file.write(long(b"<5>", form))
    (tmp_path / "0.log.20260102-030406.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.write_bytes(long(b"<6>", form))
    async with running(source(intake, path)):
        await until(lambda: intake.marks == [1, 2, 3, 4, 5, 6])
    assert not intake.lost


@pytest.mark.parametrize("form", ["docker", "cri"])
@pytest.mark.parametrize("count", [5, 300, 3000])
@pytest.mark.parametrize("words", [1, 10, 400])
async def test_a_log_of_lines_of_any_length_rotates(tmp_path: Path, form: str, count: int, words: int) -> None:
    """What a block carries of its predecessor is longer as it stands in the file than as the container wrote it."""
    wrapped = long(b"ten " * words + b"words", form)
    intake, path = FakeIntake(), tmp_path / "0.log"
    path.write_bytes(wrapped * count + long(b"<1>", form))
    async with running(source(intake, path)):
        await until(lambda: intake.marks == [1])
        for number in (2, 3):
            os.replace(path, tmp_path / f"0.log.2026010{number}-030405")
            path.write_bytes(long(b"<%d>" % number, form))
            await until(lambda number=number: intake.marks == [*range(1, number + 1)])  # type: ignore[misc]
    async with running(source(intake, path)):
        with path.open("ab") as file:
            file.write(long(b"<4>", form))
        await until(lambda: intake.marks == [1, 2, 3, 4])
    assert not intake.lost


async def test_a_block_that_fails_in_what_is_carried_over_a_rotation_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_source, "UNSCANNABLE", 2)
    intake, path = FakeIntake(), tmp_path / "0.log"
    intake.broken = b"poison"
    path.write_bytes(cri(b"<1>") + cri(b"half of a poi", tag="P"))
    async with running(source(intake, path)):
        await until(lambda: intake.marks == [1])
        os.replace(path, tmp_path / "0.log.20260102-030405")
        path.write_bytes(cri(b"son <2>"))
        await until(lambda: bool(intake.lost))
        with path.open("ab") as file:
            file.write(cri(b"<3>"))
        await until(lambda: intake.marks == [1, 3])
    assert [reason for reason, _, _ in intake.lost] == ["unscannable"]


async def test_a_link_that_turns_to_another_file(tmp_path: Path) -> None:
    pods = tmp_path / "pods" / "shop_web-1_uid" / "api"
    pods.mkdir(parents=True)
    links = tmp_path / "containers"
    links.mkdir()
    link = links / f"web-1_shop_api-{'a' * 64}.log"
    (pods / "0.log").write_bytes(cri(b"<1>"))
    link.symlink_to(pods / "0.log")
    intake = FakeIntake()
    async with running(source(intake, links / "*.log")):
        await until(lambda: intake.marks == [1])
        with (pods / "0.log").open("ab") as file:
            file.write(cri(b"<2>"))
        (pods / "1.log").write_bytes(cri(b"<3>"))
        fresh = links / "fresh"
        fresh.symlink_to(pods / "1.log")
        os.replace(fresh, link)
        await until(lambda: intake.marks == [1, 2, 3])
    assert not intake.lost


async def test_provenance(tmp_path: Path) -> None:
    seen: dict[str, dict[str, str]] = {}

    class Intake(FakeIntake):
        async def scan(self, blocks, positions):  # type: ignore[no-untyped-def]
            def passed():  # type: ignore[no-untyped-def]
                for block in blocks:
                    assert isinstance(block, Block)
                    seen[Path(block.path).name] = dict(block.attributes)
                    yield block

            return await super().scan(passed(), positions)

    pod = tmp_path / "pods" / "shop_web-1_1234" / "api" / "0.log"
    link = tmp_path / "containers" / f"web-1_shop_api-{'a' * 64}.log"
    own = tmp_path / "docker" / ("b" * 64) / f"{'b' * 64}-json.log"
    bare = tmp_path / "docker" / ("c" * 64) / f"{'c' * 64}-json.log"
    for path in (pod, link, own, bare):
        path.parent.mkdir(parents=True)
        path.write_bytes(cri(b"<1>" + path.name.encode()))
    (own.parent / "config.v2.json").write_text(json.dumps({"Name": "/gateway", "Config": {"Image": "acme/gateway:7"}}))
    await source(Intake(), pod, link, own, bare).run(True)
    wanted = {"service": "shop/api", "namespace": "shop", "pod": "web-1", "container": "api"}
    assert seen[pod.name] == seen[link.name] == wanted
    assert seen[own.name] == {"container": "b" * 12, "service": "gateway", "image": "acme/gateway:7"}
    assert seen[bare.name] == {"container": "c" * 12}
