from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import typer

from detectors.rules.template import expand
from monitor.cli.github_session import incidents_of, reported, sources_of
from monitor.common.http import RemoteError
from monitor.config.config import load

SOURCE = '[[sources]]\nname = "{}"\ntype = "github"\norg = "acme"\ntoken = "env:T"\n'


def test_sources_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.toml").write_text(SOURCE.format("a") + SOURCE.format("b"))
    settings = load(tmp_path / "config.toml")
    assert [source.name for source in sources_of(settings, None)] == ["a", "b"]
    assert [source.name for source in sources_of(settings, "b")] == ["b"]
    token = expand("ghp_{alnum:30}{crc32}", 3)
    for name in ("c", token):
        with pytest.raises(typer.Exit) as end:
            sources_of(settings, name)
        assert end.value.exit_code == 2
    assert token[8:] not in capsys.readouterr().err


def test_trouble_ends_in_one_line_and_without_a_database_no_incident_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken() -> None:
        raise RemoteError("no answer", retry=True)

    with pytest.raises(typer.Exit):
        asyncio.run(reported(broken()))
    assert capsys.readouterr().err == "no answer\n"
    (tmp_path / "config.toml").write_text(f'[monitor]\nstate_dir = "{tmp_path}/state"\n')
    assert asyncio.run(incidents_of(load(tmp_path / "config.toml"), ["a"])) == {}
