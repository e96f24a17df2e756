from __future__ import annotations

import io
import os
import pty
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from monitor.common.http import Http, RemoteError
from sinks.console import Console, ConsoleConfig
from tests.fakes.notifications import event, notification
from tests.fakes.peer import Peer
from tests.fakes.webhook import check_payload

PICTURE = """\
┃  CRITICAL  GitHub personal access token exposed
┃ secret   ghp_a1B2…  high confidence
┃ where    /var/log/app/api.log:1042  payments on web-3, services
┃          /var/log/app/worker.log:8  services
┃ line     2026-11-02T14:03:05Z INFO login with token=ghp_a1B2… from 192.0.2.7
┃ seen     17 times in 5 min, first logged 2026-11-02 11:03:07 UTC, seen 2026-11-02 13:58:07 UTC
┃ first    Revoke the token on GitHub, then replace it wherever it is used.
┃ runbook  https://monitor.example.org/runbooks/github-token
┃ console  https://monitor.example.org/incidents/7f3a9c2e
┃ ack      cd /srv/monitor && .venv/bin/monitor incidents ack 7f3a9c2e

"""


@asynccontextmanager
async def _screen(credential: str, folder: Path) -> AsyncIterator[Peer]:
    closed = io.StringIO()
    closed.close()
    yield Peer({}, {"closed": lambda sink, patch: patch.setattr(sys, "stdout", closed)})


PEERS = {"console": _screen}


def console(**keys: Any) -> Console:
    return Console(ConsoleConfig(name="out", type="console", **keys), Http())


async def test_the_picture_in_a_pipe_has_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    assert await console().send(notification()) is None
    assert capsys.readouterr().out == PICTURE


async def test_on_a_terminal_it_has_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    main, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        await console().send(notification())
    shown = os.read(main, 65536).decode()
    os.close(main)
    assert "\x1b[" in shown
    assert re.sub(r"\x1b\[[0-9;]*m|\x1b\]8;[^\x1b]*\x1b\\", "", shown).replace("\r\n", "\n") == PICTURE


async def test_json_is_one_payload_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    sink = console(format="json")
    await sink.send(notification())
    await sink.send(event())
    lines = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["id"] for line in lines] == ["42", "43"]
    assert [check_payload(line) for line in lines] == [[], []]


async def test_a_closed_or_broken_output_is_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    closed = (tmp_path / "out").open("w")
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    with pytest.raises(RemoteError, match="standard output: closed") as caught:
        await console(format="json").send(notification())
    assert caught.value.retry
    reader, writer = os.pipe()
    os.close(reader)
    raw = os.fdopen(writer, "w")
    monkeypatch.setattr(sys, "stdout", raw)
    with pytest.raises(RemoteError, match="standard output: Broken pipe") as caught:
        await console().send(notification())
    assert caught.value.retry
    monkeypatch.undo()
    with pytest.raises(BrokenPipeError):
        raw.close()


async def test_an_ascii_output_gets_what_it_can_show(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        await console().send(notification())
    assert (tmp_path / "out").read_bytes().splitlines()[1] == b"| secret   ghp_a1B2?  high confidence"
