"""On a host of its own: this one, with folders of another laid over /etc and /var/lib, in a namespace of mounts."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from detectors.rules.template import expand
from monitor.machine.unit import UNIT
from tests.fakes.ports import free_port
from tests.fakes.server import FakeServer, Fault

Command = Callable[..., subprocess.CompletedProcess[str]]

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount, and be another user")
_OVER = """
mount -t tmpfs t $0/over || exit 99
for folder in etc var/lib; do
    mkdir -p $0/over/$folder/upper $0/over/$folder/work
    mount -t overlay o -o lowerdir=$0/$folder:/$folder,upperdir=$0/over/$folder/upper,workdir=$0/over/$folder/work \\
        /$folder || exit 99
done
exec "$@"
"""


@pytest.fixture
def lay() -> Iterator[Path]:
    """A folder that everybody may enter, whose `etc` and `var/lib` are laid over this host's."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for name in ("etc", "var/lib", "logs", "over"):
            Path(folder, name).mkdir(parents=True)
        yield Path(folder)


@pytest.fixture
def installed(lay: Path, monitor: Command) -> Path:
    """The service is installed there, and follows `logs`."""
    for name in ("passwd", "group"):
        (lay / "etc" / name).write_bytes(Path("/etc", name).read_bytes())
    answer = monitor("init", "--install", "--root", str(lay), "--yes")
    assert answer.returncode == 0, answer.stderr
    made = lay / "etc/exposure-monitor/config.toml"
    made.write_text(
        '[monitor]\nstate_dir = "/var/lib/exposure-monitor"\nfingerprint_key = "credential:fingerprint-key"\n'
        '[http]\nlisten = "127.0.0.1:0"\n[rules]\npacks = ["vcs/github"]\n'
        f'[[sources]]\nname = "a"\ntype = "file"\ninclude = ["{lay}/logs/*.log"]\n'
        '[[sinks]]\nname = "s"\ntype = "console"\n'
    )
    return lay


