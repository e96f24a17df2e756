from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

Command = Callable[..., subprocess.CompletedProcess[str]]

ROUTES = """
[[sinks]]
name = "chat"
type = "console"
[[sinks]]
name = "pager"
type = "console"
[[routes]]
matchers = ['severity="critical"']
sinks = ["pager"]
continue = true
[[routes]]
matchers = ['source=~"app.*"']
sinks = ["chat"]
[[routes]]
sinks = ["pager"]
group_by = ["rule"]
[[silences]]
matchers = ['path="/tmp/noise.log"']
"""


def routes(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[monitor]\nstate_dir = "state"\n[http]\nlisten = ""\n' + ROUTES)


def test_the_routes_in_force_are_shown_in_order(monitor: Command, tmp_path: Path) -> None:
    routes(tmp_path)
    answer = monitor("routes", "show", "--format", "json")
    assert answer.returncode == 0, answer.stderr
    rows = json.loads(answer.stdout)
    assert [(row["sinks"], row["then"], row["groups"]) for row in rows] == [
        (["pager"], "goes on", "each incident"),
        (["chat"], "ends", "each incident"),
        (["pager"], "ends", "rule"),
    ]
    assert "everything" in monitor("routes", "show").stdout


def test_a_finding_is_followed_to_its_sinks_with_the_reason(monitor: Command, tmp_path: Path) -> None:
    routes(tmp_path)
    answer = monitor("routes", "test", "severity=critical", "source=app1")
    assert answer.returncode == 0, answer.stderr
    assert "alerted: pager, chat" in answer.stdout
    assert "3. passes: a route before it has taken the incident" in answer.stdout
    low = monitor("routes", "test", "severity=low", "source=db", "path=/tmp/noise.log", "--format", "json")
    (place,) = json.loads(low.stdout)["places"]
    assert place["sinks"] == ["pager"]
    assert place["silenced_until"] == "for ever"
    assert [route["when"] for route in place["routes"]] == [
        *(None, None, "at once, together with those of the same rule; more of them every 5 minutes"),
    ]
    assert place["routes"][0]["reason"] == 'severity="critical" does not hold: severity is "low"'
    assert place["routes"][1]["reason"] == 'source=~"app.*" does not hold: source is "db"'


def test_the_family_of_a_rule_is_known(monitor: Command, tmp_path: Path) -> None:
    routes(tmp_path)
    config = tmp_path / "config.toml"
    config.write_text(config.read_text().replace('source=~"app.*"', 'family="vcs"'))
    assert "alerted: chat" in monitor("routes", "test", "rule=github-pat").stdout
    assert "alerted: pager" in monitor("routes", "test", "rule=acme-key").stdout


def test_what_is_not_said_of_an_incident_is_taken_for_granted_in_so_many_words(monitor: Command, config: Path) -> None:
    pager = f'[[sinks]]\nname = "pager"\ntype = "pagerduty"\nrouting_key = "file:{config.parent}/key"\n'
    config.write_text(pager + '[[sinks]]\nname = "chat"\ntype = "console"\n')
    sure = monitor("routes", "test", "severity=high", "rule=generic-password").stdout
    assert "taken for granted: confidence=high" in sure
    assert "alerted: pager, chat" in sure
    doubtful = monitor("routes", "test", "severity=high", "rule=acme-key", "confidence=medium").stdout
    assert 'format="vendor" does not hold: format is "custom"' in doubtful
    assert "alerted: chat" in doubtful
    vendor = monitor("routes", "test", "severity=high", "rule=github-pat", "confidence=medium").stdout
    assert "alerted: pager, chat" in vendor
    low = monitor("routes", "test", "severity=critical", "rule=github-pat", "confidence=low").stdout
    assert "in one message with all others, every 1 day" in low


def test_what_is_asked_wrongly_says_how(monitor: Command, tmp_path: Path) -> None:
    routes(tmp_path)
    assert monitor("routes", "test").returncode == 2
    assert "NAME=VALUE" in monitor("routes", "test", "critical").stderr


def test_an_incident_that_is_stored_is_followed_from_each_of_its_places(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("token " + monitor("sample", "github-pat").stdout)
    source = '[[sources]]\nname = "app1"\ntype = "file"\ninclude = ["app.log"]\nstart_at = "beginning"\n'
    routes(tmp_path)
    with (tmp_path / "config.toml").open("a") as file:
        file.write(source)
    assert monitor("run", "--once").returncode == 0
    (incident,) = json.loads(monitor("incidents", "list", "--format", "json").stdout)
    answer = monitor("routes", "test", "--incident", incident["id"])
    assert "app1" in answer.stdout
    assert "alerted: pager, chat" in answer.stdout or "alerted: chat" in answer.stdout


def test_the_page_about_routing_shows_what_the_commands_say(monitor: Command, config: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "routing.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(toml|text)\n(.*?)```", page, re.DOTALL)
    default, routes, shown, tested, muted, muted_shown = (text for _, text in blocks)
    pager = f'[[sinks]]\nname = "pager"\ntype = "pagerduty"\nrouting_key = "file:{config.parent}/key"\n'
    config.write_text(pager + '[[sinks]]\nname = "chat"\ntype = "console"\n')
    assert monitor("routes", "show").stdout == default
    sinks = "".join(f'[[sinks]]\nname = "{name}"\ntype = "console"\n' for name in ("chat", "pager"))
    config.write_text(sinks + routes)
    (command,) = re.findall(r"`monitor (routes test \w+=[^`]*)`", page)
    assert monitor("routes", "show").stdout == shown
    assert monitor(*command.split()).stdout == tested
    config.write_text(sinks + muted)
    assert monitor("routes", "show").stdout == muted_shown


def test_what_is_held_back_is_told_with_its_reason(monitor: Command, config: Path) -> None:
    config.write_text(
        '[[sinks]]\nname = "chat"\ntype = "console"\n[[routes]]\nsinks = ["chat"]\nmute = ["early", "late"]\n'
        '[[mute_times]]\nname = "early"\ntimes = ["00:00-23:59"]\n'
        '[[mute_times]]\nname = "late"\ntimes = ["23:59-24:00"]\ndays = ["mon"]\n'
        '[[inhibitions]]\nequal = ["host"]\n'
    )
    high = monitor("routes", "test", "severity=high", "host=web-1", "--format", "json")
    (place,) = json.loads(high.stdout)["places"]
    assert [one["equal"] for one in place["inhibitions"]] == [["host"]]
    text = monitor("routes", "test", "severity=high", "host=web-1").stdout
    assert "held back while a worse incident (everything) with the same host is not resolved" in text
    if place["routes"][0]["muted_until"] is not None:  # but in the last minute of a day
        assert "muted until 20" in text
        assert "(early, late)" in text
    (place,) = json.loads(monitor("routes", "test", "severity=critical", "host=a", "--format", "json").stdout)["places"]
    assert place["routes"][0]["muted_until"] is None
    assert place["inhibitions"] == []
