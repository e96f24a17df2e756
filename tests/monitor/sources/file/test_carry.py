"""What a file leaves open at its end goes on in its successor: pieces of records, keys over several lines, lines."""

from __future__ import annotations

import gzip
import os
import random
import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from monitor.sources.container import ContainerConfig, ContainerSource
from monitor.sources.file import tracked_file as tracked_files
from monitor.sources.file.carry import begins_anew
from monitor.sources.file.source import FileConfig, FileSource
from tests.fakes import intake as fake
from tests.fakes.intake import FakeIntake, caught_up, running, until
from tests.fakes.logs import append
from tests.monitor.sources.test_unwrap import cri, docker

# Beside the usual marks one whose beginnings, and whose ends behind a `#`, are marks, too.
GROWING = re.compile(rb"<(\d+)>|BEGIN (\d+)\n[a-z\n]*?END\n|#(\d{3,})")
KEY = b"BEGIN 77\nabc\ndef\nEND\n"


@pytest.fixture(autouse=True)
def growing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "MARK", GROWING)


def containers(intake: FakeIntake, folder: Path) -> ContainerSource:
    config = ContainerConfig(
        name="pods", include=(f"{folder}/*.log",), start_at="beginning", reconcile="20ms", quiet="50ms"
    )
    return ContainerSource(config, intake, b"k" * 32)


def files(intake: FakeIntake, *include: Path, **keys: Any) -> FileSource:
    keys = {"include": [str(path) for path in include], "reconcile": "20ms", "quiet": "50ms"} | keys
    return FileSource(FileConfig(name="services", start_at="beginning", **keys), intake, b"k" * 32)


def pieces(rng: random.Random, form: str, count: int) -> tuple[list[bytes], list[int]]:
    """Lines of a container's files, two streams mixed, with values across pieces; and the values."""
    streams: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    values = []
    for _ in range(count):
        value = rng.randrange(10**7, 10**8)
        values.append(value)
        text = f"token #{value} refused"
        cuts = sorted(rng.sample(range(7, 15), rng.randint(0, 2)))
        parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        stream = rng.choice(list(streams))
        for part in parts[:-1]:
            streams[stream].append(docker(part, stream) if form == "docker" else cri(part.encode(), stream, "P"))
        streams[stream].append(
            docker(f"{parts[-1]}\n", stream) if form == "docker" else cri(parts[-1].encode(), stream)
        )
    mixed = []
    while any(streams.values()):
        stream = rng.choice([name for name, left in streams.items() if left])
        mixed.append(streams[stream].pop(0))
    return mixed, sorted(values)


async def read(source: Any, *paths: Path) -> None:
    """Until what lies at these paths has had a turn."""
    registry = getattr(source, "_files", source)._registry
    for path in paths:
        await until(
            lambda path=path: (
                (tracked := registry.shown(str(path)))  # type: ignore[misc]
                and tracked.inode[1] == path.stat().st_ino
                and tracked.known[0] == path.stat().st_size
                and not tracked.busy
            )
        )


def rotate(log: Path, how: str, number: int) -> None:
    """As the kubelet or Docker does; "gz" compresses as well."""
    old = log.with_name(f"{log.name}.20260102-{number:06d}")
    if how == "copytruncate":
        shutil.copyfile(log, old)
        os.truncate(log, 0)
        return
    os.rename(log, old)
    log.touch()
    if how == "gz":
        (old.with_name(f"{old.name}.gz")).write_bytes(gzip.compress(old.read_bytes()))
        old.unlink()


@pytest.mark.parametrize("how", ["rename", "gz", "copytruncate"])
@pytest.mark.parametrize("form", ["docker", "cri"])
async def test_pieces_of_a_record_on_both_sides_of_a_rotation(tmp_path: Path, form: str, how: str) -> None:
    await rotations(tmp_path, form, how, 0)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(1, 21))
@pytest.mark.parametrize("how", ["rename", "gz", "copytruncate"])
@pytest.mark.parametrize("form", ["docker", "cri"])
async def test_pieces_over_many_rotations(tmp_path: Path, form: str, how: str, seed: int) -> None:
    await rotations(tmp_path, form, how, seed)


async def rotations(tmp_path: Path, form: str, how: str, seed: int) -> None:
    rng = random.Random(f"{form} {how} {seed}")
    lines, values = pieces(rng, form, 8)
    log, intake = tmp_path / "0.log", FakeIntake()
    log.touch()
    number = 0
    while lines:
        ending = rng.choice(("up", "down"))
        first, second = (rng.randrange(1, 4) for _ in range(2))
        append(log, b"".join(lines[:first]))
        source = containers(intake, tmp_path)
        async with running(source):
            await read(source, log)
            if ending == "up":
                rotate(log, how, number)
                await read(source, log)
        if ending == "down":
            rotate(log, how, number)
        number += 1
        append(log, b"".join(lines[first : first + second]))
        del lines[: first + second]
    async with running(containers(intake, tmp_path)):
        await until(lambda: len(intake.marks) >= len(values), lambda: f"{intake.marks} {values}")
    assert intake.marks == values
    assert not any(count for _, count, _ in intake.lost)


