from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.common.invocation import INSTALLED, Program, invocation
from monitor.store import Store
from tests.detectors import texts
from tests.monitor.store.helpers import finding


def test_called_by_its_name_where_it_is_on_the_path(tmp_path: Path) -> None:
    script = tmp_path / "opt" / "monitor"
    script.parent.mkdir()
    script.touch()
    link = tmp_path / "monitor"
    link.symlink_to(script)
    found = invocation(INSTALLED, str(script), which=lambda _: str(link))
    assert found == Program("monitor", "")
    elsewhere = tmp_path / "my config.toml"
    assert invocation(elsewhere, str(script), which=lambda _: str(link)).options == f" --config '{elsewhere}'"


def test_called_by_its_whole_path_where_another_is_on_the_path() -> None:
    assert (
        invocation(INSTALLED, "/opt/em/bin/monitor", which=lambda _: "/usr/bin/monitor").call == "/opt/em/bin/monitor"
    )
    assert invocation(None, "/opt/em/bin/monitor", which=lambda _: None).call == "/opt/em/bin/monitor"
    module = invocation(INSTALLED, "/x/monitor/__main__.py", which=lambda _: None, python="/usr/bin/python3")
    assert module.call == "/usr/bin/python3 -m monitor"


def test_below_the_folder_of_its_configuration_it_is_called_from_there() -> None:
    made = invocation(Path("/srv/the monitor/config.toml"), "/srv/the monitor/.venv/bin/monitor", which=lambda _: None)
    assert made == Program("cd '/srv/the monitor' && .venv/bin/monitor", "")


@pytest.mark.parametrize("name", ["config.toml", "other.toml"])
async def test_what_is_printed_works_in_any_folder(tmp_path: Path, name: str) -> None:
    config = tmp_path / name
    config.write_text(f'[monitor]\nstate_dir = "{tmp_path}/state"\n', encoding="utf-8")
    (tmp_path / "state").mkdir(mode=0o700)
    async with await Store.open(tmp_path / "state" / "state.db") as store:
        await store.commit([finding("a")])
        (incident,) = await store.incidents.find()
    script = tmp_path / ".venv" / "bin" / "monitor"
    script.parent.mkdir(parents=True)
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m monitor "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    program = invocation(config, str(script), which=lambda _: None)
    environment = {key: value for key, value in os.environ.items() if key != "MONITOR_CONFIG"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[3])
    typed = f"{program.call} incidents ack {incident.id}{program.options}"
    done = subprocess.run(typed, shell=True, check=False, cwd="/", env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{incident.id} acknowledged\n"), done.stderr


def installed(tmp_path: Path) -> tuple[Path, list[str]]:
    """As docs/operations.md has it: a credential that only root may read, a state folder of the service's user. Returns
    the configuration, and what to put before a command to be nobody in particular."""
    config = tmp_path / "etc" / "config.toml"
    (config.parent / "credentials").mkdir(mode=0o700, parents=True)
    (config.parent / "credentials" / "fingerprint-key").write_text("k" * 32)
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    texts.lend(state / "cache")
    config.write_text(
        f'[monitor]\nstate_dir = "{state}"\nfingerprint_key = "credential:fingerprint-key"\n'
        '[rules]\npacks = ["vcs/github"]\n'
    )
    rights = "-dac_override,-dac_read_search"
    return config, ["setpriv", f"--inh-caps={rights}", f"--bounding-set={rights}"] if os.geteuid() == 0 else []


async def test_on_an_installation_it_works_for_root_and_others_get_a_sentence(tmp_path: Path) -> None:
    config, nobody = installed(tmp_path)
    async with await Store.open(tmp_path / "state" / "state.db", secret=b"k" * 32) as store:
        await store.commit([finding("a")])
        (incident,) = await store.incidents.find()
    away = ("MONITOR_CONFIG", "CREDENTIALS_DIRECTORY")
    environment = {key: value for key, value in os.environ.items() if key not in away}
    environment["PYTHONPATH"] = str(Path(__file__).parents[3])
    typed = [sys.executable, "-m", "monitor", "incidents", "ack", incident.id, "--note", "mine", "--config", config]

    def run(*before: str) -> tuple[int, str, str]:
        done = subprocess.run([*before, *typed], check=False, cwd="/", env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    assert run() == (0, f"{incident.id} acknowledged\n", "")
    for place in (tmp_path / "state", config.parent / "credentials"):
        if nobody:
            os.chown(place, 65534, 65534)
        else:
            place.chmod(0)
    code, said, wrong = run(*nobody)
    assert (said, wrong.count("\n")) == ("", 1), wrong
    assert code in (1, 78)
    assert "this user may not" in wrong
    assert "run it as root (sudo), or as the user that the monitor runs as" in wrong
    for place in (tmp_path / "state", config.parent / "credentials"):
        place.chmod(0o700)
