"""What is wrong with the service's unit on this host, and between it and the configuration."""

from __future__ import annotations

import os
import shlex
import socket
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.common.listen import split_listen
from monitor.machine.finding import CheckFinding, host_error, host_notice
from monitor.machine.identity import hidden_from
from monitor.machine.unit import NAME, STATE, UNIT, ServiceUnit, drop_in, service_settings, shipped, yes
from monitor.sources.file.rights import entered

if TYPE_CHECKING:
    from monitor.common.credential import Credential
    from monitor.config.config import Config

__all__ = ["daemons", "reads", "running", "service", "unloaded"]

# Heads of keys by which it keeps to itself
_HARDENING = (
    *("LimitCORE", "NoNewPrivileges", "CapabilityBoundingSet", "AmbientCapabilities", "SecureBits", "Protect"),
    *(
        "Private",
        "RestrictA",
        "RestrictN",
        "RestrictR",
        "RestrictS",
        "DevicePolicy",
        "ProcSubset",
        "LockPersonality",
        "MemoryDenyWriteExecute",
        "UMask",
    ),
    *("MemorySwapMax", "SystemCall", "KeyringMode", "RemoveIPC"),
)
_LISTS = ("CapabilityBoundingSet", "AmbientCapabilities", "SecureBits", "RestrictAddressFamilies", "SystemCallFilter")
_FIRST_PORT = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_RUNNING = Path("/run/systemd/system")


def service(
    config: Config | None, unit: ServiceUnit | None, credentials: Iterable[tuple[str, Credential]]
) -> Iterator[CheckFinding]:
    """Blocking. `config`: None: it cannot be read. `credentials`: those that it names, with
    their keys."""
    if unit is None:
        if _RUNNING.is_dir():
            yield host_notice("unit", "the service is not installed on this host", "monitor init --install")
        return
    if unit.masked:
        yield host_error("unit", f"{unit.path} is masked, so the service cannot start", f"systemctl unmask {NAME}")
        return
    if unit.hidden:
        message = f"{unit.path} hides {', '.join(map(str, unit.hidden))}, so that upgrades of it change nothing here"
        yield host_notice("unit", message, f"rm {unit.path} && systemctl daemon-reload && systemctl restart {NAME}")
    if not unit.enabled:
        yield host_notice("unit", f"{unit.path} is not enabled: it does not start at boot", f"systemctl enable {NAME}")
    yield from _weaker(unit)
    yield from _command(config, unit)
    yield from _loaded(unit)
    yield from unloaded(unit, credentials)
    if config is not None:
        yield from _state(config, unit)
        yield from _low_ports(config, unit)


def _weaker(unit: ServiceUnit) -> Iterator[CheckFinding]:
    ours = service_settings(shipped())
    if unit.last("User") in ("root", "0") or not (unit.last("User") or yes(unit.last("DynamicUser"))):
        yield host_notice("unit", f"the service runs as root by {unit.path}", "monitor init --install")
    for key in sorted(ours):
        has = unit.settings.get(key, ("",))
        said, wanted = (" ".join(values if key in _LISTS else values[-1:]) for values in (has, ours[key]))
        if not key.startswith(_HARDENING) or said == wanted or (yes(said) and yes(wanted)):
            continue
        place = unit.origin.get(key, unit.path)
        mend = f"sed -i '/^{key}=/d' {place} && systemctl daemon-reload && systemctl restart {NAME}"
        if place == unit.path:
            mend = drop_in(key, f"{key}=", *(f"{key}={value}" for value in ours[key] if value))
        yield host_notice(
            "unit", f"{place} undoes hardening: {key} is {said or 'not set'}, not {wanted or 'empty'}", mend
        )


