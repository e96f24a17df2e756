from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from monitor.drill.plant import KINDS, DrillError, spot
from monitor.sources import SOURCES, load_source
from monitor.sources.base import SourceConfig
from monitor.sources.unwrap import unwrapped
from tests.monitor.sources.test_unwrap import block


def source(type_: str, **keys: Any) -> SourceConfig:
    return load_source(type_).Config.model_validate({"name": "logs", "type": type_, **keys})


@pytest.mark.parametrize("pattern", ["*.log", "app-*.log", "sub/*.log", "*/app.log.?", "**/*.log", "**", "exact.log"])
async def test_a_file_is_found_that_the_patterns_take(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "sub").mkdir()
    place = spot(source("file", include=[str(tmp_path / pattern)]))
    path = Path(place.place)
    assert path.is_relative_to(tmp_path)
    await place.plant("a value")
    assert path.read_text() == "a value\n"
    place.remove()
    assert not path.exists()


async def test_a_file_that_was_there_keeps_what_it_had_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("before\n")
    place = spot(source("file", include=[str(tmp_path / "*.log")]), str(path))
    await place.plant("a value")
    place.remove()
    assert path.read_text() == "before\na value\n"


async def test_a_link_is_followed_only_where_it_was_named(tmp_path: Path) -> None:
    link, target = tmp_path / "exact.log", tmp_path / "elsewhere"
    link.symlink_to(target)
    target.write_text("before\n")
    config = source("file", include=[str(link)])
    with pytest.raises(DrillError, match=r"exact.log: it is a link; name a file with --at"):
        await spot(config).plant("a value")
    place = spot(config, str(link))
    await place.plant("a value")
    place.remove()
    assert target.read_text() == "before\na value\n"


@pytest.mark.parametrize("type_", ["file", "container"])
async def test_a_pipe_is_refused_and_holds_nobody(tmp_path: Path, type_: str) -> None:
    path = tmp_path / "pipe.log"
    os.mkfifo(path)
    with pytest.raises(DrillError, match=r"pipe.log: not a regular file"):
        await spot(source(type_, include=[str(tmp_path / "*.log")]), str(path)).plant("a value")


async def test_a_file_is_named_from_where_one_stands_or_ones_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    monkeypatch.setenv("HOME", str(tmp_path / "sub"))
    for given in ("../app.log", "~/../app.log"):
        place = spot(source("file", include=[str(tmp_path / "*.log")]), given)
        assert place.place == str(tmp_path / "app.log")


async def test_where_no_file_can_be_had_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(DrillError, match="does not follow") as wrong:
        spot(source("file", include=[str(tmp_path / "*.log")], exclude=["x.log"]), str(tmp_path / "x.log"))
    assert wrong.value.hop == "planted"
    for pattern in ("absent/*.log", "[ab].log"):
        with pytest.raises(DrillError, match="--at"):
            spot(source("file", include=[str(tmp_path / pattern)]))
    (tmp_path / "logs").mkdir()
    place = spot(source("file", include=[str(tmp_path / "logs/*.log")]))
    (tmp_path / "logs").rmdir()
    with pytest.raises(DrillError, match="No such file"):
        await place.plant("a value")


@pytest.mark.parametrize("name", ["pods/shop_web_1/api/*.log", "docker/abc/*-json.log", "docker/abc/there.log"])
async def test_a_line_of_a_container_is_wrapped_as_its_runtime_does(tmp_path: Path, name: str) -> None:
    folder = tmp_path / Path(name).parent
    folder.mkdir(parents=True)
    (folder / "there.log").write_text('{"log":"before\\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}\n')
    given = None if "*" in name else str(tmp_path / name)
    pattern = str(tmp_path / name) if given is None else str(folder / "*.log")
    place = spot(source("container", include=[pattern]), given)
    await place.plant('a "value"')
    written = Path(place.place).read_bytes().splitlines(keepends=True)[-1]
    assert bytes(unwrapped(block(written)).data) == b'a "value"\n'
    assert written.startswith(b'{"log":"') == ("docker" in name)


@pytest.mark.parametrize(
    ("type_", "keys", "given", "why"),
    [
        ("journal", {"units": ["app"]}, None, "follows units .app.service"),
        ("journal", {"directory": "/srv/journal"}, None, "reads /srv/journal, which"),
        ("journal", {"fields": ["_CMDLINE"]}, None, "only fields that journald fills in"),
        ("journal", {}, "somewhere", "no places to choose from"),
        ("syslog", {}, "udp:127.0.0.1:1", "one of udp:127.0.0.1:5514, tcp:"),
        ("syslog", {"listen": ["udp:127.0.0.1:0"]}, None, "a port that the system chooses"),
        ("syslog", {"listen": ["udp:0.0.0.0:5514"], "allow": ["10.0.0.0/8"]}, None, "takes nothing from 127.0.0.1"),
        ("mqtt", {"host": "localhost", "topics": ["logs/#"]}, "other/1", "filters are logs/#"),
        ("mqtt", {"host": "localhost", "topics": ["logs/#"]}, "logs/+", "does not follow"),
        ("http", {}, "/elsewhere", "one of /, /v1/logs"),
        ("http", {"listen": "127.0.0.1:0"}, None, "a port that the system chooses"),
    ],
)
def test_what_would_not_arrive_is_refused(type_: str, keys: dict[str, Any], given: str | None, why: str) -> None:
    with pytest.raises(DrillError, match=why) as refused:
        spot(source(type_, **keys), given)
    assert refused.value.hop == "planted"


@pytest.mark.parametrize(
    ("topics", "given", "topic"),
    [
        (["logs/app"], None, "logs/app"),
        (["$share/g/+/errors/#"], None, "exposure-drill/errors/exposure-drill"),
        (["logs/#", "a/+"], "a/b", "a/b"),
    ],
)
def test_a_topic_is_found_that_the_filters_take(topics: list[str], given: str | None, topic: str) -> None:
    place = spot(source("mqtt", host="localhost", topics=topics), given)
    assert place.place == f"topic {topic}"
    assert ("shares" in place.look) == topics[0].startswith("$share")


def test_every_kind_of_source_is_known() -> None:
    assert KINDS.keys() <= SOURCES.keys()
