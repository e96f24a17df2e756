"""`python -m monitor`, `python -c PROGRAM` or `python -P -m MODULE`, in a process of its own, forked off one that has
all modules imported.

Most of what a command costs is its start: half a second of CPU, which thousands of commands in tests would repeat.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import gc
import hashlib
import importlib
import json
import os
import pkgutil
import random
import runpy
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from tests.fakes import fork_client

__all__ = ["Forks", "serve"]

_ROOT = Path(__file__).parents[2]
_MOST = 100_000  # bytes of a request
# What is imported where it is needed.
_LAZY = """hyperscan rich.console rich.progress rich.table typer.rich_utils sqlalchemy.dialects.sqlite
apscheduler.schedulers.asyncio apscheduler.triggers.date""".split()
_READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "FORCE_COLOR", "TERMINAL_WIDTH", "PY_COLORS")  # heads of variables
# What is there anyway, and what `_become` sees to.
_NOT_SO = (("PYTHONPATH", str(_ROOT)), ("PYTHONWARNINGS", "error"))


class Forks:
    """Starts commands, of all whose environments are the same to what is read at a start, off one process."""

    def __init__(self) -> None:
        self._servers: dict[tuple[tuple[str, str], ...], _Server] = {}
        self._lock = threading.Lock()

    @classmethod
    @functools.cache
    def shared(cls) -> Self:
        """Those of this process, which end with it."""
        made = cls()
        atexit.register(made.close)
        return made

    def close(self) -> None:
        for server in self._servers.values():
            server.close()

    def run(
        self,
        *arguments: str,
        cwd: Path,
        env: Mapping[str, str],
        stdin: str = "",
        before: Sequence[str] = (),
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` of `python -m monitor`, and that where it would not be the same.

        `before`: a program that starts it.
        """
        done = self.run_bytes(*arguments, cwd=cwd, env=env, stdin=stdin.encode(), before=before, timeout=timeout)
        return subprocess.CompletedProcess(arguments, done.returncode, done.stdout.decode(), done.stderr.decode())

    def run_bytes(
        self,
        *arguments: str,
        cwd: Path,
        env: Mapping[str, str],
        stdin: bytes = b"",
        before: Sequence[str] = (),
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[bytes]:
        request = json.dumps([arguments, str(cwd), dict(env)]).encode()
        if before or len(request) > _MOST:
            command = [*before, sys.executable, "-m", "monitor", *arguments]
            return subprocess.run(
                command, input=stdin, capture_output=True, check=False, timeout=timeout, cwd=cwd, env=env
            )
        code, *said = self._server(env).run(request, stdin, timeout)
        return subprocess.CompletedProcess(arguments, code, *said)

    def python(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` of `python -c`, where the sources lie."""
        return self.run("-c", program, *arguments, cwd=_ROOT, env=self.environment())

    @staticmethod
    def environment() -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), "PYTHONWARNINGS": "error"}

    def start(
        self,
        *arguments: str,
        env: Mapping[str, str],
        stdout: IO[bytes],
        stderr: IO[bytes],
        stdin: IO[bytes] | None = None,
    ) -> Forked:
        """As `asyncio.create_subprocess_exec` of `python -m monitor`, in this folder; by default, with nothing to
        read."""
        request = json.dumps([arguments, os.getcwd(), dict(env)]).encode()
        with open(os.devnull, "rb") as nothing:
            stdio = [(stdin or nothing).fileno(), stdout.fileno(), stderr.fileno()]
            return Forked(self._server(env).ask(request, stdio))

    def shim(self, path: Path, env: Mapping[str, str]) -> None:
        """A program, `python -m monitor` for what is started with that environment: by a shell, or by another program.

        Its process is not that of the command, and no child of the shell: signals are handed on, a terminal is not.
        """
        words = [sys.executable, "-I", "-S", fork_client.__file__, self.name(env)]
        path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
        path.chmod(0o755)

    def name(self, env: Mapping[str, str]) -> str:
        """Of the socket that the server for this environment listens on."""
        return self._server(env).name

    def _server(self, env: Mapping[str, str]) -> _Server:
        found = {name: value for name, value in env.items() if name.startswith(_READ_AT_START)}
        if not any(name.startswith(("LC_", "LANG")) for name in found):
            found["LANG"] = "C.UTF-8"  # as Python takes none at all
        read_at_start = tuple(sorted(item for item in found.items() if item not in _NOT_SO))
        with self._lock:
            if read_at_start not in self._servers:
                self._servers[read_at_start] = _Server(dict(read_at_start))
            return self._servers[read_at_start]


class Forked:
    """What is used of `asyncio.subprocess.Process`."""

    def __init__(self, answer: socket.socket) -> None:
        self._answer = answer
        self._said = b""
        while b"\n" not in self._said:
            self._said += answer.recv(64)
        self.pid = int(self._said.split(b"\n")[0])
        answer.setblocking(False)

    def __del__(self) -> None:
        self._answer.close()  # also of one that nobody waited for

    @property
    def returncode(self) -> int | None:
        with contextlib.suppress(BlockingIOError, OSError):
            while more := self._answer.recv(64):
                self._said += more
            self._answer.close()
        _, code, *end = self._said.split(b"\n")
        return int(code) if end else None

    async def wait(self) -> int:
        while (code := self.returncode) is None:
            await asyncio.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Server:
    """That of the test session for an environment: who needs it first starts it, and it goes with the last one."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        from tests import folders
        from tests.detectors import texts  # which is nothing for the server itself

        session = os.environ.get(folders.SESSION, str(os.getpid()))
        self.name = hashlib.sha256(repr((session, sorted(environment.items()))).encode()).hexdigest()
        with texts.shared("forks"):
            while True:
                self._requests = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                try:
                    self._requests.connect(f"\0{self.name}")
                    if self._requests.recv(1):
                        return
                except (ConnectionRefusedError, ConnectionResetError):
                    _start(self.name, environment)
                self._requests.close()  # it went just then

    def close(self) -> None:
        self._requests.close()

    def ask(self, request: bytes, stdio: Sequence[int]) -> socket.socket:
        """Where the id of the process is told, and once it has ended, how; each in a line."""
        answer, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._requests, [request], [*stdio, theirs.fileno()])
        return answer

    def run(self, request: bytes, stdin: bytes, timeout: float) -> tuple[int, bytes, bytes]:
        pipes = [os.pipe() for _ in range(3)]
        given = [pipes[0][0], pipes[1][1], pipes[2][1]]
        answer = self.ask(request, given)
        for descriptor in given:
            os.close(descriptor)
        said: dict[int, bytes] = {}
        readers = [threading.Thread(target=_read, args=(pipes[n][0], n, said)) for n in (1, 2)]
        with answer, answer.makefile() as words:
            for reader in readers:
                reader.start()
            pid = int(words.readline())
            with contextlib.suppress(BrokenPipeError), os.fdopen(pipes[0][1], "wb") as feed:
                feed.write(stdin)
            if not select.select([answer], [], [], timeout)[0]:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(request[:100].decode(), timeout)
            code = int(words.readline())
        for reader in readers:
            reader.join()
        return code, said[1], said[2]


def _read(descriptor: int, number: int, said: dict[int, bytes]) -> None:
    with os.fdopen(descriptor, "rb") as stream:
        said[number] = stream.read()


def _start(name: str, environment: Mapping[str, str]) -> None:
    """Waited for by nobody: whoever starts it may end before it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"\0{name}")
        listener.listen(64)
        listener.set_inheritable(True)
        pipes = *os.pipe(), *os.pipe()  # input and output are such, as those of the commands
        os.posix_spawnp(
            "env",
            ["env", "-C", str(_ROOT), sys.executable, "-m", "tests.fakes.forks", str(listener.fileno())],
            {"PATH": os.environ["PATH"], **environment},
            file_actions=[(os.POSIX_SPAWN_DUP2, pipes[0], 0), (os.POSIX_SPAWN_DUP2, pipes[3], 1)],
        )
        for descriptor in pipes:
            os.close(descriptor)


def serve(listener: socket.socket) -> None:
    """Returns in each child, for which all is as at the start of a program."""
    askers: list[socket.socket] = []
    running: dict[int, tuple[int, int]] = {}  # descriptor of a process → its id, where its end is told
    while True:
        for ready in select.select([listener, *askers, *running], [], [])[0]:
            if ready is listener:
                askers.append(listener.accept()[0])
                with contextlib.suppress(BrokenPipeError):
                    askers[-1].send(b"1")
            elif ready in running:
                pid, answer = running.pop(ready)
                with contextlib.suppress(BrokenPipeError):
                    os.write(answer, f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n".encode())
                os.close(answer)
                os.close(ready)
            else:
                try:
                    request, descriptors, *_ = socket.recv_fds(ready, _MOST, 4)
                except ConnectionResetError:  # killed before it had read that it is heard
                    request = b""
                if not request:
                    askers.remove(ready)
                    ready.close()
                    if not askers:
                        os._exit(0)
                    continue
                *stdio, answer = descriptors
                pid = os.fork()
                if pid == 0:
                    for one in (listener, *askers):
                        one.detach()  # `_become` closes them
                    _become(*json.loads(request), stdio)
                    return
                for descriptor in stdio:
                    os.close(descriptor)
                with contextlib.suppress(BrokenPipeError):  # killed since it asked
                    os.write(answer, f"{pid}\n".encode())
                running[os.pidfd_open(pid)] = pid, answer


def _become(arguments: list[str], folder: str, environment: dict[str, str], stdio: list[int]) -> None:
    for number, descriptor in enumerate(stdio):
        os.dup2(descriptor, number)
    os.closerange(3, max(map(int, os.listdir("/proc/self/fd"))) + 1)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    random.seed()
    if environment.get("PYTHONWARNINGS") == "error":
        warnings.simplefilter("error")
    sys.path[0] = folder
    sys.argv[1:] = arguments


def _import_all() -> None:
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # as the program itself does
    for name in ("detectors", "monitor", "sinks"):
        for module in pkgutil.walk_packages(importlib.import_module(name).__path__, f"{name}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    for name in _LAZY:
        importlib.import_module(name)
    _judge_once()
    _read_once()
    # What does not work says so where it is tested.
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Exception):
        asyncio.run(_store_once(Path(folder)))
    assert threading.active_count() == 1, "a fork would have one of them only"


def _judge_once() -> None:
    """What filters are made of is made at the first candidate: a twentieth of a second, the same in every process."""
    from detectors.match.judge import Judge
    from detectors.rules.rule import Rule

    by_name = Rule("r", "Rule", "x", "high", family="generic", words=True, score=True, hashes=True)
    by_form = Rule("r", "Rule", "x", "high", family="vcs")
    seen = ((by_name, b"k3j9x2m4q8w1", b"password="), (by_name, b"Summer2024", b"user=kim password="))
    for kind, value, before in (*seen, (by_form, b"k3j9x2m4q8w1k7z2b5n8", b"token ")):
        judge, data = Judge(kind), before + value + b"\n"
        verdict = judge.verdict(value, before, b"\n")
        judge.doubted(verdict, data, len(before), len(data) - 1)


def _read_once() -> None:
    """The options of each command, and what is read of our own files: no command changes either, and the two are half
    of what most of them take."""
    import typer

    from detectors import cache
    from detectors.match.engine import Engine
    from detectors.rules import load, packs, snapshot
    from monitor.actions.config import load_ready
    from monitor.cli import COMMANDS, app
    from monitor.runbook import runbook_store
    from monitor.verify.probe import load_probes

    packs.texts, packs.names = functools.cache(packs.texts), functools.cache(packs.names)
    snapshot.digest = functools.cache(snapshot.digest)
    load.rule_families()
    if load.shipped_rules(load.builtin_families()) is not None:  # they are made by then
        cache.shipped, load.shipped_rules = functools.cache(cache.shipped), _by_values(load.shipped_rules)
        load.load_rules(("vcs/github",))
        Engine.build(load.load_rules())
    load_probes()
    load_ready()
    for name in runbook_store.names():
        runbook_store.load(name)
    typer.main.get_command = made = functools.cache(typer.main.get_command)
    group = made(app)
    for name in COMMANDS:
        group.get_command(typer.Context(group), name)


def _by_values(function: Callable[..., Any]) -> Callable[..., Any]:
    """That remembers what it gave for a list as well."""
    remembered = functools.cache(function)
    return lambda values, *more: remembered(tuple(values), *more)


async def _store_once(folder: Path) -> None:
    """What the families of all rules are, and the text of each statement, is made once in a process, too."""
    from detectors.rules.load import rule_families
    from monitor.domain.model import Position
    from monitor.domain.retention import RetentionConfig
    from monitor.routing.routes import Policy
    from monitor.runbook import load
    from monitor.runbook.progress import Procedure
    from monitor.store import Notice, Store
    from tests.monitor.store import helpers

    rule_families()
    now, place = helpers.Clock(), Position("services", "key", {})
    policy, books = Policy(sinks=("hook", "chat"), threads=frozenset({"chat"})), Procedure("high", book=load)
    async with await Store.open(folder / "state.db", policy, procedure=books, clock=now, secret=b"k" * 16) as store:
        await store.claim()
        await store.positions.of("services")
        for offset in (0, 1, 1):
            await store.commit([helpers.finding("one", offset), helpers.finding(offset)], [place], source="services")
        await helpers.notify(store, Notice("title"))
        for _ in range(3):
            now.now += 3600
            await store.groups.tick()
            for sink in policy.sinks:
                for one in await store.outbox.lease(sink, helpers.OWNER, 60, 4, most=50, backlog=300, paced=True):
                    await store.outbox.sent(one.id, {"place": "here"})
            (await store.groups.agenda())[1]
            await store.groups.agenda()
            await store.groups.look_again()
            await store.runs.sweep(everything=True)
        await store.groups.adopt(helpers.OWNER, policy.sinks)
        await store.retention.sweep(RetentionConfig())
        await store.stats()
        [first, *_] = await store.incidents.find()
        await store.incidents.history(first.id)
        await store.incidents.joined([first])
        await store.incidents.transition(first.id, "ack", actor="ada")
        await store.runs.act(first.id, "revoke", "done", actor="ada", note="seen")
        await store.incidents.transition(first.id, "resolve", actor="ada", resolution="revoked")
        await store.runs.find(10)
        await store.outbox.list()


if __name__ == "__main__":
    _import_all()
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))
    if sys.argv[1:2] == ["-c"]:
        del sys.argv[0]
        exec(sys.argv.pop(1), {"__name__": "__main__"})
        sys.stdout.flush()
        os._exit(0)  # to take apart all that was imported takes longer than most of these programs
    if sys.argv[1:3] == ["-P", "-m"]:  # of the daemon's own processes
        named = sys.argv[3]
        del sys.argv[1:4], sys.modules[named]
        runpy.run_module(named, run_name="__main__", alter_sys=True)
        sys.stdout.flush()
        os._exit(0)
    runpy.run_module("monitor", run_name="__main__", alter_sys=True)
