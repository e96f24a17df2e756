from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from detectors.rules.template import expand
from monitor.common.problems import Problem
from monitor.config.config import FaultyConfigError, load, parse
from monitor.config.locate import ConfigError


def problems(text: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        parse(text, Path("config.toml"))
    return caught.value.problems


def keys(text: str) -> list[str]:
    return [problem.key for problem in problems(text)]


GOOD = """
[monitor]
state_dir = "state"
fingerprint_key = "credential:fingerprint-key"

[http]
listen = "127.0.0.1:0"

[[sources]]
name = "services"
type = "file"
include = ["/var/log/app/*.log"]

[[sinks]]
name = "chat"
type = "slack"
webhook_url = "env:SLACK_WEBHOOK"
fallback = "screen"

[[sinks]]
name = "screen"
type = "console"

[[routes]]
matchers = ['severity="critical"']
sinks = ["chat", "screen"]
continue = true

[rules]
paths = ["rules.d/*.toml"]
disable = ["jwt"]
"""


def test_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    config = load(path)
    assert config.path == path
    assert config.state_dir == tmp_path / "state"
    assert [source.name for source in config.sources] == ["services"]
    assert [sink.name for sink in config.sinks] == ["chat", "screen"]
    assert config.routes[0].continue_
    assert config.policy.sinks == ("chat", "screen")
    assert config.rules.packs == ("default",)
    assert config.rules.paths == (str(tmp_path / "rules.d/*.toml"),)


def test_commands_that_need_rules_only_are_not_held_up_by_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        '[monitor]\nstate_dir = "state"\n[rules]\npaths = ["r/*.toml"]\n[[sources]]\ntype = "nope"\n'
        "[[sinks]]\nname = 1\n[[routes]]\nsinks = []\n[[silences]]\nmatchers = 2\n"
    )
    with pytest.raises(ConfigError):
        load(path)
    config = load(path, rules_only=True)
    assert (config.path, config.state_dir) == (path, tmp_path / "state")
    assert config.rules.paths == (str(tmp_path / "r/*.toml"),)
    assert (config.sources, config.sinks, config.routes) == ((), (), ())
    path.write_text("[ruels]\n[rules]\npacks = 1\n")
    with pytest.raises(ConfigError) as caught:
        load(path, rules_only=True)
    assert [problem.key for problem in caught.value.problems] == ["rules.packs", "ruels"]


def test_an_empty_file_gives_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/exposure-monitor:/var/lib/other")
    config = parse("")
    assert config.http.listen == "127.0.0.1:9321"
    assert config.state_dir == Path("/var/lib/exposure-monitor")
    assert config.sources == config.sinks == config.routes == ()
    assert 1 <= config.workers <= 4
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("HOME", "/home/someone")
    assert parse("").state_dir == Path("/home/someone/.local/state/exposure-monitor")


def test_five_mistakes_are_five_problems_with_key_paths_and_lines(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        """[monitor]
workers = "many"

[[sources]]
name = "services"
type = "file"
include = "/var/log/*.log"

[[sources]]
name = "more"
type = "file"
include = ["/srv/*.log"]
exlude = ["*.gz"]

[[sinks]]
name = "chat"
type = "slak"

[[routes]]
sinks = ["chta"]
"""
    )
    with pytest.raises(ConfigError) as caught:
        load(path)
    text = str(caught.value).splitlines()
    assert [problem.key for problem in caught.value.problems] == [
        "monitor.workers",
        "sources[0].include",
        "sources[1].exlude",
        "sinks[0].type",
        "routes[0].sinks[0]",
    ]
    assert len(text) == 5
    assert text[0].startswith(f"{path}:2: monitor.workers: must be a whole number")
    assert text[1].startswith(f'{path}:7: sources[0].include: source "services": ')
    assert text[2].startswith(f'{path}:13: sources[1].exlude: source "more": unknown key; did you mean "exclude"?')
    assert text[3].startswith(f'{path}:17: sinks[0].type: sink "chat": unknown sink type')
    assert "slack" in text[3]
    assert text[4] == (
        f'{path}:20: routes[0].sinks[0]: no sink is named "chta"; did you mean "chat"?; known sinks: chat'
    )


CONSOLE = "[[sinks]]\nname = 'a'\ntype = 'console'\n"