def checked(
    monitor: Command, lay: Path, *more: str, user: tuple[str, ...] = (), env: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    before = ["unshare", "-m", "sh", "-c", _OVER, str(lay), *user]
    arguments = ("check", *(more or ("--environment",)), "--format", "json")
    variables = {"MONITOR_CONFIG": "/etc/exposure-monitor/config.toml", **(env or {})}
    answer = monitor(*arguments, before=before, env=variables)
    if answer.returncode == 99 or "cannot change root filesystem propagation" in answer.stderr:
        pytest.skip("no overlay can be mounted here")  # nor any file system, where the root is no mount, as in a chroot
    assert answer.stdout, answer.stderr
    rows: list[dict[str, Any]] = json.loads(answer.stdout)
    kinds = {row["kind"] for row in rows}
    expected = 78 if "configuration" in kinds else 1 if "environment" in kinds else 0
    assert answer.returncode == expected, answer.stderr
    # What depends on where this Python and these tests lie, or on this machine.
    out = ("host.clock", "host.disk")
    return [row for row in rows if row["key"] not in out and "out of the service's sight" not in row["message"]]


@ROOT_ONLY
def test_what_the_service_may_do_is_tried_as_the_service(installed: Path, monitor: Command) -> None:
    log, state, closed = installed / "logs/app.log", installed / "var/lib/exposure-monitor", installed / "closed"
    log.touch(mode=0o600)
    (state / "state.db").touch()
    closed.mkdir(mode=0o700)
    with (installed / "etc/exposure-monitor/config.toml").open("a") as made:
        made.write(f'[[sources]]\nname = "c"\ntype = "container"\ninclude = ["{closed}/*.log", "/nowhere/*.log"]\n')
    rows = [row for row in checked(monitor, installed) if "cannot be run" not in row["message"]]
    assert [(row["key"], row["kind"], row["mend"]) for row in rows] == [
        ("sources[1].include", "environment", f"setfacl -m u:exposure-monitor:rx {closed}"),
        ("host.state", "environment", "chown -hR --reference=/var/lib/exposure-monitor /var/lib/exposure-monitor/"),
        (
            "sources[0].include",
            "notice",
            f"setfacl -m u:exposure-monitor:r {log} && setfacl -d -m u:exposure-monitor:r {log.parent}",
        ),
    ]
    assert f"{log} may not be read by exposure-monitor" in rows[2]["message"]

    closed.chmod(0o755)
    log.chmod(0o640)
    os.chown(log, 0, 4)
    os.chown(state / "state.db", state.stat().st_uid, state.stat().st_gid)
    assert [row for row in checked(monitor, installed) if "cannot be run" not in row["message"]] == [], "it is in adm"


@ROOT_ONLY
def test_a_configuration_that_the_service_may_not_read_or_all_may(installed: Path, monitor: Command) -> None:
    made = installed / "etc/exposure-monitor/config.toml"
    token = expand("ghp_{alnum:30}{crc32}", 5)
    made.write_text(f"{made.read_text()}# token = {token}\n")
    os.chown(made, 0, 0)
    for mode, mend in (
        (
            0o640,
            "chgrp exposure-monitor /etc/exposure-monitor/config.toml && chmod g+r /etc/exposure-monitor/config.toml",
        ),
        (0o644, "chmod o-rwx /etc/exposure-monitor/config.toml"),
    ):
        made.chmod(mode)
        [row] = [row for row in checked(monitor, installed) if row["key"] == "host.config"]
        assert (row["kind"], row["mend"]) == ("environment", mend)
        assert token not in str(row)


@ROOT_ONLY
def test_another_user_than_the_services_is_sent_to_root(installed: Path, monitor: Command) -> None:
    made = installed / "etc/exposure-monitor/config.toml"
    made.chmod(0o644)
    user = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all")
    if subprocess.run([*user, sys.executable, "-c", "import monitor"], capture_output=True, check=False).returncode:
        pytest.skip("this Python, or what it runs, is root's alone")
    rows = checked(monitor, installed, user=user)
    [row] = [row for row in rows if row["key"] == "host.user"]
    assert row["mend"] == "sudo monitor check --environment --config /etc/exposure-monitor/config.toml"
    assert not [row for row in rows if row["key"].startswith("sources")], "what this user may read is not the question"


@ROOT_ONLY
def test_a_service_whose_user_systemd_makes_keeps_its_state_where_nobody_else_looks(
    installed: Path, monitor: Command
) -> None:
    unit = installed / "etc/systemd/system" / UNIT
    unit.write_text(unit.read_text().replace("User=exposure-monitor\nGroup=exposure-monitor", "DynamicUser=yes"))
    private = installed / "var/lib/private"
    private.mkdir(mode=0o700)
    (installed / "var/lib/exposure-monitor").rename(private / "exposure-monitor")
    (installed / "var/lib/exposure-monitor").symlink_to("private/exposure-monitor")
    (installed / "etc/exposure-monitor/config.toml").chmod(0o644)
    (installed / "logs/app.log").touch()
    assert [row for row in checked(monitor, installed) if "cannot be run" not in row["message"]] == []


@ROOT_ONLY
def test_a_program_that_the_services_user_cannot_run(installed: Path, monitor: Command) -> None:
    program = installed / "monitor"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    unit = installed / "etc/systemd/system" / UNIT
    text = unit.read_text()
    start = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    unit.write_text(text.replace(start.split()[0], f"ExecStart={program}").replace("PrivateTmp=yes\n", ""))
    [row] = [row for row in checked(monitor, installed) if "cannot be run" in row["message"]]
    assert row["mend"] == f"runuser -u exposure-monitor -- {program} --version"


def test_without_a_service_the_rights_are_those_of_who_asks(monitor: Command, config: Path) -> None:
    (config.parent / "logs").mkdir()
    (config.parent / "logs/app.log").touch()
    text = config.read_text().replace('url = "env:HOOK_URL"', 'url = "http://127.0.0.1:1/"')
    config.write_text(text)
    answer = monitor("check", "--environment")
    assert answer.returncode == 1
    line = text.splitlines().index('name = "hook"')  # below the line of its table, which counts from 1
    place = f"{config}:{line}"
    lines = answer.stdout.splitlines()
    assert lines[0].startswith(f'{place}: sinks[1]: sink "hook": its server cannot be reached: ')
    assert lines[1] == "  mend: monitor sinks test hook"


@ROOT_ONLY
async def test_the_network_is_tried_by_the_proxy_of_the_unit(installed: Path, monitor: Command) -> None:
    config = installed / "etc/exposure-monitor/config.toml"
    sink = '[[sinks]]\nname = "hook"\ntype = "alertmanager"\nurl = "http://alerts.example.org/"\n'
    config.write_text(config.read_text() + sink)
    drop_in = installed / f"etc/systemd/system/{UNIT}.d/proxy.conf"
    drop_in.parent.mkdir()
    shell = {"http_proxy": f"http://127.0.0.1:{free_port()}"}  # where nobody listens
    async with FakeServer() as proxy:
        proxy.always = Fault(404)
        drop_in.write_text(f'[Service]\nEnvironment=A=b "HTTP_PROXY={proxy.url}"\n')
        rows = await asyncio.to_thread(checked, monitor, installed, env=shell)
        assert [row["message"] for row in rows if row["key"].startswith("sinks")] == []
        assert [seen.method for seen in proxy.requests] == ["HEAD"]
    drop_in.write_text("[Service]\nEnvironment=\n")
    rows = await asyncio.to_thread(checked, monitor, installed, env=shell)
    [message] = [row["message"] for row in rows if row["key"].startswith("sinks")]
    assert "egress proxy" not in message


@ROOT_ONLY
def test_without_a_valid_configuration_the_host_is_looked_at_all_the_same(installed: Path, monitor: Command) -> None:
    config = installed / "etc/exposure-monitor/config.toml"
    (installed / "etc/exposure-monitor/credentials/fingerprint-key").unlink()
    for text in ("[monitor\n", "[monitor]\nstate_dirr = '/x'\n"):
        config.write_text(text)
        rows = checked(monitor, installed)
        assert {row["kind"] for row in rows} >= {"configuration", "environment"}
        assert "host.credentials" in {row["key"] for row in rows}
        assert "environment" not in {row["kind"] for row in checked(monitor, installed, "--no-environment")}
    config.unlink()
    assert "host.credentials" in {row["key"] for row in checked(monitor, installed)}


@ROOT_ONLY
def test_a_credential_that_the_service_does_not_get_is_told_by_the_plain_check(
    installed: Path, monitor: Command
) -> None:
    (installed / "etc/exposure-monitor/credentials/chat").write_text("https://hook.example.org/x")
    with (installed / "etc/exposure-monitor/config.toml").open("a") as made:
        made.write('[[sinks]]\nname = "chat"\ntype = "webhook"\nurl = "credential:chat"\n')
    rows = checked(monitor, installed, "--config", "/etc/exposure-monitor/config.toml")
    [row] = [row for row in rows if row["kind"] == "environment"]
    assert row["key"] == "sinks[1].url"
    assert "does not load credential:chat" in row["message"]
