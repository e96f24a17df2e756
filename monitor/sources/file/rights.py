"""Why a file may not be read, and what to do, in words that are the same for all files in the same case."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Callable
from typing import Any

__all__ = ["refusal", "remedy"]


def refusal(path: str, error: OSError | None) -> str:
    """Blocking."""
    reason = (error.strerror or str(error)) if error else "unknown error"
    hint = f"; {remedy(path)}" if isinstance(error, PermissionError) else ""
    return f"cannot be read: {reason}{hint}"


def remedy(path: str) -> str:
    """What lets this user read the file. Blocking."""
    user = _name(pwd.getpwuid, os.geteuid())
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
