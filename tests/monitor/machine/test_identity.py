from __future__ import annotations

import grp
import os
import pwd
import tempfile
from pathlib import Path

import pytest

from monitor.machine.identity import Identity, as_user, hidden_from, service_user
from monitor.machine.unit import ServiceUnit, service_settings

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")


def unit(text: str) -> ServiceUnit:
    return ServiceUnit(Path("/etc/x.service"), False, (), service_settings(f"[Service]\n{text}"), {}, True)


def test_the_service_is_the_user_and_the_groups_that_its_unit_names() -> None:
    first, other = pwd.getpwall()[1:3]
    group = next(each for each in grp.getgrall() if each.gr_gid not in (first.pw_gid, other.pw_gid))
    identity, wrong = service_user(unit(f"User={first.pw_name}\nSupplementaryGroups={group.gr_name}"))
    assert identity is not None
    assert (identity.name, identity.uid, identity.gid, wrong) == (first.pw_name, first.pw_uid, first.pw_gid, [])
    assert {group.gr_gid, first.pw_gid} <= {*identity.groups}
    identity, wrong = service_user(unit(f"User={first.pw_uid}\nGroup={group.gr_name}"))
    assert identity is not None
    assert (identity.name, identity.gid, wrong) == (first.pw_name, group.gr_gid, [])


def test_a_user_that_systemd_makes_has_a_number_that_nobody_else_has() -> None:
    identity, wrong = service_user(unit("DynamicUser=yes\nSupplementaryGroups=0"))
    assert identity is not None
    assert identity.name == "exposure-monitor"
    assert 61184 <= identity.uid < 65520
    assert (identity.groups, wrong) == ((identity.uid, 0), [])


def test_a_user_or_group_that_is_not_there_keeps_the_service_from_starting() -> None:
    identity, wrong = service_user(unit("User=nobody-is-this\nSupplementaryGroups=nor-this root"))
    assert identity is None
    assert [(each.kind, each.mend) for each in wrong] == [
        ("environment", "groupadd --system nor-this"),
        ("environment", "useradd --system --user-group nobody-is-this"),
    ]
    assert service_user(unit(""))[0] == service_user(unit("User=root"))[0], "a unit that names none is root's"


@ROOT_ONLY
def test_what_a_user_may_do_is_tried_by_being_that_user() -> None:
    def tried() -> list[object]:
        return [os.access(log, os.R_OK), os.getuid(), os.getgroups()]

    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        log = Path(folder, "log")
        log.touch(mode=0o640)
        os.chown(log, 0, 4)
        may = [as_user(Identity("x", 65534, 65534, groups), tried) for groups in ((), (4,))]
    assert may == [[False, 65534, []], [True, 65534, [4]]]
    assert os.geteuid() == 0
    with pytest.raises(ChildProcessError):
        as_user(Identity("x", 65534, 65534, ()), lambda: 1 // 0)


@pytest.mark.parametrize(
    ("text", "path", "by"),
    [
        ("ProtectHome=yes", "/home/ada/x.log", "ProtectHome=yes"),
        ("ProtectHome=tmpfs", "/run/user/7/x.log", "ProtectHome=tmpfs"),
        ("ProtectHome=read-only", "/home/ada/x.log", None),
        ("PrivateTmp=yes", "/var/tmp/x.log", "PrivateTmp=yes"),
        ("PrivateTmp=yes\nProtectHome=yes", "/var/log/x.log", None),
    ],
)
def test_some_folders_the_service_does_not_see(text: str, path: str, by: str | None) -> None:
    assert hidden_from(unit(text), Path(path)) == by