def _command(config: Config | None, unit: ServiceUnit) -> Iterator[CheckFinding]:
    program = unit.program
    if program is None:
        yield host_error("unit", f"{unit.path} starts nothing: it has no ExecStart", "monitor init --install")
        return
    if not os.access(program, os.X_OK):
        why = "cannot be run" if os.path.exists(program) else "is not there"
        yield host_error("unit", f"{program}, which {unit.path} starts, {why}", "monitor init --install")
    elif hides := hidden_from(unit, Path(os.path.realpath(program))):
        yield host_error("unit", f"{program} is out of the service's sight by {hides}: install it below /opt")
    named = reads(unit)
    if config is not None and config.path is not None and named != config.path.absolute():
        mend = f"monitor check --environment --config {shlex.quote(str(named))}"
        yield host_notice("unit", f"the service reads {named}, which is not what is checked here", mend)


def reads(unit: ServiceUnit) -> Path:
    """The configuration that the service goes by."""
    words = unit.command
    named = [words[place + 1] for place, word in enumerate(words[:-1]) if word in ("--config", "-c")]
    return Path(named[-1] if named else unit.environment.get("MONITOR_CONFIG", f"/etc/{NAME}/config.toml")).absolute()


def _state(config: Config, unit: ServiceUnit) -> Iterator[CheckFinding]:
    made, state = unit.writes, config.state_dir
    if made is not None and "state_dir" not in config.monitor.model_fields_set:
        message = f"monitor.state_dir is not set: the service keeps its state in {made}, and commands look into {state}"
        yield host_error("state", f'{message}: set state_dir = "{made}"')
        return
    own = made is not None and state.absolute() == made
    open_to_it = any(state.is_relative_to(path.lstrip("-+")) for path in unit.words("ReadWritePaths"))
    if not own and not open_to_it and unit.last("ProtectSystem") == "strict":
        mend = drop_in("state", f"ReadWritePaths={state}")
        message = f'the service may not write to {state}: set state_dir = "{made or STATE}", or let it'
        yield host_error("state", message, mend)
    try:
        owner = state.stat()
        others = [str(path) for path in state.rglob("*") if path.lstat().st_uid != owner.st_uid]
    except OSError:
        return  # not there yet, or not for this user
    if others:
        more = f" and {len(others) - 1:,} more" if len(others) > 1 else ""
        message = f"{others[0]}{more}: of another user than the state folder, so that the service cannot write to it"
        yield host_error("state", message, f"chown -hR --reference={state} {state}/")


def _loads(unit: ServiceUnit) -> dict[str, Path | None]:
    """Names of credentials that the service gets, and the file of each that is one."""
    loads: dict[str, Path | None] = {}
    for key in ("LoadCredential", "LoadCredentialEncrypted", "SetCredential", "SetCredentialEncrypted"):
        for value in unit.settings.get(key, ()):
            name, _, place = value.partition(":")
            loads[name] = Path(place) if place.startswith("/") and key.startswith("Load") else None
    return loads


def _loaded(unit: ServiceUnit) -> Iterator[CheckFinding]:
    for name, path in _loads(unit).items():
        if path is None:
            continue
        make = f"(umask 077; openssl rand -hex 32 > {path})" if name == "fingerprint-key" else None
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            message = f"{path}, which {unit.path} loads, is not there, so the service does not start"
            message += "; with another key than before, known secrets look new" if make else ""
            yield host_error("credentials", message, make or f"install -m 0600 /dev/stdin {path}")
        except OSError:
            continue  # out of this user's sight
        else:
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                yield host_error("credentials", f"{path} may be read by others than root", f"chmod 600 {path}")


def unloaded(unit: ServiceUnit, credentials: Iterable[tuple[str, Credential]]) -> Iterator[CheckFinding]:
    """References that lead the service nowhere, whatever they lead to in this shell."""
    loads, imports = _loads(unit), unit.words("ImportCredential")
    files = (file.removeprefix("-") for file in unit.words("EnvironmentFile"))
    sets, known = {*unit.environment, *unit.words("PassEnvironment")}, all(os.access(file, os.R_OK) for file in files)
    for key, credential in credentials:
        scheme, _, name = credential.reference.partition(":")
        if scheme == "credential" and name not in loads and not imports:
            file = Path("/etc", NAME, "credentials", name)
            message = f"{unit.path} does not load {credential.shown}, so the service does not have it"
            yield CheckFinding("environment", key, message, mend=drop_in(name, f"LoadCredential={name}:{file}"))
        elif scheme == "env" and known and name not in sets:
            message = f"{unit.path} does not set {credential.shown}, so the service does not have it"
            yield CheckFinding("environment", key, f"{message}: set it in an EnvironmentFile=, or use credential:NAME")


