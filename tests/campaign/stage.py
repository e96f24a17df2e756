"""One trial: real files, a real monitor in a process of its own, a real receiver, and an oracle outside that judges.

Whatever would destroy what nobody has read yet is preceded by `settle`, which mends what is broken and waits. So
everything issued has to arrive, but for what is `doomed` (destroyed unread, where the monitor could see that it was
there: it has to be told) and `gone` (out of any reader's reach: written to a deleted file that the monitor, killed
meanwhile, has no handle of any more).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.acceptance.harness import Monitor
from tests.campaign.oracle import Oracle, Outcome
from tests.campaign.script import Plan

__all__ = ["Outcome", "Stage", "play"]

SETTLE, PATIENCE, START = 45.0, 60.0, 20.0  # seconds until a settle, the end, a start has failed, on a busy machine
FIRST_START = 120.0
_BAD = "\n[[["  # what no configuration can hold
_STEADY = 0.5  # seconds after which a monitor that is up has seen every size

RULE = """
[[rule]]
id = "acme-key"
name = "Acme key"
pattern = '''\\b(?P<secret>acme_[a-z0-9]{16,48})\\b'''
severity = "high"
examples = ["acme_{lower:20}{digit:12}"]
negative_examples = ["acme_{lower:4}"]
references = ["https://acme.example/docs"]
"""
CONFIG = """
[[sources]]
name = "app"
type = "%(type)s"
include = ["%(include)s"]
start_at = "%(start_at)s"
reconcile = "200ms"
quiet = "200ms"
[[sinks]]
name = "hook"
type = "webhook"
url = "env:HOOK_URL"
[[routes]]
sinks = ["hook"]
burst = "%(burst)s"
group_interval = "%(group_interval)s"
[rules]
packs = ["vcs/github"]
paths = ["rules.d/*.toml"]
"""
# What keeps coming in one shape is told in one thread after the first five, as often as `group_interval` says.
DEFAULTS = {"type": "file", "include": "logs/*.log", "start_at": "end", "burst": "100000/1m", "group_interval": "2s"}


class Stage(Oracle):
    """Plays a plan in `folder`. `cache`: a warm rule cache to begin with; `shim`: the library that shifts the clock."""

    def __init__(self, folder: Path, plan: Plan, cache: Path | None = None, shim: Path | None = None) -> None:
        super().__init__(folder, plan, DEFAULTS | plan.settings)
        self._wanted = False  # whether the monitor should be up
        self._steady: float | None = None  # since when it has been up and running
        self._lock: sqlite3.Connection | None = None
        self._deleted: dict[int, int] = {}  # inode → the start whose process had it open when it was deleted
        self._during: dict[int, int] = {}  # number → the start in which it was written
        self._mounted = False
        self._shim = shim
        self._prepare(cache)

    def _prepare(self, cache: Path | None) -> None:
        self.state.mkdir()
        if size := self.settings.get("disk"):
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", self.state], check=True, timeout=30
            )
            self._mounted = True
        self.state.chmod(0o700)
        if cache is not None:
            shutil.copytree(cache, self.state / "cache")
        (self.folder / "rules.d").mkdir()
        (self.folder / "rules.d/acme.toml").write_text(RULE)

    # The course of a trial

    async def play(self) -> Outcome:
        """Carry out the plan, mend everything, wait, judge."""
        outcome = Outcome(self.plan.name)
        began = time.monotonic()
        failed = None
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._clear)
            await stack.enter_async_context(self.receiver)
            environment = {"HOOK_URL": f"{self.receiver.url}/hook"}
            if self.settings.get("clock"):
                assert self._shim is not None
                (self.folder / "clock").write_bytes(struct.pack("d", 0.0))
                environment |= {"LD_PRELOAD": str(self._shim), "CAMPAIGN_CLOCK": str(self.folder / "clock")}
            self._monitor = Monitor(self.folder, self.source() + CONFIG % self.settings, environment, prepared=True)
            stack.push_async_callback(self.leave)
            stack.push_async_callback(self._slay)
            try:
                for name, *arguments in self.plan.ops:
                    await getattr(self, f"do_{name}")(*arguments)
                await self._mend()
            except _UnsettledError as error:
                failed = str(error)
            mended = time.monotonic()
            if failed is None:
                await self._until(
                    lambda: not self._undelivered() - self.doomed.keys() - self.gone - self._forgotten(), PATIENCE
                )
                if self.doomed.keys() & self._undelivered():
                    await asyncio.sleep(0.5)
            missed = await self._missed()
            # On a busy machine it takes longer, and a last line without an end is read after half a minute.
            while failed is None and not self._told(missed) and self._known() and time.monotonic() < mended + PATIENCE:
                await asyncio.sleep(0.1)
                missed = await self._missed()
            outcome.again = self._again()
            outcome.recovery = max(0.0, max(self.receiver.arrived.values(), default=0.0) - mended)
            await self._end(outcome)
        self._judge(outcome, missed, failed)
        outcome.wall = time.monotonic() - began
        return outcome

    async def _end(self, outcome: Outcome) -> None:
        if self._monitor.process is None or self._monitor.process.returncode is not None:
            return
        try:
            code = await self._monitor.terminate()
            if code and code != -signal.SIGTERM:  # so it ends when it is asked to before it listens to signals
                self.exits.append(code)
        except TimeoutError:
            outcome.failed = "did not end within 10 s"

    async def _slay(self) -> None:
        if not self._down:
            await self._monitor.kill()

    def _clear(self) -> None:
        self.close()
        self._unlock()
        if self._mounted:
            subprocess.run(["umount", "-l", self.state], check=True, timeout=30)

    async def _until(self, condition: Any, seconds: float) -> bool:
        """Whether it came true in time. A monitor that ends by itself is started again, as systemd would."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._notice_exit()
            if self._wanted and self._down:
                await self.do_start()
            await asyncio.sleep(0.02)
        return True

    # The monitor

    @property
    def _down(self) -> bool:
        process = self._monitor.process
        return process is None or process.returncode is not None

    def _notice_exit(self) -> None:
        if self._wanted and self._down and self._steady is not None:
            assert self._monitor.process is not None
            self.exits.append(self._monitor.process.returncode or 0)
            self._left_behind()

    def _left_behind(self) -> None:
        """The process is gone, and with it the handles of deleted files and what it had received of senders that do
        not ask; the latter it has to tell."""
        self._steady = None
        self.doomed |= dict.fromkeys(self.fleeting & self._undelivered() - self._stored(), True)
        for number in self._undelivered():
            if self.inodes.get(number) in self._deleted:
                self.gone.add(number)

    async def do_start(self) -> None:
        if self._wanted and not self._down:
            return
        ready = self._monitor.errors.count('"event": "ready"') if self._monitor.starts else 0
        self._monitor.config.write_text(self._monitor.config.read_text().replace(_BAD, ""))  # with it none would start
        limit = self.settings.get("descriptors")
        prefix = ["prlimit", f"--nofile={limit}:{limit}"] if limit else []
        self._wanted = True
        await self._monitor.start(wait=False, prefix=prefix)
        # Before it is ready for the first time nothing is promised of what is written.
        deadline = time.monotonic() + (FIRST_START if self._monitor.starts == 1 else START)
        while self._monitor.errors.count('"event": "ready"') <= ready and time.monotonic() < deadline:
            if self._down:
                self._steady = None
                await asyncio.sleep(0.2)  # the next `_until` starts it again
                return
            await asyncio.sleep(0.01)
        self._steady = time.monotonic()

    async def do_kill(self) -> None:
        self._wanted = False
        if not self._down:
            await self._monitor.kill()
        self._left_behind()

    async def do_term(self) -> None:
        self._wanted = False
        if not self._down:
            self._signal(signal.SIGCONT)
            await self._monitor.terminate()
        self._left_behind()

    def _signal(self, number: int) -> None:
        if not self._down:
            assert self._monitor.process is not None
            self._monitor.process.send_signal(number)

    async def do_stop(self) -> None:
        self._signal(signal.SIGSTOP)
        self._steady = None

    async def do_cont(self) -> None:
        self._signal(signal.SIGCONT)
        if self._wanted and not self._down and self._steady is None:
            self._steady = time.monotonic()

    async def do_reload(self, kind: str) -> None:
        """Change what it reads, as an editor does, and say so."""
        count = self.random.randrange(10**6)
        path, text = self._monitor.config, self._monitor.config.read_text().replace(_BAD, "")
        if kind == "source":
            text = re.sub(r'quiet = "\d+ms"', f'quiet = "{self.random.randrange(100, 300)}ms"', text)
        elif kind == "sink":
            text += f'\n[[sinks]]\nname = "spare-{count}"\ntype = "console"\n'
        elif kind == "rules":
            path, text = self.folder / "rules.d/acme.toml", f"{RULE}# {count}\n"
        elif kind == "bad":
            text += _BAD
        fresh = self.folder / "fresh"
        fresh.write_text(text)
        os.replace(fresh, path)
        self._signal(signal.SIGHUP)

    # Its storage, its sink, its clock

    async def do_fill(self) -> None:
        with (self.state / "ballast").open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 4096)

    async def do_free(self) -> None:
        (self.state / "ballast").unlink(missing_ok=True)

    async def do_lock(self) -> None:
        self._unlock()
        base = sqlite3.connect(self.state / "state.db", timeout=0.1, isolation_level=None, check_same_thread=False)
        self._lock = base
        for _ in range(100):
            with contextlib.suppress(sqlite3.OperationalError):
                base.execute("BEGIN IMMEDIATE")
                return
            await asyncio.sleep(0.01)

    async def do_unlock(self) -> None:
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def do_unlink_database(self) -> None:
        for name in ("state.db", "state.db-wal", "state.db-shm"):
            (self.state / name).unlink(missing_ok=True)

    async def do_damage(self, how: str) -> None:
        """Spoil the write-ahead log."""
        path = self.state / "state.db-wal"
        if not path.exists() or path.stat().st_size < 200:
            return
        size = path.stat().st_size
        if how == "cut":
            os.truncate(path, size // 2)
            return
        with path.open("r+b") as file:
            file.seek(0 if how == "header" else size // 2)
            file.write(self.random.randbytes(64))

    async def do_sink(self, mode: str, limit: int | None = None) -> None:
        if mode == "limit":
            self.receiver.limit = limit
        else:
            await self.receiver.turn(mode)

    async def do_clock(self, seconds: float) -> None:
        with (self.folder / "clock").open("r+b") as file:  # in place: it is mapped
            file.write(struct.pack("d", float(seconds)))

    # Waiting

    async def do_sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def do_doom(self) -> None:
        """What has not been read by now is destroyed by the next operation."""
        known = self._steady is not None and time.monotonic() - self._steady > _STEADY
        left = self._undelivered() - self.gone
        left -= self._stored()
        self.doomed.update(dict.fromkeys(left, known))

    async def do_hello(self, numbers: list[int]) -> None:
        """The same message until it is there: before a broker knows of us nothing is kept for us."""
        while not set(numbers) <= self._stored():
            await self.do_publish(numbers)
            await asyncio.sleep(0.2)

    async def do_vacuum(self, name: str) -> None:
        await super().do_vacuum(name)
        self.doomed |= dict.fromkeys(self.noted[name] & self._undelivered() - self._stored(), True)

    async def do_unlink(self, path: str) -> None:
        place = self.folder / path
        inode = place.stat().st_ino
        # A monitor that has just come up may not have opened it yet; one that has read from it since it came up has.
        read = {number for number, start in self._during.items() if start == self._monitor.starts}
        had = any(self.inodes[number] == inode for number in read - self._undelivered())
        self._deleted[inode] = self._monitor.starts if had else -1
        place.unlink()

    async def do_put(self, handle: str, numbers: list[int], how: dict[str, Any]) -> None:
        await super().do_put(handle, numbers, how)
        for number in numbers:
            self._during[number] = -1 if self._down else self._monitor.starts
            start = self._deleted.get(self.inodes[number])
            if start is not None and (self._down or start != self._monitor.starts):
                self.gone.add(number)

    async def _mend(self) -> None:
        await self.do_free()
        await self.do_unlock()
        await self.receiver.turn("well")
        if self.kind == "mqtt":
            await self.do_broker("up")
        await self.do_cont()
        self._notice_exit()
        if self._down:
            await self.do_start()

    async def do_settle(self) -> None:
        """Mend what is broken, and wait until all that can be read has been. Raises _UnsettledError."""
        await self._mend()
        if not await self._until(lambda: not self._open(), SETTLE):
            raise _UnsettledError(f"not read after {SETTLE:.0f} s: {sorted(self._open())}")


class _UnsettledError(Exception):
    """The trial ends here: what comes next would destroy what has not been read."""


async def play(folder: Path, plan: Plan, cache: Path | None = None, shim: Path | None = None) -> Outcome:
    """One trial in `folder`, which must not exist yet."""
    folder.mkdir(parents=True)
    return await Stage(folder, plan, cache, shim).play()