async def cut_off_in_an_archive(tmp_path: Path) -> tuple[Path, FakeIntake]:
    """The log, still empty, behind an archive that ends in half a number, and what was read before that."""
    log, intake = tmp_path / "0.log", FakeIntake()
    append(log, docker("token #1234567 refused\n"))
    async with running(containers(intake, tmp_path)):
        await until(lambda: intake.marks == [1234567])
    append(log, docker("token #7654"))
    rotate(log, "gz", 0)
    return log, intake


async def test_an_archive_waits_for_what_its_successor_empty_yet_begins_with(tmp_path: Path) -> None:
    log, intake = await cut_off_in_an_archive(tmp_path)
    source = containers(intake, tmp_path)
    async with running(source):
        registry = source._registry
        await until(lambda: any(tracked.archive and tracked.at_end and not tracked.busy for tracked in registry))
        append(log, docker("321 refused\n"))
        await until(lambda: 7654321 in intake.marks)
    assert intake.marks == [1234567, 7654321]


async def test_an_archive_whose_successor_stays_empty_is_searched_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracked_files, "HOPE", 0.3)
    _, intake = await cut_off_in_an_archive(tmp_path)
    async with running(containers(intake, tmp_path)):
        await until(lambda: 7654 in intake.marks)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def intake() -> FakeIntake:
    return FakeIntake()


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("how", ["rename", "gz", "copytruncate"])
@pytest.mark.parametrize("cut", [12, 15, 19])
async def test_a_key_and_a_line_go_on_in_the_successor(
    log: Path, intake: FakeIntake, how: str, down: bool, cut: int
) -> None:
    """Cut within lines, and between two."""
    log.write_bytes(b"first line <1>\n" + KEY[:cut])
    async with running(files(intake, log)):
        await caught_up(intake, 1)
        if not down:
            rotate(log, how, 1)
            append(log, KEY[cut:] + b"last line <2>\n")
            await caught_up(intake, 1, 2, 77)
    if down:
        rotate(log, how, 1)
        append(log, KEY[cut:] + b"last line <2>\n")
        async with running(files(intake, log)):
            await caught_up(intake, 1, 2, 77)
    key = next(seen for seen in intake.found.values() if seen.mark == 77)
    assert key.offset == 15, "where it begins in the predecessor"
    assert not intake.lost


LONG = b"-----BEGIN 78\nabc\ndef\nghi\njkl\nmno\nEND\n-----END \n"


