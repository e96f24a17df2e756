from __future__ import annotations

from pathlib import Path

import pytest

from monitor.config.config import parse
from monitor.config.locate import ConfigError

LITERAL = "xoxb-" + "1234567890-abcdefghijklmnop"


@pytest.mark.parametrize(
    ("text", "key", "part"),
    [
        ("[monitor]\nstate = 'x'", "monitor.state", 'did you mean "state_dir"?'),
        ("[monitor]\nlog_level = 'loud'", "monitor.log_level", "'debug'"),
        ("[http]\nlisten = 9321", "http.listen", "must be a string"),
        ("[http]\nlisten = 'localhost'", "http.listen", "HOST:PORT"),
        ("[http]\nbase_url = 'ftp://x'", "http.base_url", "http(s) URL"),
        ("[http]\nbase_url = 'https://a:b@x'", "http.base_url", "user name"),
        ("[rules]\npacks = 'default'", "rules.packs", "must be a list"),
        ("[rules]\nidentifiers = ['a_key', 'a key']", "rules.identifiers", "number 2 is no name of a field"),
        (
            "[rules]\nidentifiers = ['dedup_key', 'Pass-Word']",
            "rules.identifiers",
            "Pass-Word is what secrets are called",
        ),
        (f"[rules]\ncredentials = {[f'n{number}' for number in range(101)]}", "rules.credentials", "holds 101 names"),
        (f"[rules]\ncredentials = ['{'kQ3x' * 9}']", "rules.credentials", "number 1 is no name of a field"),
        ("[rules]\ncredentials = ['x', 'y']\nidentifiers = ['X']", "rules", "x is among identifiers and credentials"),
        ("[monitor]\nstate_dir = 5", "monitor.state_dir", "must be a path"),
        ("[monitor]\nworkers = 1.5", "monitor.workers", "must be a whole number"),
    ],
)
def test_each_mistake_has_its_key_and_says_what_to_do(text: str, key: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, Path("config.toml"))
    (problem,) = caught.value.problems
    assert problem.key == key
    assert part in problem.message


def test_relative_paths_count_from_the_folder_of_the_file(tmp_path: Path) -> None:
    text = "[monitor]\nstate_dir='s'\nfingerprint_key='file:k'\ndatabase='file:/d'\n[rules]\npaths=['/a/*.toml','r']"
    config = parse(text, tmp_path / "config.toml")
    assert config.state_dir == tmp_path / "s"
    assert config.monitor.fingerprint_key is not None
    assert config.monitor.fingerprint_key.reference == f"file:{tmp_path}/k"
    assert config.monitor.database is not None
    assert config.monitor.database.reference == "file:/d"
    assert config.rules.paths == ("/a/*.toml", f"{tmp_path}/r")


def test_the_node_is_a_name_and_no_secret(tmp_path: Path) -> None:
    assert parse('[monitor]\nnode = "web-1.example.org"').monitor.node == "web-1.example.org"
    assert parse("").monitor.node is None
    for wrong in ("", "web 1", "a/b", "x" * 256, LITERAL):
        with pytest.raises(ConfigError) as failure:
            parse(f"[monitor]\nnode = '{wrong}'")
        assert [problem.key for problem in failure.value.problems] == ["monitor.node"]
        assert LITERAL not in str(failure.value)


def test_a_pod_is_named_after_its_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_NODE", "node-1.example.org")
    assert parse("").monitor.node == "node-1.example.org"
    assert parse("[monitor]\nnode = 'web-1'").monitor.node == "web-1"
    monkeypatch.setenv("MONITOR_NODE", "")
    assert parse("").monitor.node is None
    monkeypatch.setenv("MONITOR_NODE", LITERAL)
    with pytest.raises(ConfigError) as failure:
        parse("")
    assert [problem.key for problem in failure.value.problems] == ["monitor.node"]
    assert LITERAL not in str(failure.value)
