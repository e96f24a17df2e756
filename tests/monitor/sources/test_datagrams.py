from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.common.tasks import cancel
from monitor.sources import datagrams as module
from monitor.sources.datagrams import (
    Drops,
    bind_datagrams,
    leave_datagrams,
    left_datagrams,
    read_datagrams,
    resolved,
    rest_of_datagrams,
)
from tests.fakes.intake import until


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    with contextlib.closing(bind_datagrams("127.0.0.1", 0)) as sock:
        yield sock


def send(bound: socket.socket, *texts: bytes) -> None:
    with socket.socket(bound.family, socket.SOCK_DGRAM) as sender:
        for text in texts:
            sender.sendto(text, bound.getsockname())


async def test_datagrams_are_read_as_they_come_and_not_while_full(bound: socket.socket) -> None:
    came: list[bytes] = []
    room = asyncio.Event()
    room.set()

    def take(data: bytes, _sender: Any) -> None:
        came.append(data)
        if len(came) == 3:
            room.clear()

    send(bound, *(b"%d" % number for number in range(6)))
    task = asyncio.create_task(read_datagrams(bound, room.wait, lambda: not room.is_set(), take))
    await until(lambda: len(came) == 3)
    await asyncio.sleep(0.05)
    assert len(came) == 3
    room.set()
    await until(lambda: len(came) == 6)
    send(bound, b"6", b"")
    await until(lambda: len(came) == 8)
    assert came == [b"0", b"1", b"2", b"3", b"4", b"5", b"6", b""]
    await cancel(task)
    send(bound, b"late")
    rest_of_datagrams(bound, take)
    assert came[-1] == b"late"


@pytest.mark.parametrize("figures", ["socket", "list"])
def test_what_the_kernel_drops_is_counted(bound: socket.socket, figures: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if figures == "list":
        monkeypatch.setattr(module, "_SO_MEMINFO", 0x7FFF)
    drops = Drops(bound)
    assert drops.new() == 0
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    send(bound, *[b"x" * 500] * 200)
    kept: list[bytes] = []
    rest_of_datagrams(bound, lambda data, _: kept.append(data))
    assert 0 < len(kept) < 200
    assert drops.new() == 200 - len(kept)
    assert drops.new() == 0


def test_a_unix_socket_takes_the_place_of_one_left_behind_and_of_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for _ in range(2):
        with contextlib.closing(bind_datagrams(str(path), 0, 0o622)) as bound:
            assert os.stat(path).st_mode & 0o777 == 0o622
            with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sender:
                sender.sendto(b"x" * 100_000, str(path))
            assert len(bound.recv(1 << 20)) == 100_000
    path.unlink()
    path.write_text("a file of somebody's")
    with pytest.raises(OSError, match="in use"):
        bind_datagrams(str(path), 0)
    assert path.read_text() == "a file of somebody's"


async def test_what_is_cut_of_a_large_datagram_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LARGEST_LOCAL", 1000)
    came: list[int] = []
    cut: list[int] = []
    with contextlib.closing(bind_datagrams(str(tmp_path / "log"), 0)) as bound:
        task = asyncio.create_task(
            read_datagrams(
                bound, lambda: asyncio.sleep(0), lambda: False, lambda data, _: came.append(len(data)), cut.append
            )
        )
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            for size in (999, 1000, 1001, 90_000):
                sender.sendto(b"x" * size, str(tmp_path / "log"))
        await until(lambda: len(came) == 4)
        await cancel(task)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x" * 1500, str(tmp_path / "log"))
        rest_of_datagrams(bound, lambda data, _: came.append(len(data)), cut.append)
    assert came == [999, 1000, 1000, 1000, 1000]
    assert cut == [1, 89_000, 500]


def test_a_socket_that_is_left_is_found_by_its_address_with_what_was_counted(bound: socket.socket) -> None:
    left: dict[tuple[int, int], int] = {}
    host, port = bound.getsockname()
    assert left_datagrams(left, *resolved(host, port)) is None
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    drops = Drops(bound)
    leave_datagrams(left, bound, drops.last)
    assert left_datagrams(left, *resolved(host, 1)) is None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(200):
            sender.sendto(b"x" * 500, (host, port))
    found = left_datagrams(left, *resolved(host, port))
    assert found is not None
    assert left == {}
    again, figure = found
    kept: list[bytes] = []
    rest_of_datagrams(again, lambda data, _: kept.append(data))
    assert Drops(again, figure).new() == 200 - len(kept) > 0
    again.close()
