"""As whom the service runs, and what that user may do, tried by a process that is it."""

from __future__ import annotations

import grp
import json
import os
import pwd
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from monitor.machine.finding import CheckFinding, host_error
from monitor.machine.unit import NAME, ServiceUnit, yes

__all__ = ["Identity", "as_user", "hidden_from", "service_user"]

_DYNAMIC = range(61184, 65520)  # systemd's, of DynamicUser=


class Identity(NamedTuple):
    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def service_user(unit: ServiceUnit) -> tuple[Identity | None, list[CheckFinding]]:
    """None: there is no such user, as the findings say. One that systemd makes for each start has a number of its range
    for now."""
    findings = []
    groups = []
    for name in (*unit.words("Group"), *unit.words("SupplementaryGroups")):
        try:
            groups.append(int(name) if name.isdigit() else grp.getgrnam(name).gr_gid)
        except KeyError:
            message = f"the group {name}, which {unit.path} names, does not exist, so the service does not start"
            findings.append(host_error("unit", message, f"groupadd --system {name}"))
    name = unit.last("User") or (NAME if yes(unit.last("DynamicUser")) else "root")
    try:
        user = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        if name.isdigit():
            return Identity(name, int(name), groups[0] if groups else int(name), tuple(groups)), findings
        if yes(unit.last("DynamicUser")):
            taken = {each.pw_uid for each in pwd.getpwall()} | {each.gr_gid for each in grp.getgrall()}
            free = next(number for number in _DYNAMIC if number not in taken)
            return Identity(name, free, free, (free, *groups)), findings
        message = f"the user {name}, whom {unit.path} names, does not exist, so the service does not start"
        return None, [*findings, host_error("unit", message, f"useradd --system --user-group {name}")]
    own = groups[0] if unit.words("Group") and groups else user.pw_gid
    joined = os.getgrouplist(user.pw_name, own)
    return Identity(user.pw_name, user.pw_uid, own, tuple({*joined, *groups})), findings


def as_user(identity: Identity, work: Callable[[], Any]) -> Any:
    """What `work` returns, which JSON can say, in a child that is this user. As root only. Raises ChildProcessError."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # From 3.12 on it warns of threads: this child takes no lock that one of them may hold, and imports nothing.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            os.setgroups(identity.groups)
            os.setresgid(identity.gid, identity.gid, identity.gid)
            os.setresuid(identity.uid, identity.uid, identity.uid)
            with os.fdopen(writing, "w") as out:
                json.dump(work(), out)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise ChildProcessError(f"what {identity.name} may do could not be tried")
    return json.loads(text)


def hidden_from(unit: ServiceUnit, path: Path) -> str | None:
    """The setting by which the service does not see a path that is there."""
    for key, folders in _HIDES.items():
        value = unit.last(key)
        if (yes(value) or value == "tmpfs") and any(path.is_relative_to(folder) for folder in folders):
            return f"{key}={value}"
    return None


_HIDES = {"ProtectHome": ("/home", "/root", "/run/user"), "PrivateTmp": ("/tmp", "/var/tmp")}  # noqa: S108
