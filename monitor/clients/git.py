"""Git asked about a repository that somebody else may have made: nothing that its configuration names is run.

The one place that starts git. Each call has a fixed environment and fixed settings, and what names of ours it is given
stand behind options; what may be run all the same (textconv, external diffs) is for `DIFF` to turn off.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

__all__ = ["DIFF", "Blob", "Blobs", "Git", "GitError", "command"]

OLDEST = (2, 26)  # whose `config` says where a setting stands
_SECONDS = 120.0
_PIECE = 1 << 20
_TOGETHER = 60  # names that fit into the smallest pipe
# In a .git/config that came along each of these can name a program, lead elsewhere, or change the form of what is read;
# a commit-graph is believed, and one that came along can say of a commit that none came before it.
_HARMLESS = (
    "core.fsmonitor=false", "core.hooksPath=/dev/null", "log.showSignature=false", "core.pager=cat",
    "protocol.allow=never", "core.excludesFile=/dev/null", "core.quotePath=true", "core.bigFileThreshold=32m",
    "core.commitGraph=false", "diff.orderFile=/dev/null", "diff.relative=false", "diff.suppressBlankEmpty=false",
    "diff.noprefix=false", "diff.mnemonicPrefix=false", "diff.srcPrefix=a/", "diff.dstPrefix=b/", "log.showRoot=true",
    "log.follow=false", "i18n.logOutputEncoding=UTF-8",
)  # fmt: skip
# Options of every comparison of contents. Renames are told as what they are: a new path with all its lines.
DIFF = (
    "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--full-index", "--irreversible-delete",
    "--submodule=short", "--ignore-submodules=none", "--diff-algorithm=myers", "--inter-hunk-context=0",
    "--src-prefix=a/", "--dst-prefix=b/",
)  # fmt: skip
# What git tells a hook about the repository that it works on: the index of a partial commit, the objects in quarantine.
_OF_HOOKS = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH",
)  # fmt: skip
_FIXED = {
    "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_GRAFT_FILE": "/dev/null", "GIT_ALLOW_PROTOCOL": "none", "LC_ALL": "C",
}  # fmt: skip
_FOREIGN = re.compile(r"dubious ownership in repository at '(.*)'")


class GitError(Exception):
    """Why git does not answer, in one line."""


def command(folder: Path, *arguments: str) -> str:
    """What a person types to ask the same."""
    return shlex.join(["git", "-C", str(folder), *arguments])


class Git:
    """Read-only questions about the repository that `folder` lies in. They raise GitError."""

    def __init__(self, folder: Path, *, hook: bool = False) -> None:
        """`hook`: git itself started us, and says in its variables which repository that is."""
        self.folder = folder
        kept = _OF_HOOKS if hook else ()
        mine = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in kept}
        self._environment: Mapping[str, str] = {**mine, **_FIXED}
        self.ask("rev-parse", "--git-dir")

    def ask(
        self, *arguments: str, stdin: bytes = b"", fine: tuple[int, ...] = (0,), seconds: float | None = _SECONDS
    ) -> bytes:
        """Its standard output. `fine`: exit codes that are answers."""
        try:
            answer = subprocess.run(
                self._command(*arguments),
                input=stdin,
                capture_output=True,
                check=False,
                timeout=seconds,
                env=self._environment,
            )
        except subprocess.TimeoutExpired:
            raise GitError(f"git gave no answer within {seconds:.0f} s") from None
        except (OSError, ValueError) as error:  # ValueError: a NUL in a name
            raise GitError(_unrunnable(error)) from None
        if answer.returncode not in fine:
            raise GitError(_said(answer.stderr, answer.returncode))
        return answer.stdout

    def line(self, *arguments: str) -> str:
        """Its only line, as Python names files; empty where it has no answer."""
        return os.fsdecode(self.ask(*arguments, fine=(0, 1))).removesuffix("\n")

    def names(self, *arguments: str) -> list[str]:
        """NUL-separated names, as Python names files."""
        return [os.fsdecode(name) for name in self.ask(*arguments).split(b"\0") if name]

    def check_version(self) -> None:
        """Raises GitError for one that lacks what is asked of it."""
        text = self.line("version")
        found = re.search(r"(\d+)\.(\d+)", text)
        if found is None or (int(found[1]), int(found[2])) < OLDEST:
            raise GitError(f"{text or 'this git'} is too old: {OLDEST[0]}.{OLDEST[1]} or newer is needed")

    def stream(self, *arguments: str, stdin: bytes = b"") -> Iterator[bytes]:
        """Its standard output piece by piece. Raises GitError at the end of one that failed."""
        with _in_memory(stdin) as asked, self._started(*arguments, stdin=asked) as process:
            assert process.stdout is not None
            while piece := process.stdout.read(_PIECE):
                yield piece
            code, errors = process.wait(), process.said()
        if code:
            raise GitError(_said(errors, code))

    @contextmanager
    def blobs(self) -> Iterator[Blobs]:
        """Contents by their names, from one process."""
        one = Blobs(self)
        try:
            yield one
        finally:
            one.close()

    @contextmanager
    def _started(self, *arguments: str, stdin: IO[bytes] | None = None) -> Iterator[_Process]:
        """`stdin`: None: a pipe."""
        with _in_memory() as errors:
            try:
                process = _Process(self._command(*arguments), self._environment, stdin, errors)
            except (OSError, ValueError) as error:
                raise GitError(_unrunnable(error)) from None
            try:
                yield process
            finally:
                process.end()

    def _command(self, *arguments: str) -> list[str]:
        options = [part for setting in _HARMLESS for part in ("-c", setting)]
        return ["git", "-C", str(self.folder), *options, "--no-pager", *arguments]


@contextmanager
def _in_memory(text: bytes = b"") -> Iterator[IO[bytes]]:
    """A file: a pipe that nobody reads, or that both wait for, would stop git."""
    with os.fdopen(os.memfd_create("git"), "w+b") as file:
        file.write(text)
        file.seek(0)
        yield file


class _Process(subprocess.Popen[bytes]):
    def __init__(
        self, arguments: list[str], environment: Mapping[str, str], stdin: IO[bytes] | None, errors: IO[bytes]
    ) -> None:
        self._told = errors
        super().__init__(
            arguments,
            stdin=subprocess.PIPE if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            bufsize=_PIECE,
        )

    def said(self) -> bytes:
        self._told.seek(0)
        return self._told.read(_PIECE)

    def end(self) -> None:
        """Also in the midst of its work."""
        if self.poll() is None:
            self.kill()
        for pipe in (self.stdin, self.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self.wait()


class Blob:
    """One content, to be read once. `size` in bytes; `damaged`: its end could not be read."""

    def __init__(self, pipe: IO[bytes], size: int) -> None:
        self.size = self._left = size
        self.damaged = False
        self._pipe = pipe

    def read(self, size: int = -1, /) -> bytes:
        """Raises OSError where git ended in the midst of it."""
        wanted = min(self._left, _PIECE if size < 0 else size)
        piece = self._pipe.read(wanted) if wanted else b""
        self.damaged |= len(piece) < wanted
        if self.damaged and not piece:
            raise OSError(0, "cannot be read to its end: the repository is damaged")
        self._left -= len(piece)
        return piece

    def whole(self) -> bytes:
        """As far as it can be read."""
        wanted = self._left
        text = self._pipe.read(wanted)
        self._left -= len(text)
        self.damaged |= len(text) < wanted
        return text

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise OSError(0, "is read once")

    def tell(self) -> int:
        return self.size - self._left


class Blobs:
    """Contents by their names. One must be read, or is passed over, before the next is asked for."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._open = ExitStack()
        self._process: _Process | None = None
        self._last: Blob | None = None

    def get(self, name: str, kind: bytes = b"blob") -> Blob | None:
        """None: it is not there, cannot be read, or is of another kind."""
        self._pass_over()
        self._ask([name])
        return self._answer(kind)

    def several(self, names: Sequence[str]) -> Iterator[tuple[str, Blob | None]]:
        """The same of each. Asked for together, so that git does not wait for us; none of others meanwhile."""
        done = False
        try:
            for start in range(0, len(names), _TOGETHER):
                some = names[start : start + _TOGETHER]
                asked = False
                for number, name in enumerate(some):
                    self._pass_over()
                    if not asked or self._process is None:  # a damaged one ended it
                        self._ask(some[number:])
                        asked = True
                    yield name, self._answer(b"blob")
            done = True
        finally:
            if not done:
                self.close()  # there are answers that nobody reads

    def _ask(self, names: Iterable[str]) -> None:
        process = self._process or self._start()
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # then it has no answer
            process.stdin.write("".join(f"{name}\n" for name in names).encode())
            process.stdin.flush()

    def _answer(self, kind: bytes) -> Blob | None:
        assert self._process is not None
        assert self._process.stdout is not None
        head = self._process.stdout.readline().split()
        if not head:  # a damaged one ends the process
            self.close()
            return None
        if len(head) != 3 or not head[2].isdigit():  # "NAME missing"
            return None
        self._last = Blob(self._process.stdout, int(head[2]))
        return self._last if head[1] == kind else None

    def _pass_over(self) -> None:
        """What is left of the last one."""
        last, self._last = self._last, None
        process = self._process
        if last is None or process is None or process.stdout is None:
            return
        try:
            while last.read():
                pass
            process.stdout.read(1)  # a newline behind each
        except OSError:
            self.close()

    def _start(self) -> _Process:
        self._process = self._open.enter_context(self._git._started("cat-file", "--batch"))
        return self._process

    def close(self) -> None:
        self._process = self._last = None
        self._open.close()


def _unrunnable(error: Exception) -> str:
    if isinstance(error, FileNotFoundError) and error.filename == "git":
        return "git is not installed: it is not on PATH"
    return f"git cannot be run ({type(error).__name__})"


def _said(errors: bytes, code: int) -> str:
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    for line in lines:
        if found := _FOREIGN.search(line):
            return (
                f"{found[1]} belongs to another user, so git does not read it; "
                f"if you trust it: git config --global --add safe.directory {shlex.quote(found[1])}"
            )
    told = [line for line in lines if line.startswith("fatal: ")] or lines
    return told[0].removeprefix("fatal: ") if told else f"git ended with {code}"
