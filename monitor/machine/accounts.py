"""The user and the group that the service is, below a root that may be another system's."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
from pathlib import Path
from typing import NamedTuple

from monitor.machine.unit import NAME, STATE

__all__ = ["READERS", "Account", "account", "commands", "groups_there", "sysusers"]

READERS = ("adm", "systemd-journal")  # of logs, on Debian and its kin, and of the journal
_SYSUSERS = f"etc/sysusers.d/{NAME}.conf"
_LIVE = Path("/")


class Account(NamedTuple):
    """`groups`: of `READERS`, those it is in."""

    uid: int
    gid: int
    groups: tuple[str, ...]


def account(root: Path) -> Account | None:
    """None: there is none yet. Raises OSError."""
    users, groups = _users(root), _groups(root)
    if NAME not in users:
        return None
    uid, gid = users[NAME]
    joined = tuple(name for name in READERS if name in groups and NAME in groups[name][1])
    return Account(uid, gid, joined)


def groups_there(root: Path) -> tuple[str, ...]:
    """Of `READERS`, those that this system has."""
    known = _groups(root)
    return tuple(name for name in READERS if name in known)


def _users(root: Path) -> dict[str, tuple[int, int]]:
    if root == _LIVE:  # whatever else than files its name service asks, which may list nobody
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(NAME)
            return {NAME: (user.pw_uid, user.pw_gid)}
        return {}
    return {row[0]: (int(row[2]), int(row[3])) for row in _rows(root / "etc/passwd")}


def _groups(root: Path) -> dict[str, tuple[int, list[str]]]:
    if root != _LIVE:
        return {row[0]: (int(row[2]), row[3].split(",")) for row in _rows(root / "etc/group")}
    known = {}
    for name in (NAME, *READERS):
        with contextlib.suppress(KeyError):
            group = grp.getgrnam(name)
            known[name] = group.gr_gid, list(group.gr_mem)
    return known


def _rows(path: Path) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return []
    return [line.split(":") for line in text.splitlines() if line.count(":") >= 3]


def sysusers(root: Path, groups: tuple[str, ...]) -> tuple[Path, str] | None:
    """What systemd-sysusers is told, and in which file; None: it is not there, and shadow's tools have to do."""
    if shutil.which("systemd-sysusers") is None:
        return None
    lines = [f'u {NAME} - "Exposure monitor" {STATE}', *(f"m {NAME} {group}" for group in groups)]
    return root / _SYSUSERS, "\n".join(lines) + "\n"


def commands(root: Path, groups: tuple[str, ...]) -> list[list[str]]:
    """What makes it; all of it may be done again."""
    if (told := sysusers(root, groups)) is not None:
        return [
            ["systemd-sysusers", *([f"--root={root}"] if root != _LIVE else []), told[0].name]
        ]  # looked up below it
    where = ["--prefix", str(root)] if root != _LIVE else []
    made = []
    if account(root) is None:
        shell = next((path for path in ("/usr/sbin/nologin", "/sbin/nologin") if os.path.exists(path)), "/bin/false")
        own = ["--gid", NAME] if NAME in _groups(root) else ["--user-group"]
        made = [["useradd", *where, "--system", *own, "--home-dir", str(STATE), "--no-create-home", "--shell", shell]]
        made[0].append(NAME)
    return [*made, *([["usermod", *where, "--append", "--groups", ",".join(groups), NAME]] if groups else [])]
