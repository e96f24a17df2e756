"""Programs of others: whether one may be run, and what comes of running it to its end, of which little is kept."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import os
import pwd
import stat
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from monitor.common import reaper

__all__ = ["Ran", "begun", "run", "untrusted"]

_GRACE = 2.0  # seconds that what a program has left behind may go on to say something
_READ = 1 << 16  # bytes at once: what a pipe holds
_LEFT = 32  # reads of what is left in a pipe at the end: whoever fled from the group may go on to write


def untrusted(path: str) -> str | None:
    """Why a program is not run: others than root and this user could have put another in its place."""
    try:
        program, way = os.stat(path), list(_way(path))
    except OSError as error:
        return f"{path}: {(error.strerror or 'cannot be read').lower()}"
    if not stat.S_ISREG(program.st_mode) or not os.access(path, os.X_OK):
        return f"{path}: not a program that this user may run"
    for place, info in way:
        if info.st_uid not in (0, os.geteuid()):
            return f"{path}: {place} belongs to another user: it has to be root's or this user's"
        if _shared(place, info):
            return f"{path}: {place} can be written to by others: chmod go-w {place}"
    return None


def _shared(place: str, info: os.stat_result) -> bool:
    """Whether others may write there, or exchange what is in it."""
    if stat.S_ISLNK(info.st_mode) or (stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX):
        return False
    return bool(info.st_mode & 0o002) or (bool(info.st_mode & 0o020) and not _nobodys(place, info.st_gid))


def _nobodys(place: str, group: int) -> bool:
    """Whether nobody but root and this user is in its group: Debian gives /usr/local to `staff`, which is empty, and a
    umask of 002 each user's files to a group of their own."""
    try:
        if any("acl" in name for name in os.listxattr(place)):
            return False  # the bits of the group are then those of whom the list names
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            return False
    try:
        members = {pwd.getpwnam(name).pw_uid for name in grp.getgrgid(group).gr_mem}
    except KeyError:
        return False
    members |= {user.pw_uid for user in pwd.getpwall() if user.pw_gid == group}
    return members <= {0, os.geteuid()}


def _way(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every folder and link on the way to a file that is there, and the file. Raises OSError."""
    here, ahead = "/", os.path.join(os.getcwd(), path).split("/")
    yield here, os.stat(here)
    while ahead:
        name = ahead.pop(0)
        if name in ("", ".", ".."):
            here = os.path.dirname(here) if name == ".." else here
            continue
        place = os.path.join(here, name)
        info = os.lstat(place)
        yield place, info
        if stat.S_ISLNK(info.st_mode):
            goal = os.readlink(place)
            here, ahead = "/" if goal.startswith("/") else here, goal.split("/") + ahead
        else:
            here = place


@dataclass(frozen=True, slots=True)
class Ran:
    """`code`: below zero the signal that ended it; None: no end in time. `said`, `wrong`: the last bytes of its output
    and of its standard error; `cut`: of its output there was more."""

    code: int | None
    said: bytes
    wrong: bytes
    cut: bool


async def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    seconds: float,
    most: int,
    apart: int = 0,
    stdin: int = asyncio.subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
) -> Ran:
    """Run it to its end, and end what it has started. Raises OSError where it cannot be started.

    `most`: bytes of output that are kept; `apart`: of standard error, 0: that is in the output. `seconds`: that it may
    take. What it leaves behind gets two more, wherever it has fled to (`reaper`), and does not change what came of it.
    """
    async with _Ear(most) as said, _Ear(apart) as wrong, _Ear(64) as status:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", reaper.__file__, str(seconds), str(_GRACE), str(status.writing)),
            *command,
            stdin=stdin,
            stdout=said.writing,
            stderr=wrong.writing if apart else asyncio.subprocess.STDOUT,
            env=environment,
            cwd="/",
            pass_fds=(*pass_fds, status.writing),
            start_new_session=True,
        )
        for ear in (said, wrong, status):
            ear.close()
        try:
            await process.wait()
        finally:  # when we are cancelled, it ends all that it has started
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
        code = _code(status.kept())
        out, error = said.kept(), wrong.kept()
        return Ran(code, out, error, said.cut)


def _code(status: bytes) -> int | None:
    """Of what the reaper says; nothing where it was ended itself. Raises OSError: the command could not be started."""
    kind, number = status[:1], status[1:]
    if kind == b"e":
        raise OSError(int(number), os.strerror(int(number)))
    return int(number) if kind == b"c" else None


@contextlib.asynccontextmanager
async def begun(*command: str, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program that is ended with the block, where it has not ended before. Its `options` are asyncio's."""
    process = await asyncio.create_subprocess_exec(*command, **options)
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()


class _Ear:
    """The last `most` bytes that come out of a pipe. asyncio's own pipes would have `wait` wait for their end."""

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._kept: deque[bytearray] = deque()
        self.cut = False
        self.end = asyncio.Event()
        self._reading, self.writing = os.pipe()

    async def __aenter__(self) -> Self:
        os.set_blocking(self._reading, False)
        asyncio.get_running_loop().add_reader(self._reading, self._hear)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        asyncio.get_running_loop().remove_reader(self._reading)
        os.close(self._reading)

    def close(self) -> None:
        """The end that is written to."""
        if self.writing >= 0:
            os.close(self.writing)
        self.writing = -1

    def kept(self) -> bytes:
        """Also of what is there already."""
        for _ in range(_LEFT):
            if self.end.is_set() or not self._hear():
                break
        whole = b"".join(self._kept)
        return whole[-self._most :] if self.cut else whole

    def _hear(self) -> int:
        """Bytes that came."""
        try:
            data = os.read(self._reading, _READ)
        except BlockingIOError:
            return 0
        if not data:
            asyncio.get_running_loop().remove_reader(self._reading)
            self.end.set()
            return 0
        if self._kept and len(self._kept[-1]) < _READ:
            self._kept[-1] += data
        else:
            self._kept.append(bytearray(data))
        self._size += len(data)
        self.cut = self.cut or self._size > self._most
        while self._size - len(self._kept[0]) >= self._most:
            self._size -= len(self._kept.popleft())
        return len(data)
