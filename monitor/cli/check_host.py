"""`monitor check --environment`: what the service needs of this host, tried as its user where root asks."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.cli.common import person
from monitor.config.credentials import credentials
from monitor.machine.clock import clock
from monitor.machine.disk import disk, writable
from monitor.machine.finding import CheckFinding, host_error, host_notice
from monitor.machine.identity import Identity, as_user, hidden_from, service_user
from monitor.machine.limits import limits
from monitor.machine.reach import reach
from monitor.machine.service import daemons, running, service
from monitor.machine.unit import STATE, ServiceUnit, drop_in, find_unit
from monitor.sources.file.globs import Globs
from monitor.sources.journal.files import Catalogue

if TYPE_CHECKING:
    from monitor.config.config import Config

__all__ = ["host", "host_alone"]

_PROXY = re.compile(r"(?i)(?:all|http|https|no)_proxy")
_TIMEOUT = 60.0  # seconds for a program to say its version


def host(config: Config, places: Callable[..., Iterator[CheckFinding]]) -> Iterator[CheckFinding]:
    """`places(who, state=…)`: whether this process may use its paths."""
    unit = find_unit()
    yield from service(config, unit, credentials(config))
    yield from running()
    identity: Identity | None = None
    if unit is not None and not unit.masked:
        identity, wrong = service_user(unit)
        yield from wrong
        yield from _out_of_sight(config, unit)
    folder = next(each for each in (config.state_dir, *config.state_dir.parents) if each.is_dir())
    yield from disk(folder, sqlite=config.monitor.database is None)
    yield from _as_service(config, unit, identity, places)
    yield from daemons(config, unit)
    yield from _written_out(config)
    yield from limits(config, unit)
    yield from clock()
    with _proxies_of(unit):
        unreached = reach(config.sinks)
    yield from unreached


@contextmanager
def _proxies_of(unit: ServiceUnit | None) -> Iterator[None]:
    """Out into the network as the service goes, not as this shell does."""
    before = dict(os.environ)
    if unit is not None and not unit.masked:
        for name in filter(_PROXY.fullmatch, before):
            del os.environ[name]
        os.environ.update((name, value) for name, value in unit.environment.items() if _PROXY.fullmatch(name))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def host_alone() -> Iterator[CheckFinding]:
    """What can be said without a configuration."""
    unit = find_unit()
    yield from service(None, unit, ())
    yield from running()
    if unit is not None and not unit.masked:
        identity, wrong = service_user(unit)
        yield from wrong
        if identity is not None and not os.geteuid():
            yield from _begun(unit, identity)
    state = unit.writes if unit is not None and unit.writes is not None else Path(STATE)
    yield from disk(next(each for each in (state, *state.parents) if each.is_dir()), sqlite=True)
    yield from clock()


def _as_service(
    config: Config,
    unit: ServiceUnit | None,
    identity: Identity | None,
    places: Callable[..., Iterator[CheckFinding]],
) -> Iterator[CheckFinding]:
    if identity is None or identity.uid == os.geteuid():
        yield from places()
        yield from _rights(config, person(), state=True)
    elif os.geteuid():
        file = f" --config {shlex.quote(str(config.path))}" if config.path else ""
        message = f"tried as {person()}, and the service is {identity.name}: as root it is tried as that user"
        yield host_notice("user", message, f"sudo monitor check --environment{file}")
    else:
        yield from _begun(unit, identity)
        state = _to_be_tried(config.state_dir, unit, identity)
        rows = as_user(
            identity,
            lambda: [
                *places(identity.name, state=state),
                *_rights(config, identity.name, state=state),
            ],
        )
        yield from (CheckFinding(*row) for row in rows)


def _begun(unit: ServiceUnit | None, identity: Identity) -> Iterator[CheckFinding]:
    """Whether that user may run the program at all."""
    program = unit.program if unit is not None else None
    if program is None or not os.access(program, os.X_OK):
        return  # which is reported
    how: dict[str, Any] = {"user": identity.uid, "group": identity.gid, "extra_groups": identity.groups, "cwd": "/"}
    try:
        subprocess.run([str(program), "--version"], capture_output=True, check=True, timeout=_TIMEOUT, **how)
    except (OSError, subprocess.SubprocessError):
        message = f"{program} cannot be run by {identity.name}: something that it needs may not be read"
        yield host_error("unit", message, f"runuser -u {identity.name} -- {program} --version")


def _to_be_tried(state: Path, unit: ServiceUnit | None, identity: Identity) -> bool:
    """One that systemd makes for the service it also gives to it, at the start."""
    managed = unit is not None and unit.writes == state
    return not managed or (state.exists() and state.stat().st_uid == identity.uid and not state.is_symlink())


def _rights(config: Config, who: str, *, state: bool) -> Iterator[CheckFinding]:
    may = state and os.access(config.state_dir, os.W_OK | os.X_OK)  # else that is reported
    if may and (problem := writable(config.state_dir)):
        yield host_error("disk", problem, f"df -h {config.state_dir}; quota -u {who}")
    if config.path is not None and not os.access(config.path, os.R_OK):
        path = shlex.quote(str(config.path))
        yield host_error("config", f"{path} may not be read by {who}", f"chgrp {who} {path} && chmod g+r {path}")
    for index, source in enumerate(config.sources):
        if source.type == "journal":
            refused = Catalogue(getattr(source, "directory", None), getattr(source, "namespace", None)).look().refused
            if refused:
                message = f'source "{source.name}": {refused[0]} may not be read by {who}'
                mend = f"usermod -aG systemd-journal {who}"
                yield CheckFinding("environment", f"sources[{index}]", message, mend=mend)


def _out_of_sight(config: Config, unit: ServiceUnit) -> Iterator[CheckFinding]:
    """Files that the unit hides from the service, whoever may read them."""
    for index, source in enumerate(config.sources):
        patterns: Sequence[Any] = getattr(source, "include", ()) if source.type in ("file", "container") else ()
        for path in Globs(patterns, getattr(source, "exclude", ())).paths():
            if hides := hidden_from(unit, Path(path)):
                key = hides.partition("=")[0]
                message = f'source "{source.name}": {path} is out of the service\'s sight by {hides}'
                mend = drop_in("sight", f"{key}={'read-only' if key == 'ProtectHome' else 'no'}")
                yield CheckFinding("environment", f"sources[{index}].include", message, mend=mend)
                break


def _written_out(config: Config) -> Iterator[CheckFinding]:
    """A secret in the configuration itself, which all users may read."""
    from monitor.cli.common import redacted

    try:
        text = config.path.read_text(encoding="utf-8") if config.path and config.path.stat().st_mode & 0o004 else ""
    except (OSError, ValueError):
        return
    if text and redacted(config, text) != text:
        message = f"{config.path} holds a secret and may be read by all users: put it elsewhere, as a reference"
        yield host_error("config", message, f"chmod o-rwx {shlex.quote(str(config.path))}")