@pytest.mark.parametrize(("how", "down"), [("rename", True), ("rename", False), ("gz", False), ("copytruncate", True)])
@pytest.mark.parametrize("writes", [2, 4, 9])
async def test_a_key_goes_on_in_a_successor_that_is_written_piece_by_piece(
    log: Path, intake: FakeIntake, how: str, down: bool, writes: int
) -> None:
    log.write_bytes(b"first line <1>\n" + LONG[:20])
    cuts = [20 + (len(LONG) - 20) * number // writes for number in range(writes + 1)]
    parts = [LONG[a:b] for a, b in pairwise(cuts)]
    source = files(intake, log)
    async with running(source):
        await caught_up(intake, 1)
        rotate(log, how, 1)
        for part in parts[: 1 if down else writes]:
            append(log, part)
            await read(source, log)
    source = files(intake, log)
    async with running(source):
        for part in parts[1:] if down else ():
            append(log, part)
            await read(source, log)
        append(log, b"last line <2>\n")
        await caught_up(intake, 1, 2, 78)
    key = next(seen for seen in intake.found.values() if seen.mark == 78)
    assert key.offset == 20, "where it begins in the predecessor"
    assert intake.marks == [1, 2, 78]
    assert not intake.lost


async def test_an_open_line_is_told_once_and_whole(log: Path, intake: FakeIntake) -> None:
    log.write_bytes(b"one <1>\nsent with #1234")
    async with running(files(intake, log)):
        await caught_up(intake, 1)
        rotate(log, "rename", 1)
        append(log, b"5678 at step 3\ntwo <2>\n")
        await caught_up(intake, 1, 2, 12345678)
    assert any(state["flushed"] == state["size"] > state["offset"] for state in intake.files()), (
        "given to the successor"
    )
    assert intake.marks == [1, 2, 12345678]
    async with running(files(intake, log)):
        append(log, b"three <3>\n")
        await caught_up(intake, 1, 2, 3, 12345678)


@pytest.mark.parametrize("restarts", [1, 3])
async def test_a_successor_that_is_made_while_the_monitor_is_away(log: Path, intake: FakeIntake, restarts: int) -> None:
    """The rotation was seen, so that the rotated file is known by its new name."""
    log.write_bytes(b"one <1>\nsent with #1234")
    async with running(files(intake, log)):
        await caught_up(intake, 1)
        os.rename(log, log.with_name("app.log.1"))
        await until(lambda: any(state["path"].endswith("app.log.1") for state in intake.files()))
    for _ in range(restarts - 1):
        source = files(intake, log)
        async with running(source):
            await until(lambda source=source: source._registry)  # type: ignore[misc]
    append(log, b"5678 at step 3\ntwo <2>\n")
    async with running(files(intake, log)):
        await caught_up(intake, 1, 2, 12345678)


@pytest.mark.usefixtures("short")
async def test_a_successor_that_begins_anew_or_never_comes(log: Path, intake: FakeIntake) -> None:
    log.write_bytes(b"2026-01-01 one <1>\n2026-01-01 sent with #1234")
    other = log.with_name("other.log")
    other.write_bytes(b"one <5>\nsent with #6789")
    async with running(files(intake, log, other)):
        await caught_up(intake, 1, 5)
        rotate(log, "rename", 1)
        os.rename(other, other.with_name("other.log.1"))
        append(log, b"2026-01-02 two <2>\n")
        await caught_up(intake, 1, 2, 5, 1234, 6789)
    places = {seen.mark: seen.offset for seen in intake.found.values()}
    assert places[1234] == 19 + 21
    assert places[2] == 15


async def test_read_once_after_a_rotation(log: Path, intake: FakeIntake) -> None:
    log.write_bytes(b"one <1>\nsent with #1234")
    async with running(files(intake, log)):
        await caught_up(intake, 1)
    rotate(log, "rename", 1)
    log.write_bytes(b"5678 at step 3\n")
    await files(intake, log).run(True)
    assert intake.marks == [1, 12345678]


def rename(log: Path, number: int, names: str) -> None:
    """The log becomes its `number`th old file."""
    if names == "shifting":
        for old in range(number - 1, 0, -1):
            os.rename(log.with_name(f"app.log.{old}"), log.with_name(f"app.log.{old + 1}"))
        number = 1
    elif names == "the newest of three":  # log4j's fileIndex="max"
        if number > 3:
            log.with_name("app.log.1").unlink()
            for old in (2, 3):
                os.rename(log.with_name(f"app.log.{old}"), log.with_name(f"app.log.{old - 1}"))
        number = min(number, 3)
    name = f"app-2026-01-{number:02d}.log" if names == "dates" else f"app.log.{number}"
    os.rename(log, log.with_name(name))
    if names == "the last alone" and number > 1:
        log.with_name(f"app.log.{number - 1}").unlink()


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("names", ["shifting", "rising", "the newest of three", "the last alone", "dates"])
async def test_a_value_goes_on_whatever_number_the_rotated_file_gets(
    log: Path, intake: FakeIntake, names: str, down: bool
) -> None:
    """Which file came before is known by what was followed."""
    log.write_bytes(b"one <1>\nsent with #1234")
    for number in range(1, 5):
        rest = b"567%d%s at step 3\nsent with #1234" % (number, b"-" * number)  # like no line before it
        source = files(intake, log)
        async with running(source):
            await read(source, log)
            if not down:
                rename(log, number, names)
                log.write_bytes(rest)
                await until(lambda number=number: 12345670 + number in intake.marks)  # type: ignore[misc]
        if down:
            rename(log, number, names)
            log.write_bytes(rest)
    async with running(files(intake, log)):
        await until(lambda: 12345674 in intake.marks)
    assert intake.marks == [1, *range(12345671, 12345675)]


@pytest.mark.usefixtures("short")
async def test_where_a_rotation_was_missed_nothing_is_joined(log: Path, intake: FakeIntake) -> None:
    """Numbers shift, as an older file shows: by its own the old file is not the one before; that is gone."""
    log.write_bytes(b"none\n")
    source = files(intake, log)
    async with running(source):
        await read(source, log)
        os.rename(log, log.with_name("app.log.1"))
        log.write_bytes(b"one <1>\nsent with #1234")
        await caught_up(intake, 1)
    os.rename(log.with_name("app.log.1"), log.with_name("app.log.3"))
    os.rename(log, log.with_name("app.log.2"))
    log.write_bytes(b"5678 at step 3\ntwo <2>\n")
    async with running(files(intake, log)):
        await caught_up(intake, 1, 2, 1234)


def test_what_begins_like_the_lines_around_it_begins_anew() -> None:
    lines = [b"2026-01-01T10:00 INFO one", b"[main] ERROR two", b"abcdefghij"]
    assert begins_anew(b"2027-12-31T23:59 WARN three", lines)
    assert begins_anew(b"[init] ERROR four", lines)
    for rest in (b"abcdefgh refused", b"5f2c9a1b at step 3", b"x", b"", b"23-ab:cd"):
        assert not begins_anew(rest, lines)
