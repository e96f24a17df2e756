"""`monitor init --install`: what it takes to be a service of a host, as steps that are looked at before they are done.

Each may be done again. Nothing that is there is written over: a file is whole or it is not there, an older unit is put
aside, a key is never made twice.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import secrets
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.common.program import untrusted
from monitor.machine.accounts import Account, account, commands, groups_there, sysusers
from monitor.machine.identity import Identity, as_user
from monitor.machine.logs import LogPlace, configuration, survey
from monitor.machine.unit import NAME, PACKAGED, STATE, UNIT, rendered

__all__ = ["InstallError", "Installation", "Step", "program", "unfit"]

_LIVE = Path("/")
_NOBODY = 65534
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - from the service, by its unit
_ROOM = 4 << 20  # bytes that the files of an installation and the first database take


class InstallError(Exception):
    """What keeps a step from being done, or all of them, a line a reason; safe to show."""


@dataclass(frozen=True, slots=True)
class Step:
    """`command`: the same by hand. `needed`: False: it is so already. `more`: lines that say what will change. `do`
    raises OSError and InstallError."""

    what: str
    why: str
    command: str
    needed: bool
    do: Callable[[], None]
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Installation:
    """Of the system that lies below `root`. `live`: that is this host, and its systemd starts the service."""

    root: Path
    program: Path
    live: bool

    def _at(self, path: str | Path) -> Path:
        return self.root / str(path).lstrip("/")

    def refused(self) -> list[str]:
        """Why nothing is done at all, each with what to do. Blocking."""
        reasons = []
        packaged = (self._at(folder) / UNIT for folder in PACKAGED)
        if there := next(filter(Path.exists, packaged), None):
            start = f"start it (systemctl enable --now {NAME}), or remove the package"
            reasons.append(f"{there} is there: a package has installed the service; {start}")
        unit = self._at("etc/systemd/system") / UNIT
        if unit.is_symlink():
            reasons.append(f"{unit} leads to {os.readlink(unit)}: unmask or remove it first (systemctl unmask {NAME})")
        elif unit.exists() and not re.search(r"(?m)^ExecStart=.*\bmonitor\b.* run\b", _text(unit) or ""):
            reasons.append(f"{unit} starts another program than this one: move it away, or give it another name")
        for path in (self._folder, self._credentials, self._at(STATE)):
            if not _is(path, stat.S_ISDIR):
                reasons += [f"{path} has to be a folder, and is none: move it away"]
        for path in (self._config, self._key):
            if not _is(path, stat.S_ISREG):
                reasons += [f"{path} has to be a file, and is none: move it away"]
        if (user := account(self.root)) is not None and user.uid == 0:
            reasons.append(f"the user {NAME} is root by another name: rename it")
        if self.root == _LIVE and (why := unfit(self.program, Path(sys.executable))):
            reasons.append(why)
        return [*reasons, *self._no_room()]

    def _no_room(self) -> Iterator[str]:
        for path in (self._folder, self._at(STATE)):
            folder = next(each for each in (path, *path.parents) if os.path.isdir(each))
            room = os.statvfs(folder)
            if room.f_bavail * room.f_frsize < _ROOM:
                yield f"{folder} has less than {_ROOM >> 20} MiB free: make room (du -xh {folder} | sort -h | tail)"

    @property
    def _folder(self) -> Path:
        return self._at(f"etc/{NAME}")

    @property
    def _config(self) -> Path:
        return self._folder / "config.toml"

    @property
    def _credentials(self) -> Path:
        return self._folder / "credentials"

    @property
    def _key(self) -> Path:
        return self._credentials / "fingerprint-key"

    def logs(self) -> list[LogPlace]:
        """Blocking."""
        user = account(self.root)
        groups = _numbers(groups_there(_LIVE)) if self.root == _LIVE else ()
        who = Identity(NAME, *(user[:2] if user else (_NOBODY, _NOBODY)), groups)
        trying = self.root == _LIVE and os.geteuid() == 0
        return survey(self.root, NAME, (lambda work: as_user(who, work)) if trying else None)

    def steps(self, logs: Sequence[LogPlace]) -> list[Step]:
        """In the order in which they are done; each is made of what is there now. Blocking."""
        steps = [self._account(), *self._folders(), self._make_key(), self._configure(logs), self._unit()]
        return [*steps, self._start() if self.live else self._enable()]

    def _account(self) -> Step:
        groups = groups_there(self.root)
        made = account(self.root)
        told = sysusers(self.root, groups)
        lines = commands(self.root, groups)

        def do() -> None:
            if told is not None:
                _replace(*told)
            for line in lines:
                _run(line)
            if account(self.root) is None:
                raise InstallError(f"{shlex.join(lines[0])} has made no user {NAME}")

        joined = f", which joins {' and '.join(groups)}" if groups else ""
        more = tuple(told[1].splitlines()) if told else ()
        shown = " && ".join(map(shlex.join, lines))
        needed = made is None or set(made.groups) != set(groups)
        return Step(
            f"user and group {NAME}{joined}", "the service is no other user, and reads the logs that these may", shown,
            needed, do, more,
        )  # fmt: skip

    def _folders(self) -> Iterator[Step]:
        for path, mode, (user, group), why in (
            (self._folder, 0o755, ("root", "root"), "the configuration, which root alone writes"),
            (self._credentials, 0o750, ("root", NAME), "credentials: root's, but for the key"),
            (self._at(STATE), 0o700, (NAME, NAME), "database and caches, of the service alone"),
        ):

            def do(path: Path = path, mode: int = mode, user: str = user, group: str = group) -> None:
                path.mkdir(parents=True, exist_ok=True)
                os.chmod(path, mode)
                os.chown(path, self._ids().uid if user == NAME else 0, self._ids().gid if group == NAME else 0)

            command = f"install -d -m {mode:04o} -o {user} -g {group} {path}"
            yield Step(f"folder {path}", why, command, not _there(path), do)

    def _ids(self) -> Account:
        if (made := account(self.root)) is None:
            raise InstallError(f"there is no user {NAME}")
        return made

    def _make_key(self) -> Step:
        command = f"(umask 077; openssl rand -hex 32 > {self._key}; chown {NAME}: {self._key})"
        why = "the key of fingerprints: made once and never written over, as known secrets would look new"

        def do() -> None:
            ids = self._ids()  # commands that run as the service need it, too
            _put(self._key, secrets.token_hex(32) + "\n", 0o600, owner=(ids.uid, ids.gid))

        return Step(f"key {self._key}", why, command, not _there(self._key), do)

    def _configure(self, logs: Sequence[LogPlace]) -> Step:
        text = configuration(logs)

        def do() -> None:
            _put(self._config, text, 0o640, owner=(0, self._ids().gid))

        why = f"follows {'; '.join(place.about for place in logs) or 'nothing: there are no logs here'}"
        command = f"monitor init {self._config} && chgrp {NAME} {self._config} && chmod 0640 {self._config}"
        return Step(f"configuration {self._config}", why, command, not _there(self._config), do)

    def _unit(self) -> Step:
        path = self._at("etc/systemd/system") / UNIT
        text, present = rendered(self.program, groups_there(self.root)), _text(path)
        diff = difflib.unified_diff((present or "").splitlines(), text.splitlines(), f"{path}, as it is", "ours", n=1)

        def do() -> None:
            _replace(path, text)

        why = f"starts {self.program} at boot, watches it and keeps it apart"
        if present not in (None, text):
            why += "; the one that is there differs, and is put aside"
        shown = f"install -m 0644 systemd/{UNIT} {path}  # with this ExecStart, and User={NAME}"
        lines = tuple(line.rstrip("\n") for line in diff) if present is not None else ()
        return Step(f"unit {path}", why, shown, present != text, do, lines)

    def _enable(self) -> Step:
        link = self._at("etc/systemd/system/multi-user.target.wants") / UNIT
        goal = f"/etc/systemd/system/{UNIT}"

        def do() -> None:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(goal)

        command = f"systemctl --root={self.root} enable {NAME}"
        return Step("enable the service", "it starts when this system boots", command, not os.path.lexists(link), do)

    def _start(self) -> Step:
        lines = (["systemctl", "daemon-reload"], ["systemctl", "enable", "--now", NAME], ["systemctl", "restart", NAME])
        begun = _quiet(["systemctl", "is-active", NAME]) and _quiet(["systemctl", "is-enabled", NAME])
        stale = not _quiet(["systemctl", "show", "--property=NeedDaemonReload", NAME], "NeedDaemonReload=no")
        again = begun and (stale or self._unit().needed)

        def do() -> None:
            for line in lines if again else lines[:2]:
                _run(line, hint=f"; see: monitor check; journalctl -u {NAME} -n 50")

        command = " && ".join(map(shlex.join, lines if again else lines[:2]))
        return Step("start the service", "now and at each boot", command, not begun or again, do)

    def undo(self) -> list[str]:
        """The commands that take it all back."""
        paths = [self._at("etc/systemd/system") / UNIT]
        told = sysusers(self.root, ())
        off = f"systemctl disable --now {NAME}" if self.live else f"systemctl --root={self.root} disable {NAME}"
        user = ["userdel", *(["--prefix", str(self.root)] if self.root != _LIVE else []), NAME]
        return [
            off,
            shlex.join(["rm", *map(str, [*paths, *([told[0]] if told else [])])]),
            *(["systemctl daemon-reload"] if self.live else []),
            shlex.join(user),
            f"rm -r {shlex.join([str(self._folder), str(self._at(STATE))])}  # the key, and all incidents: keep a copy",
        ]


def program() -> Path:
    """The `monitor` of this interpreter. Raises InstallError."""
    path = Path(sys.executable).with_name("monitor")
    if not os.access(path, os.X_OK):
        raise InstallError(f"there is no program {path}: install with {sys.executable} -m pip install exposure-monitor")
    if not re.fullmatch(r"[\w./+@-]+", str(path), re.ASCII):
        raise InstallError(f"{path}: systemd takes no such name of a program; install it into /opt/{NAME}")
    return path


def unfit(program: Path, python: Path) -> str | None:
    """Why the service could not, or should not, run this program."""
    advice = f"; install it into /opt/{NAME} with a Python of the system's (docs/operations.md)"
    for path in (program, Path(os.path.realpath(python))):
        if any(path.is_relative_to(folder) for folder in _HIDDEN):
            return f"{path}: the service sees nothing below {', '.join(_HIDDEN)}{advice}"
    if why := untrusted(str(program)):
        return f"{why}{advice}"
    # Tried without any rights, as the service is: a library that it needs may lie in a closed folder.
    begin = [str(python), "-P", "-c", "import ssl, sqlite3, monitor.daemon.lifecycle"]
    if os.geteuid() == 0 and not _quiet(begin, user=_NOBODY, group=_NOBODY, extra_groups=[], cwd="/"):
        return f"{python}: a user without rights cannot run it, as something it needs may not be read{advice}"
    return None


def _numbers(groups: Sequence[str]) -> tuple[int, ...]:
    import grp

    return tuple(grp.getgrnam(name).gr_gid for name in groups)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _is(path: Path, kind: Callable[[int], bool]) -> bool:
    """Whether what is there, if something is, is of this kind, as far as this user sees."""
    try:
        return kind(os.stat(path).st_mode)
    except OSError as error:
        return isinstance(error, PermissionError) or not os.path.lexists(path)


def _there(path: Path) -> bool:
    """Also where this user may not look: the folder that hides it was made with it."""
    try:
        os.lstat(path)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def _replace(path: Path, text: str) -> None:
    """What is there and differs keeps another name, which systemd does not read. Raises OSError."""
    if (there := _text(path)) is not None and there != text:
        names = (path.with_name(f"{path.name}.replaced{number or ''}") for number in range(1000))
        os.link(path, next(name for name in names if not os.path.lexists(name)))
    _put(path, text, 0o644, over=True)


def _put(path: Path, text: str, mode: int, *, owner: tuple[int, int] = (0, 0), over: bool = False) -> None:
    """A whole file, or none; only `over` one that is there. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if over:
            fresh.replace(path)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def _run(command: Sequence[str], hint: str = "") -> None:
    """Raises InstallError with the first that it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(f"{shlex.join(command)}: {type(error).__name__}{hint}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().partition("\n")[0]
        raise InstallError(f"{shlex.join(command)}: {said or f'exit code {done.returncode}'}{hint}")


def _quiet(command: Sequence[str], wanted: str = "", **how: Any) -> bool:
    """Whether it ends well, and says so."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **how)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and wanted in done.stdout
