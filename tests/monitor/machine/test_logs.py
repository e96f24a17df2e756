from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monitor.config.config import parse
from monitor.machine.identity import Identity, as_user
from monitor.machine.logs import configuration, survey


def as_is(work: Callable[[], Any]) -> Any:
    return work()


def test_a_host_without_logs_has_no_sources(tmp_path: Path) -> None:
    assert survey(tmp_path, "exposure-monitor", as_is) == []
    config = parse(configuration([]))
    assert (config.sources, [sink.type for sink in config.sinks]) == ((), ["console"])


def test_the_configuration_follows_the_logs_that_there_are(tmp_path: Path) -> None:
    for file in ("syslog", "nginx/access.log", "pods/a_b_c/d/0.log", "old.log.1"):
        (tmp_path / "var/log" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "var/log" / file).touch()
    (tmp_path / "run/log/journal").mkdir(parents=True)
    places = survey(tmp_path, "exposure-monitor", as_is)
    assert [place.about.partition(" of ")[0] for place in places] == ["the journal", "2 files", "1 files"]
    assert [place.refused for place in places] == [None, {}, {}]
    assert survey(tmp_path, "exposure-monitor", None)[1].refused is None, "nobody could try"

    config = parse(configuration(places))
    assert {source.type for source in config.sources} == {"journal", "file", "container"}
    (files,) = (source for source in config.sources if source.type == "file")
    assert files.model_dump()["include"] == ("/var/log/**/*.log", "/var/log/syslog")
    assert str(config.state_dir) == "/var/lib/exposure-monitor"
    assert config.monitor.fingerprint_key is not None


def test_what_may_not_be_read_comes_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "var/log").mkdir(parents=True)
    for name in ("a.log", "b.log"):
        (tmp_path / "var/log" / name).touch(mode=0o600)

    def refused(work: Callable[[], Any]) -> Any:
        if os.geteuid() == 0:
            return as_user(Identity("ada", 65534, 65534, ()), work)
        for path in (tmp_path / "var/log").iterdir():
            path.chmod(0)
        return work()

    [place] = survey(tmp_path, "ada", refused)
    assert place.refused is not None
    [(remedy, count)] = place.refused.items()
    assert count == 2
    assert "ada" in remedy
