from __future__ import annotations

from pathlib import Path

from monitor.config.config import parse
from monitor.config.credentials import credentials, unresolved


def test_every_reference_is_known_by_its_key_and_each_that_a_sink_lacks(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("https://hook.example.org/x")
    config = parse(
        '[http]\ntoken = "env:NOT_SET_HERE"\n'
        '[[sinks]]\nname = "a"\ntype = "webhook"\nurl = "file:url"\n'
        'headers = { Authorization = "Bearer {env:NOT_SET_EITHER}" }\n',
        tmp_path / "config.toml",
    )
    keys = ["http.token", "sinks[0].url", "sinks[0].headers.Authorization[1]"]
    assert [key for key, _ in credentials(config)] == keys
    assert unresolved(config.sinks) == {
        "sinks[0].headers.Authorization[1]": 'sink "a": environment variable NOT_SET_EITHER is not set'
    }