@pytest.mark.parametrize(
    ("text", "key", "part"),
    [
        ("[sorces]", "sorces", 'did you mean "sources"?'),
        ("[sources]\nname='x'", "sources", "[[sources]]"),
        ("sources = [1]", "sources[0]", "must be a table"),
        ("monitor = 1", "monitor", "must be a table: [monitor]"),
        ("[[sources]]\ntype = 'file'\ninclude = ['/x']", "sources[0].name", "missing"),
        ("[[sources]]\nname = 'a b'\ntype = 'file'\ninclude = ['/x']", "sources[0].name", "pattern"),
        ("[[sources]]\nname = 'a'", "sources[0].type", "missing; known types: "),
        ("[[sources]]\nname = 'a'\ntype = 1", "sources[0].type", "must be a string"),
        ("[[sources]]\nname = 'a'\ntype = 'fil'", "sources[0].type", "did you mean file"),
        (
            "[[sources]]\nname='a'\ntype='github'\norg='b'\napp={id=1, private_key='env:K', instalation=2}",
            "sources[0].app.instalation",
            'did you mean "installation"?',
        ),
        ("[[routes]]\nsinks = []", "routes[0].sinks", "must not be empty"),
        (
            CONSOLE
            + "[[routes]]\nsinks = ['a']\nmute = ['nigth']\n[[mute_times]]\nname = 'night'\ntimes = ['1:00-2:00']",
            "mute_times[0].times",
            'must be times such as "22:00-07:00"',
        ),
        ("[[inhibitions]]\nequal = []", "inhibitions[0]", "needs while"),
        ("[[inhibitions]]\nwhile = ['x']", "inhibitions[0].while[0]", "not a matcher"),
        ("[[routes]]\nsinks = ['a']\nburst = 'x'\n[[sinks]]\nname='a'\ntype='console'", "routes[0].burst", "20/1m"),
        ("[[silences]]\nmatchers = ['severity']", "silences[0].matchers[0]", "not a matcher"),
        ("[[silences]]\nmatchers = ['a=\"b\"']\nends = 2026-01-02", "silences[0].ends", "must have a time zone"),
    ],
)
def test_each_mistake_has_its_key_and_says_what_to_do(text: str, key: str, part: str) -> None:
    (problem,) = problems(text)
    assert problem.key == key
    assert part in problem.message


LITERAL = "xoxb-" + "1234567890-abcdefghijklmnop"


@pytest.mark.parametrize(
    "text",
    [
        f"[monitor]\nfingerprint_key = '{LITERAL}'",
        f"[monitor]\ndatabase = '{LITERAL}'",
        f"[[sinks]]\nname = 'a'\ntype = 'slack'\nwebhook_url = '{LITERAL}'",
        f"[[sinks]]\nname = 'a'\ntype = 'slack'\ntoken = '{LITERAL}'\nchannel = 'C1'",
        f"[[sinks]]\nname = 'a'\ntype = 'slack'\ntokn = '{LITERAL}'\nwebhook_url = 'env:X'",
        f"[[sinks]]\nname = '{LITERAL} '\ntype = 'slack'\nwebhook_url = 'env:X'",
        f"[[sinks]]\nname = 'a'\ntype = ['{LITERAL}']",
        f"[[routes]]\nsinks = ['{LITERAL}/']",
        f"{CONSOLE}[[routes]]\nsinks = ['a']\nmute = ['{LITERAL}']",
        f"[[actions]]\nname = '{LITERAL}'\ntype = 'http'",
        f"[[mute_times]]\nname = 'a'\ntimes = ['{LITERAL}']\ndays = ['{LITERAL}']\ntime_zone = '{LITERAL}'",
        f"[http]\nlisten = '{LITERAL}'",
        f"[http]\nbase_url = '{LITERAL}'",
        f"[monitor]\nlog_level = '{LITERAL}'",
        f"[monitor]\nworkers = '{LITERAL}'",
        f"[monitor]\nfingerprint_key = {LITERAL}",
        f"[monitor]\nfingerprint_key = '{LITERAL}",
        f'[monitor]\nfingerprint_key = "{LITERAL}\\q"',
        f"[monitor]\nfingerprint_key '{LITERAL}'",
    ],
)
def test_no_value_of_the_file_is_ever_shown(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, Path("config.toml"))
    shown = str(caught.value) + repr(caught.value) + repr(caught.value.problems)
    assert LITERAL not in shown
    assert LITERAL[5:15] not in shown
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_literal_credential_is_told_how_to_be_a_reference() -> None:
    (problem,) = problems(f"[monitor]\nfingerprint_key = '{LITERAL}'")
    assert problem.key == "monitor.fingerprint_key"
    assert "env:NAME, file:PATH or credential:NAME" in problem.message


def test_syntax_errors_have_line_and_column() -> None:
    (problem,) = problems("[monitor]\nstate_dir = \n")
    assert problem.key == ""
    assert "line 2, column 13" in problem.message


def test_a_file_that_is_not_utf8_names_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"[monitor]\n# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"not UTF-8 text at byte 15 \(line 2\)"):
        load(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: no such file"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="is a directory"):
        load(tmp_path)


def test_reading_the_configuration_loads_no_component_that_is_not_used() -> None:
    code = (
        'import sys; from monitor.config.config import parse; parse(\'[[sinks]]\\nname="a"\\ntype="console"\');'
        "print([m for m in sys.modules if m in ('sinks.slack', 'sinks.email', 'sqlalchemy', 'aiomqtt')])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"


def test_a_secret_in_the_place_of_a_name_is_shown_nowhere() -> None:
    token = expand("ghp_{alnum:30}{crc32}")
    text = f"""
[[sinks]]
name = "{token}"
type = "slak"
[[sinks]]
name = "{token}"
type = "console"
fallback = "{token[:-1]}"
[[sources]]
name = "{token}"
type = "file"
[[routes]]
sinks = ["{token[:-1]}", "other"]
"""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert "looks like a secret" in str(caught.value)
    assert token[5:-1] not in str(caught.value)


def test_a_token_in_the_place_of_a_sinks_name_is_in_nothing_that_commands_go_by(tmp_path: Path) -> None:
    path, token = tmp_path / "config.toml", expand("ghp_{alnum:30}{crc32}", 1)
    path.write_text(f'[[sinks]]\nname = "{token}"\ntype = "console"\n')
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert isinstance(caught.value, FaultyConfigError)
    rest = caught.value.usable(act=False)
    assert rest is not None
    assert token not in repr(rest)
    assert caught.value.usable(act=True) is None
