"""Why a file may not be read, and what to do, in words that are the same for all files in the same case."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["entered", "mend", "refusal", "remedy"]


def refusal(path: str, error: OSError | None) -> str:
    """Blocking."""
    reason = (error.strerror or str(error)) if error else "unknown error"
    hint = f"; {remedy(path)}" if isinstance(error, PermissionError) else ""
    return f"cannot be read: {reason}{hint}"


def remedy(path: str, user: str = "") -> str:
    """What lets this user, who is called so, read the file. Blocking."""
    user = user or _name(pwd.getpwuid, os.geteuid())
    if (closed := _closed(os.path.dirname(path))) is not None:
        return f"{user} may not enter {closed}: setfacl -m u:{user}:x {closed}"
    try:
        status = os.stat(path)
    except OSError:
        return f"let {user} read it"
    if status.st_mode & stat.S_IRGRP and status.st_gid:  # nobody is to join the group of root
        group = _name(grp.getgrgid, status.st_gid)
        return f"its group may: add {group} to SupplementaryGroups= of the service, or usermod -aG {group} {user}"
    # The folder's default holds for what rotation makes tomorrow.
    return f"its group may not either: setfacl -m u:{user}:r on it, and setfacl -d -m u:{user}:r on its folder"


def mend(paths: Sequence[str], user: str) -> str:
    """The command that lets a user read files for which `remedy` says the same. Blocking."""
    folders = dict.fromkeys(map(os.path.dirname, paths))
    if (closed := _closed(os.path.dirname(paths[0]))) is not None:
        return shlex.join(["setfacl", "-m", f"u:{user}:x", closed])
    status = os.stat(paths[0])
    if status.st_mode & stat.S_IRGRP and status.st_gid:
        return shlex.join(["usermod", "-aG", _name(grp.getgrgid, status.st_gid), user])
    right = ["-m", f"u:{user}:r"]
    return f"{shlex.join(['setfacl', *right, *paths])} && {shlex.join(['setfacl', '-d', *right, *folders])}"


def entered(folder: str) -> bool:
    """Whether this user sees what is in a folder, and that something is not. Blocking."""
    return _closed(folder) is None


def _closed(folder: str) -> str | None:
    """The first folder on the way that may not be entered."""
    parts = folder.split("/")
    ways = ("/".join(parts[: number + 1]) or "/" for number in range(len(parts)))
    return next((way for way in ways if os.path.isdir(way) and not os.access(way, os.X_OK)), None)


def _name(look_up: Callable[[int], Any], number: int) -> str:
    """Of a user or a group, as the system's databases have it."""
    try:
        return str(look_up(number)[0])
    except KeyError:
        return str(number)
