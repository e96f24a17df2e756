from __future__ import annotations

import base64
import gzip
import os
from pathlib import Path

import pytest

from detectors.fingerprint import fingerprint
from detectors.match.engine import Engine
from detectors.rules.template import expand
from monitor.common.notification import Location
from monitor.domain.incidents import Incident
from monitor.verify.take import Taken, take
from tests.detectors import texts

KEY = b"k" * 32


@pytest.fixture(scope="module")
def engine() -> Engine:
    return texts.engine()


def incident(value: str, *places: Location) -> Incident:
    return Incident(
        id="1",
        fingerprint=fingerprint(KEY, value.encode()),
        rule="github-pat",
        name="n",
        severity="high",
        confidence="high",
        state="open",
        masked="m",
        first_seen=1.0,
        last_seen=1.0,
        occurrences=1,
        locations=places,
    )


def taken(engine: Engine, one: Incident) -> Taken | None:
    return take(engine.worker(), KEY, one, node="here", sources=["app"])


@pytest.fixture
def log(tmp_path: Path) -> tuple[Path, str, Location]:
    """A log of a megabyte with a secret in its midst, and other secrets around it."""
    value, others = expand("ghp_{alnum:30}{crc32}", 1), [expand("ghp_{alnum:30}{crc32}", n) for n in (2, 3)]
    filler = "2026-11-02T14:03:07Z INFO request done in 12 ms\n" * 10_000
    text = f"{filler}token={others[0]}\ntoken={value}\ntoken={others[1]}\n{filler}"
    path = tmp_path / "app.log"
    path.write_text(text)
    return path, value, Location("app", str(path), text.index(value), host="here")


def test_it_is_taken_from_its_place(engine: Engine, log: tuple[Path, str, Location]) -> None:
    _path, value, place = log
    found = taken(engine, incident(value, place))
    assert found is not None
    assert (found.value, found.rule) == (value, "github-pat")
    assert value not in repr(found)


def test_the_lines_around_it_come_with_it(engine: Engine, log: tuple[Path, str, Location]) -> None:
    path, value, place = log
    path.write_text(path.read_text().replace(f"token={value}", f"at https://ghe.acme.example token={value} done"))
    found = taken(engine, incident(value, place))
    assert found is not None
    lines = found.around.split("\n")
    assert f"at https://ghe.acme.example token={value} done" in lines
    assert (len(lines), max(map(len, lines)) < 100) == (5, True)


@pytest.mark.parametrize("name", ["app.log.1", "app.log-20261102", "app.log.2.gz"])
def test_it_is_found_where_a_rotation_has_put_it(engine: Engine, log: tuple[Path, str, Location], name: str) -> None:
    path, value, place = log
    data = path.read_bytes()
    path.with_name(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    path.write_text("a new day\n")
    found = taken(engine, incident(value, place))
    assert found is not None
    assert found.value == value


def test_it_is_looked_for_where_it_moved_inside_its_file(engine: Engine, log: tuple[Path, str, Location]) -> None:
    path, value, place = log
    moved = Location("app", place.path, 5, host="here")
    path.write_text("x" * 1_500_000 + "\n" + path.read_text())
    assert taken(engine, incident(value, moved)) is not None


def test_what_stands_encoded_is_decoded(engine: Engine, tmp_path: Path) -> None:
    value = expand("ghp_{alnum:30}{crc32}", 4)
    path = tmp_path / "app.log"
    path.write_text("auth: " + base64.b64encode(f"user:{value}".encode()).decode() + "\n")
    found = taken(engine, incident(value, Location("app", str(path), 6, host="here")))
    assert found is not None
    assert found.value == value


def test_nothing_else_is_taken(engine: Engine, log: tuple[Path, str, Location], tmp_path: Path) -> None:
    _path, value, place = log
    other = expand("ghp_{alnum:30}{crc32}", 9)
    assert taken(engine, incident(other, place)) is None
    for wrong in (
        Location("else", place.path, place.offset, host="here"),
        Location("app", place.path, place.offset, host="there"),
        Location("app", "app.log", place.offset, host="here"),
        Location("app", str(tmp_path / "gone.log"), 0, host="here"),
        Location("app", str(tmp_path), 0, host="here"),
    ):
        assert taken(engine, incident(value, wrong)) is None
    pipe = tmp_path / "pipe.log"
    os.mkfifo(pipe)
    (tmp_path / "bad.log.gz").write_bytes(b"no archive")
    for name in (pipe, tmp_path / "bad.log.gz"):
        assert taken(engine, incident(value, Location("app", str(name), 0, host="here"))) is None
