from __future__ import annotations

from pathlib import Path

import pytest

from monitor.machine.unit import UNIT, drop_in, find_unit, rendered, service_settings, shipped, yes


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Folders of units below a root."""
    for folder in ("etc", "usr/lib"):
        (tmp_path / folder / "systemd/system").mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    return tmp_path


def test_nothing_is_installed_on_a_bare_host(units: Path) -> None:
    assert find_unit(units) is None


def test_the_unit_of_etc_is_in_force_and_hides_the_packages(units: Path) -> None:
    for folder, user in (("usr/lib", "package"), ("etc", "mine")):
        (units / folder / "systemd/system" / UNIT).write_text(f"[Unit]\nUser=x\n[Service]\nUser={user}\n")
    unit = find_unit(units)
    assert unit is not None
    assert (unit.last("User"), unit.hidden) == ("mine", (units / "usr/lib/systemd/system" / UNIT,))
    assert (unit.masked, unit.enabled, unit.writes, unit.program) == (False, False, None, None)
    wants = units / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    (wants / UNIT).symlink_to(f"/etc/systemd/system/{UNIT}")
    unit = find_unit(units)
    assert unit is not None
    assert unit.enabled, "its link leads to a file of another root"


def test_drop_ins_add_to_it_in_the_order_of_their_names_and_take_back_what_was_said(units: Path) -> None:
    (units / "usr/lib/systemd/system" / UNIT).write_text(
        "[Service]\n# User=no\nExecStart=-/opt/m run --config \\\n; a comment\n  /etc/m.toml\n"
        "SupplementaryGroups=adm\nLimitNOFILE=10\nStateDirectory=m:n other\n"
    )
    for folder, name, text in (
        ("usr/lib", "20-b.conf", "LimitNOFILE=30"),
        ("etc", "10-a.conf", "SupplementaryGroups=\nSupplementaryGroups=b c\nLimitNOFILE=20"),
        ("usr/lib", "10-a.conf", "SupplementaryGroups=hidden"),
        ("etc", "not-read.txt", "User=x"),
    ):
        (units / folder / f"systemd/system/{UNIT}.d").mkdir(exist_ok=True)
        (units / folder / f"systemd/system/{UNIT}.d" / name).write_text(f"[Service]\n{text}\n")
    unit = find_unit(units)
    assert unit is not None
    assert (unit.words("SupplementaryGroups"), unit.last("LimitNOFILE"), unit.last("User")) == (["b", "c"], "30", "")
    assert unit.origin["LimitNOFILE"] == units / f"usr/lib/systemd/system/{UNIT}.d/20-b.conf"
    assert unit.command == ["/opt/m", "run", "--config", "/etc/m.toml"]
    assert unit.writes == Path("/var/lib/m")


def test_a_masked_unit_starts_nothing_whatever_lies_below_it(units: Path) -> None:
    (units / "usr/lib/systemd/system" / UNIT).write_text("[Service]\nUser=package\n")
    (units / "etc/systemd/system" / UNIT).symlink_to("/dev/null")
    unit = find_unit(units)
    assert unit is not None
    assert (unit.masked, unit.settings) == (True, {})


def test_ours_is_made_for_this_program_a_named_user_and_the_groups_that_there_are() -> None:
    ours, made = (service_settings(text) for text in (shipped(), rendered(Path("/srv/bin/monitor"), ["adm"])))
    assert made["ExecStart"] == ("/srv/bin/monitor run --config /etc/exposure-monitor/config.toml",)
    assert (made["User"], made["Group"]) == (("exposure-monitor",), ("exposure-monitor",))
    assert made["SupplementaryGroups"] == ("adm",)
    others = {"ExecStart", "User", "Group", "DynamicUser", "SupplementaryGroups"}
    assert {key: made[key] for key in made.keys() - others} == {key: ours[key] for key in ours.keys() - others}
    assert "SupplementaryGroups" not in service_settings(rendered(Path("/srv/bin/monitor"), []))


def test_a_drop_in_is_a_command_that_leaves_the_unit_alone() -> None:
    assert drop_in("files", "LimitNOFILE=9") == (
        "mkdir -p /etc/systemd/system/exposure-monitor.service.d && printf '[Service]\\nLimitNOFILE=9\\n' > "
        "/etc/systemd/system/exposure-monitor.service.d/files.conf && systemctl daemon-reload && "
        "systemctl restart exposure-monitor"
    )


def test_what_systemd_takes_for_yes() -> None:
    assert [yes(text) for text in ("yes", "True", "1", "on", "no", "read-only", "")] == [True] * 4 + [False] * 3


def test_the_environment_of_the_service(units: Path, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# FOUR=4\nhttps_proxy='http://b:2'\nnothing\n")
    (units / "usr/lib/systemd/system" / UNIT).write_text(
        '[Service]\nEnvironment=OLD=1\nEnvironment=\nEnvironment=ONE=1 "TWO=a b"\nEnvironment=it\'s\n'
        f"EnvironmentFile=-{tmp_path}/none\nEnvironmentFile={tmp_path}/env\n"
    )
    unit = find_unit(units)
    assert unit is not None
    assert unit.environment == {"ONE": "1", "TWO": "a b", "https_proxy": "http://b:2"}
