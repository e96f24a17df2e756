from __future__ import annotations

import os
import pty
import re
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sinks.base import Location, Notification, SinkError
from sinks.console import Console, ConsoleConfig, render
from sinks.http import Http
from tests.fakes.notifications import event, incident, notification, notifications
from tests.fakes.webhook import check_payload

PICTURE = """\
┃  CRITICAL  GitHub personal access token exposed
┃ secret   ghp_a1B2…
┃ where    /var/log/app/api.log:1042  services
┃          /var/log/app/worker.log:8  services
┃ seen     17 times in 5 min, first 2026-11-02 13:58:07 UTC
┃ first    Revoke the token on GitHub, then replace it wherever it is used.
┃ runbook  https://monitor.example.org/runbooks/github-token
┃ console  https://monitor.example.org/incidents/7f3a9c2e
┃ ack      monitor incidents ack 7f3a9c2e

"""


def console(**keys: Any) -> Console:
    return Console(ConsoleConfig(name="out", type="console", **keys), Http())


def plain(message: Notification, **keys: Any) -> str:
    return "\n".join(line.plain for line in render(message, **keys))


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


def test_only_the_edge_and_the_badge_have_the_colour_of_the_severity() -> None:
    for line in render(notification()):
        red = [line.plain[span.start : span.end] for span in line.spans if "red" in str(span.style)]
        assert (red, str(line.style)) == ((["┃ "], "") if "CRITICAL" not in line.plain else (["┃ ", " CRITICAL "], ""))


def test_states() -> None:
    resolved = plain(notification(incident(state="resolved"), reason="resolved"))
    assert resolved.startswith("┃  RESOLVED  GitHub personal access token\n")
    assert "ack" not in plain(notification(incident(state="resolved"), reason="resolved"))
    taken = plain(notification(incident(state="acknowledged", owner="ana"), reason="acknowledged"))
    assert "owner    ana" in taken
    assert "incidents ack" not in taken


def test_a_group_is_a_list() -> None:
    many = [incident(id=f"id{n}", severity="high" if n else "critical") for n in range(12)]
    lines = plain(notification(*many, reason="digest")).splitlines()
    assert lines[0] == "┃  CRITICAL  12 secrets (GitHub personal access token) exposed"
    row = "┃ critical GitHub personal access token ghp_a1B2… /var/log/app/api.log:1042 17× id0"
    assert " ".join(lines[1].split()) == row
    assert len(lines) == 1 + 10 + 3
    assert lines[-3] == "┃          and 2 more"
    assert lines[-2].startswith("┃ first    Revoke the token on GitHub")
    assert lines[-1] == "┃ all      monitor incidents list"


def test_operational_events_are_wrapped_prose() -> None:
    text = "Reading has stopped at a safe place. " * 5
    lines = plain(event(text=text), width=60).splitlines()
    assert lines[0] == "┃  HIGH  The state disk is full"
    assert len(lines) > 3
    assert all(len(line) <= 60 for line in lines)


def test_paths_are_never_wrapped_and_more_is_counted() -> None:
    places = tuple(Location("s", "/very/long" * 30 + str(n), 0, n) for n in range(5))
    shown = plain(notification(incident(locations=places)), width=40, bar="|")
    assert f"| where    {places[0].path}:0  s" in shown
    assert "and 2 more: monitor incidents show 7f3a9c2e" in shown


@settings(max_examples=60, deadline=None)
@given(notifications, st.integers(1, 200))
def test_hostile_text_cannot_draw(message: Notification, width: int) -> None:
    for line in render(message, width=width):
        assert line.plain.isprintable()
        line.plain.encode()


async def test_a_closed_or_broken_output_is_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    closed = (tmp_path / "out").open("w")
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    with pytest.raises(SinkError, match="standard output: closed") as caught:
        await console(format="json").send(notification())
    assert caught.value.retry
    reader, writer = os.pipe()
    os.close(reader)
    raw = os.fdopen(writer, "w")
    monkeypatch.setattr(sys, "stdout", raw)
    with pytest.raises(SinkError, match="standard output: Broken pipe") as caught:
        await console().send(notification())
    assert caught.value.retry
    monkeypatch.undo()
    with pytest.raises(BrokenPipeError):
        raw.close()


async def test_an_ascii_output_gets_what_it_can_show(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        await console().send(notification())
    assert (tmp_path / "out").read_bytes().splitlines()[1] == b"| secret   ghp_a1B2?"
