"""Real programs: which are run, what is kept of them, and what they leave behind."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import signal
import struct
import sys
from pathlib import Path

import pytest

from monitor.common import program as programs
from monitor.common.program import Ran, begun, run, untrusted


async def shell(script: str, *, seconds: float = 60.0, most: int = 100, apart: int = 0) -> Ran:
    environment = {"PATH": os.environ["PATH"]}
    return await run(("/bin/sh", "-c", script), environment, seconds=seconds, most=most, apart=apart)


def alive(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def ended(pid: int) -> None:
    while alive(pid):
        await asyncio.sleep(0.01)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "revoke"
    path.parent.mkdir(mode=0o755)
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)
    return path


def test_what_others_can_exchange_is_not_to_be_run(program: Path, tmp_path: Path) -> None:
    assert untrusted(sys.executable) is None
    assert untrusted(str(program)) is None
    program.chmod(0o757)
    assert untrusted(str(program)) == f"{program}: {program} can be written to by others: chmod go-w {program}"
    program.chmod(0o1757)  # of a file the sticky bit says nothing
    assert "can be written to by others" in str(untrusted(str(program)))
    program.chmod(0o644)
    assert "not a program" in str(untrusted(str(program)))
    program.chmod(0o755)
    assert "no such file" in str(untrusted(str(tmp_path / "none")))
    assert "not a program" in str(untrusted(str(tmp_path)))
    program.parent.chmod(0o777)
    assert f"{program.parent} can be written to by others: chmod go-w" in str(untrusted(str(program)))
    program.parent.chmod(0o1777)  # as /tmp is: nobody moves what is another's
    assert untrusted(str(program)) is None
    program.parent.chmod(0o755)
    tmp_path.chmod(0o777)
    assert f": {tmp_path} can be written to by others" in str(untrusted(str(program)))
    tmp_path.chmod(0o700)


def test_nor_what_a_link_leads_to(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    theirs.chmod(0o777)
    (theirs / "revoke").write_bytes(program.read_bytes())
    (theirs / "revoke").chmod(0o755)
    (theirs / "back").symlink_to("../bin/revoke")
    problem = f"{theirs} can be written to by others"
    for place, goal in (("direct", "../theirs/revoke"), ("whole", str(theirs / "revoke")), ("hop", "../theirs/back")):
        link = program.parent / place
        link.symlink_to(goal)
        assert problem in str(untrusted(str(link)))
    (tmp_path / "current").symlink_to("theirs")
    assert problem in str(untrusted(str(tmp_path / "current" / "revoke")))
    theirs.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    for path in ("bin/direct", "bin/hop", "current/back", "./theirs/../bin/whole"):
        assert untrusted(path) is None
    (program.parent / "round").symlink_to("round")
    assert "symbolic links" in str(untrusted("bin/round"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file away")
def test_nor_what_is_another_users(program: Path) -> None:
    os.chown(program.parent, 12345, -1)
    assert f"{program.parent} belongs to another user" in str(untrusted(str(program)))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a folder to a group")
def test_a_group_may_write_where_nobody_else_is_in_it(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {user.pw_gid for user in pwd.getpwall()}
    free = next(one for one in grp.getgrall() if not one.gr_mem and one.gr_gid not in taken)
    os.chown(program.parent, -1, free.gr_gid)
    program.parent.chmod(0o2775)  # as Debian ships /usr/local/bin, for `staff`
    assert untrusted(str(program)) is None
    program.parent.chmod(0o2777)
    assert "can be written to by others" in str(untrusted(str(program)))
    program.parent.chmod(0o2775)

    other = next(user for user in pwd.getpwall() if user.pw_uid not in (0, os.geteuid()))
    for members, fits in ((["root"], True), ([other.pw_name], False), (["nobody-of-this-name"], False)):
        row = grp.struct_group((free.gr_name, "x", free.gr_gid, members))
        with monkeypatch.context() as patch:
            patch.setattr(grp, "getgrgid", lambda _gid, row=row: row)
            assert (untrusted(str(program)) is None) is fits
    for group in (other.pw_gid, next(gid for gid in range(54321, 65000) if gid not in taken)):
        os.chown(program.parent, -1, group)
        program.parent.chmod(0o2775)
        assert "can be written to by others" in str(untrusted(str(program)))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's group is known to be empty")
def test_but_not_where_a_list_names_whom_the_bits_are_for(program: Path) -> None:
    program.parent.chmod(0o2775)
    assert untrusted(str(program)) is None
    rows = ((0x01, 7, -1), (0x02, 7, 12345), (0x04, 5, -1), (0x10, 7, -1), (0x20, 5, -1))  # user 12345 may write
    packed = b"".join(struct.pack("<HHi", *row) for row in rows)
    try:
        os.setxattr(program.parent, "system.posix_acl_access", struct.pack("<I", 2) + packed)
    except OSError as error:
        pytest.skip(f"no such lists here: {error}")
    assert "can be written to by others" in str(untrusted(str(program)))


async def test_the_last_of_what_it_says_is_kept_and_all_is_read() -> None:
    assert await shell("echo out; echo wrong >&2; exit 3") == Ran(3, b"out\nwrong\n", b"", False)
    assert await shell("echo out; echo wrong >&2", apart=4) == Ran(0, b"out\n", b"ong\n", False)
    much = await shell("head -c 30000000 /dev/zero; echo end; head -c 30000000 /dev/zero >&2; echo wrong >&2", apart=50)
    assert (much.code, len(much.said), much.said[-4:], much.cut) == (0, 100, b"end\n", True)
    assert (len(much.wrong), much.wrong[-6:]) == (50, b"wrong\n")
    assert (await shell("kill -11 $$")).code == -signal.SIGSEGV
    assert await shell("head -c 100 /dev/zero") == Ran(0, bytes(100), b"", False)
    with pytest.raises(FileNotFoundError):
        await run(("/nonexistent",), {}, seconds=1, most=1)


async def test_it_has_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "canary")
    reading, writing = os.pipe()
    os.set_inheritable(reading, True)
    told = await shell("env; ls -l /proc/$$/fd /proc/self/cwd; cat", most=1 << 16)
    os.close(reading)
    os.close(writing)
    assert b"canary" not in told.said
    assert told.said.count(b"pipe:") == 2
    assert b"/dev/null" in told.said


async def test_what_it_leaves_behind_is_ended_and_does_not_change_what_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(programs, "_GRACE", 60.0)
    assert await shell("{ sleep 0.1; echo late; } & exit 4") == Ran(4, b"late\n", b"", False)
    monkeypatch.setattr(programs, "_GRACE", 0.05)
    left = await shell("sleep 600 & echo $!")
    assert left.code == 0
    await ended(int(left.said))
    there = f"{tmp_path}/there"
    fled = f"setsid sh -c 'echo $$; touch {there}; exec yes >&2' & until [ -e {there} ]; do :; done"
    loud = await shell(fled, apart=9)
    assert loud.code == 0
    await ended(int(loud.said))
    assert set(os.listdir("/proc/self/fd")) == before


async def test_one_that_does_not_end_is_ended_with_all_that_it_has_started(tmp_path: Path) -> None:
    fled = f"(setsid sh -c 'echo $$ > {tmp_path}/fled; exec env -i sleep 600' &) "
    fled += f"; until [ -s {tmp_path}/fled ]; do :; done"
    hanging = f"trap '' TERM; {fled}; sleep 600 & echo $$ $! $(cat {tmp_path}/fled) > {tmp_path}/new"
    hanging += f"; mv {tmp_path}/new {tmp_path}/pids; wait"
    assert await shell("exec sleep 600", seconds=0.05) == Ran(None, b"", b"", False)
    task = asyncio.create_task(shell(hanging))
    while not (tmp_path / "pids").exists():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 3
    for pid in pids:
        await ended(int(pid))


async def test_what_was_begun_ends_with_its_block() -> None:
    async with begun("sleep", "600") as sleeping:
        assert alive(sleeping.pid)
    assert sleeping.returncode == -signal.SIGKILL
    async with begun("true") as over:
        await over.wait()
    assert over.returncode == 0
