from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from monitor.common.credential import Credential
from monitor.config.config import Config, parse
from monitor.machine.finding import CheckFinding
from monitor.machine.service import daemons, running, service
from monitor.machine.unit import UNIT, ServiceUnit, find_unit, shipped

STATE = 'state_dir = "/var/lib/exposure-monitor"'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system on which our unit is installed, of a program and a key that are there."""
    key = tmp_path / "key"
    key.touch(mode=0o600)
    text = shipped().replace("/opt/exposure-monitor/bin/monitor", "/bin/sh")
    text = text.replace("/etc/exposure-monitor/credentials/fingerprint-key", str(key))
    (tmp_path / "etc/systemd/system/multi-user.target.wants").mkdir(parents=True)
    (tmp_path / "etc/systemd/system" / UNIT).write_text(text)
    (tmp_path / "etc/systemd/system/multi-user.target.wants" / UNIT).symlink_to("x")
    return tmp_path


def unit(root: Path, *lines: str) -> ServiceUnit:
    """With a drop-in of these lines."""
    folder = root / f"etc/systemd/system/{UNIT}.d"
    folder.mkdir(exist_ok=True)
    (folder / "override.conf").write_text("\n".join(("[Service]", *lines, "")))
    there = find_unit(root)
    assert there is not None
    return there


def config(text: str = STATE) -> Config:
    return parse(f"[monitor]\n{text}\n", Path("/etc/exposure-monitor/config.toml"))


def wrong(root: Path, *lines: str, settings: Config | None = None, names: tuple[str, ...] = ()) -> list[CheckFinding]:
    return list(
        service(
            settings or config(),
            unit(root, *lines),
            [(f"sinks[{n}].url", Credential(name)) for n, name in enumerate(names)],
        )
    )


def test_our_own_unit_has_no_fault(root: Path) -> None:
    assert wrong(root) == []
    assert wrong(root, "LimitNOFILE=100000", "SupplementaryGroups=nginx", "MemoryMax=4G") == []
    assert wrong(root, "NoNewPrivileges=true") == [], "in other words the same"


def test_what_a_drop_in_undoes_is_named_with_its_file(root: Path) -> None:
    found = wrong(root, "CapabilityBoundingSet=CAP_SYS_ADMIN", "LimitCORE=infinity", "User=root")
    place = root / f"etc/systemd/system/{UNIT}.d/override.conf"
    assert [each.message.partition(": ")[2] or each.message for each in found] == [
        f"the service runs as root by {root}/etc/systemd/system/{UNIT}",
        "CapabilityBoundingSet is CAP_SYS_ADMIN, not empty",
        "LimitCORE is infinity, not 0",
    ]
    assert all(each.kind == "notice" and each.mend for each in found)
    for each in found[1:]:
        subprocess.run(["sh", "-c", str(each.mend).partition(" && ")[0]], check=True)
    assert place.read_text() == "[Service]\nUser=root\n"


def test_what_the_unit_itself_leaves_out_a_drop_in_brings_back(root: Path) -> None:
    own = root / "etc/systemd/system" / UNIT
    own.write_text(own.read_text().replace("PrivateTmp=yes\n", ""))
    [found] = wrong(root)
    assert found.message == f"{own} undoes hardening: PrivateTmp is not set, not yes"
    assert "PrivateTmp=yes" in str(found.mend)


@pytest.mark.skipif(not Path("/run/systemd/system").is_dir(), reason="systemd does not run here")
def test_a_host_without_the_service_is_told_how_to_get_it() -> None:
    assert [each.mend for each in service(config(), None, [])] == ["monitor init --install"]


def test_a_unit_that_is_masked_hidden_or_not_enabled(root: Path) -> None:
    packaged = root / "usr/lib/systemd/system" / UNIT
    packaged.parent.mkdir(parents=True)
    packaged.touch()
    (root / "etc/systemd/system/multi-user.target.wants" / UNIT).unlink()
    hidden, off = wrong(root)
    assert str(packaged) in hidden.message
    assert str(hidden.mend).startswith(f"rm {root}/etc/systemd/system/{UNIT} && systemctl daemon-reload")
    assert off.mend == "systemctl enable exposure-monitor"
    own = root / "etc/systemd/system" / UNIT
    own.unlink()
    own.symlink_to("/dev/null")
    [masked] = wrong(root)
    assert (masked.kind, masked.mend) == ("environment", "systemctl unmask exposure-monitor")


def test_a_program_or_a_configuration_that_is_not_the_one_it_starts(root: Path) -> None:
    assert [each.message for each in wrong(root, "ExecStart=")] == [
        f"{root}/etc/systemd/system/{UNIT} starts nothing: it has no ExecStart"
    ]
    [gone, other] = wrong(root, "ExecStart=", "ExecStart=/opt/none/monitor run -c /srv/c.toml")
    assert (gone.kind, other.kind) == ("environment", "notice")
    assert "/opt/none/monitor" in gone.message
    assert other.mend == "monitor check --environment --config /srv/c.toml"


def test_a_program_that_the_unit_hides_from_the_service(root: Path) -> None:
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as program:
        os.chmod(program.name, 0o755)
        [found] = wrong(root, "ExecStart=", f"ExecStart={program.name} run")
    assert "out of the service's sight by PrivateTmp=yes" in found.message


def test_a_state_folder_that_is_not_the_services(root: Path, tmp_path: Path) -> None:
    [unset] = wrong(root, settings=config("log_level = 'info'"))
    assert 'set state_dir = "/var/lib/exposure-monitor"' in unset.message
    elsewhere = config(f"state_dir = '{tmp_path}/state'")
    [closed] = wrong(root, settings=elsewhere)
    assert (closed.kind, f"ReadWritePaths={tmp_path}/state" in str(closed.mend)) == ("environment", True)
    assert wrong(root, f"ReadWritePaths=-{tmp_path}", settings=elsewhere) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_files_that_root_left_in_the_state_folder_are_given_back(root: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 65534, 65534)
    (state / "state.db").touch()
    settings = config(f"state_dir = '{state}'")
    [found] = wrong(root, f"ReadWritePaths={state}", settings=settings)
    assert found.message.startswith(f"{state}/state.db: of another user")
    subprocess.run(["sh", "-c", str(found.mend)], check=True)
    assert wrong(root, f"ReadWritePaths={state}", settings=settings) == []


def test_credentials_that_the_unit_loads_and_those_that_the_configuration_names(root: Path) -> None:
    names = ("credential:fingerprint-key", "credential:slack", "env:OTHER")
    unloaded, unset = wrong(root, names=names)
    assert (unloaded.key, unset.key) == ("sinks[1].url", "sinks[2].url")
    assert "credential:slack" in unloaded.message
    assert "env:OTHER" in unset.message
    assert wrong(root, "Environment=OTHER=1", "SetCredential=slack:x", names=names) == []
    (root / "env").write_text("OTHER=1\n")
    assert wrong(root, f"EnvironmentFile={root}/env", "SetCredential=slack:x", names=names) == []
    assert wrong(root, "PassEnvironment=OTHER", "SetCredential=slack:x", names=names) == []
    names = names[:2]
    assert "LoadCredential=slack:/etc/exposure-monitor/credentials/slack" in str(unloaded.mend)
    assert wrong(root, "SetCredential=slack:x", names=names) == []
    assert wrong(root, "ImportCredential=*", names=names) == []
    (root / "key").chmod(0o644)
    [readable] = wrong(root)
    assert (readable.kind, readable.mend) == ("environment", f"chmod 600 {root}/key")
    (root / "key").unlink()
    [missing] = wrong(root)
    assert "known secrets look new" in missing.message
    subprocess.run(["sh", "-c", str(missing.mend)], check=True)
    assert wrong(root) == [], "the command makes it"


def test_a_port_that_is_not_for_everybody(root: Path) -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if first < 2:
        pytest.skip("here every port is for everybody")
    listen = f"{STATE}\n[[sources]]\nname = 's'\ntype = 'syslog'\n"
    listen += f"listen = ['tcp:[::1]:{first - 1}', 'udp:127.0.0.1:{first}']"
    [found] = wrong(root, settings=config(listen))
    assert (found.kind, found.key) == ("environment", "sources[0].listen")
    assert f"ip_unprivileged_port_start = {first - 1}" in str(found.mend)
    may = "AmbientCapabilities=CAP_NET_BIND_SERVICE"
    assert not [each for each in wrong(root, may, settings=config(listen)) if each.key.startswith("sources")]


def test_systemd_is_asked_where_it_runs() -> None:
    assert all(each.key == "host.unit" for each in running())


def test_another_monitor_on_the_same_state_is_named_and_its_lock_is_left_alone(root: Path, tmp_path: Path) -> None:
    state, proc = tmp_path / "state", tmp_path / "proc"
    settings = parse(f"[monitor]\nstate_dir = '{state}'\n[http]\nlisten = ''\n")
    assert list(daemons(settings, unit(root))) == []
    for folder in (state, proc / "71", proc / "72"):
        folder.mkdir(parents=True)
    (state / "lock").touch()
    status = (state / "lock").stat()
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    (proc / "71/cgroup").write_text(f"0::/system.slice/{UNIT}\n")
    (proc / "72/cgroup").write_text("0::/user.slice/session-1.scope\n")
    mend = "ps -fp 72; kill 72; systemctl restart exposure-monitor"
    for holder, expected in (("71", []), ("72", [mend]), ("73", [])):
        rows = (f"POSIX ADVISORY WRITE 9 {place}", f"FLOCK ADVISORY WRITE {holder} {place}")
        (proc / "locks").write_text("".join(f"1: {row} 0 EOF\n" for row in rows))
        assert [each.mend for each in daemons(settings, unit(root), proc)] == expected
    assert list(daemons(settings, None, proc)) == [], "without a service another one may run"


def test_the_kernel_names_who_has_the_lock_in_the_same_way(root: Path, tmp_path: Path) -> None:
    settings = parse(f"[monitor]\nstate_dir = '{tmp_path}'\n[http]\nlisten = ''\n")
    with (tmp_path / "lock").open("w") as lock:
        assert list(daemons(settings, unit(root))) == []
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = [each.message.split(",")[0] for each in daemons(settings, unit(root))]
    if os.major((tmp_path / "lock").stat().st_dev):  # of other file systems the kernel shows another number there
        assert found == [f"process {os.getpid()}"]


def test_a_port_that_another_program_has(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings = parse(f"[monitor]\nstate_dir = '{tmp_path}'\n[http]\nlisten = '127.0.0.1:{port}'\n")
        [found] = daemons(settings, None)
        assert (found.kind, found.key, found.mend) == ("environment", "http.listen", f"ss -ltnp 'sport = :{port}'")
    assert list(daemons(settings, None)) == []
