from __future__ import annotations

from typing import Any

import pytest

from monitor.sources import load_source
from monitor.sources.base import SourceConfig
from monitor.sources.reach import reach
from tests.components import components

KEY = b"k" * 32
SMALLEST: dict[str, dict[str, Any]] = {
    "cloudtrail": {"path": ["/audit"]},
    "feed": {"url": "env:FEED"},
    "file": {"include": ["/logs/*.log", "/more/*.log"]},
    "github": {"org": "acme", "token": "env:TOKEN"},
    "github-actions": {"org": "acme", "token": "env:TOKEN"},
    "gitlab-ci": {"group": "acme", "token": "env:TOKEN"},
    "mqtt": {"host": "broker", "topics": ["logs/#", "web/#"]},
}


def made(type_: str, name: str = "app", **keys: Any) -> SourceConfig:
    return load_source(type_).Config.model_validate({"name": name, "type": type_, **SMALLEST.get(type_, {}), **keys})


def test_a_source_of_each_type_is_known_again_by_what_it_reads() -> None:
    for one in (component for component in components() if component.chapter.name == "sources"):
        (example, *_) = one.entries()
        config = one.config.model_validate(example)
        assert isinstance(config, SourceConfig)
        assert set(config.reach) <= set(type(config).model_fields), f"{one.place}: reach names keys that there are not"
        assert config.reach or one.type == "stdin", f"{one.place}: needs reach, the keys that say what it reads"
        assert reach(config, KEY) == reach(one.config.model_validate(example | {"name": "another"}), KEY)
        assert reach(config, KEY) != reach(config, b"another" * 5)


@pytest.mark.parametrize(
    ("type_", "other", "same"),
    [
        ("file", {"include": ["/logs/*.log"]}, {"include": ["/more/*.log", "/logs/*.log"], "reconcile": "9s"}),
        ("file", {"exclude": ["*.gz"]}, {"start_at": "beginning"}),
        ("container", {"include": ["/pods/*.log"]}, {"quiet": "9s"}),
        ("journal", {"directory": "/var/log/journal/remote"}, {"fields": ["MESSAGE", "ERROR"]}),
        ("journal", {"units": ["web.service"]}, {"start_at": "beginning"}),
        ("syslog", {"listen": ["tcp:127.0.0.1:1514"]}, {"rate": 9}),
        ("http", {"listen": "127.0.0.1:4319"}, {"max_body": 4096}),
        ("mqtt", {"topics": ["logs/#"]}, {"topics": ["web/#", "logs/#"], "qos": 0}),
        ("mqtt", {"host": "another"}, {"password": "env:PASSWORD", "username": "u", "insecure": True}),
        ("github", {"org": "other"}, {"interval": "90s"}),
        ("gitlab-ci", {"project": "acme/web"}, {"interval": "90s", "start_at": "beginning"}),
        ("github-actions", {"repo": "other/web"}, {"since": "30d", "webhook_secret": "env:HOOK"}),
        ("feed", {"url": "env:OTHER"}, {"severity": "high"}),
        ("cloudtrail", {"path": ["/other"]}, {"interval": "90s"}),
    ],
)
def test_keys_that_say_how_make_no_other_source(type_: str, other: dict[str, Any], same: dict[str, Any]) -> None:
    assert reach(made(type_), KEY) == reach(made(type_, "b", **same), KEY)
    assert reach(made(type_), KEY) != reach(made(type_, **other), KEY)


def test_a_source_of_another_type_that_reads_the_same_is_another_one() -> None:
    paths = ["/logs/*.log"]
    assert reach(made("file", include=paths), KEY) != reach(made("container", include=paths), KEY)