def _low_ports(config: Config, unit: ServiceUnit) -> Iterator[CheckFinding]:
    """Of sources: such as 514, on which the service may not listen without a right of its own."""
    first = int(_read(_FIRST_PORT) or 0)
    if unit.last("User") == "root" or "CAP_NET_BIND_SERVICE" in unit.words("AmbientCapabilities"):
        return
    for index, source in enumerate(config.sources):
        listen: str | Sequence[str] = getattr(source, "listen", ())
        for text in [listen] if isinstance(listen, str) else listen:
            port = text.rpartition(":")[2]
            if port.isdigit() and 0 < int(port) < first:
                message = f'source "{source.name}": the service may not listen on port {port}; take one from {first} on'
                file = "/etc/sysctl.d/60-exposure-monitor-ports.conf"
                mend = f"echo 'net.ipv4.ip_unprivileged_port_start = {port}' > {file} && sysctl --system"
                yield CheckFinding("environment", f"sources[{index}].listen", message, mend=mend)


def running() -> Iterator[CheckFinding]:
    """What systemd says of the service. Blocking."""
    if not _RUNNING.is_dir():
        return
    asked = "--property=ActiveState,Result,NeedDaemonReload,LoadState"
    try:
        answer = subprocess.run(
            ["systemctl", "show", asked, UNIT], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    said: Mapping[str, str] = dict(line.split("=", 1) for line in answer.stdout.splitlines() if "=" in line)
    if said.get("NeedDaemonReload") == "yes":
        mend = f"systemctl daemon-reload && systemctl restart {NAME}"
        yield host_notice("unit", "the unit was changed since systemd read it", mend)
    if said.get("ActiveState") == "failed":
        message = f"the service has failed: {said.get('Result', 'unknown')}"
        yield host_error("unit", message, f"journalctl -u {NAME} -n 50; systemctl restart {NAME}")


def daemons(config: Config, unit: ServiceUnit | None, proc: Path = Path("/proc")) -> Iterator[CheckFinding]:
    """Another monitor than the service that holds this state, or another program that has its port."""
    if not entered(str(config.state_dir)):
        return  # whoever asks does not see who has the lock
    holder = _holder(config.state_dir, proc)
    if holder is None:
        yield from _port(config)
    elif unit is not None and UNIT not in _read(proc / holder / "cgroup", UNIT):
        message = f"process {holder}, which is not the service, runs on {config.state_dir}: the service does not start"
        yield host_error("state", message, f"ps -fp {holder}; kill {holder}; systemctl restart {NAME}")


def _holder(state: Path, proc: Path) -> str | None:
    """The process that has the lock. It is looked at, never taken: a monitor that starts just then would not get it."""
    try:
        status = (state / "lock").stat()
    except OSError:
        return None
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    locks = map(str.split, _read(proc / "locks").splitlines())
    return next((fields[4] for fields in locks if fields[1] == "FLOCK" and fields[5] == place), None)


def _read(path: Path, otherwise: str = "") -> str:
    """`otherwise`: it is gone, or of another namespace."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return otherwise


def _port(config: Config) -> Iterator[CheckFinding]:
    host, port = split_listen(config.http.listen) if config.http.listen else ("", 0)
    if not port:
        return
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what is bound and does not listen hinders nobody
        try:
            trial.bind((host, port))
        except OSError as error:
            message = f"the service cannot listen on {config.http.listen}: {error.strerror or 'no such address'}"
            yield CheckFinding("environment", "http.listen", message, mend=f"ss -ltnp 'sport = :{port}'")
