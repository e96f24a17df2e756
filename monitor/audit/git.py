"""Questions to git about a folder that somebody else may have made: nothing that its configuration names is run."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

__all__ = ["Git", "GitError", "command"]

_SECONDS = 120.0
# Each of these can name a program, in a .git/config that came along in an archive.
_HARMLESS = (
    "core.fsmonitor=false", "core.hooksPath=/dev/null", "log.showSignature=false", "core.pager=cat",
    "protocol.allow=never", "core.excludesFile=/dev/null", "core.quotePath=true",
)  # fmt: skip


class GitError(Exception):
    """Why git does not answer, in one line."""


def command(folder: Path, *arguments: str) -> str:
    """What a person types to ask the same."""
    return shlex.join(["git", "-C", str(folder), *arguments])


class Git:
    """Read-only questions about the repository that `folder` lies in. They raise GitError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ask("rev-parse", "--git-dir")

    def ask(self, *arguments: str, stdin: bytes = b"", fine: tuple[int, ...] = (0,)) -> bytes:
        """Its standard output. `fine`: exit codes that are answers."""
        options = [part for setting in _HARMLESS for part in ("-c", setting)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
        try:
            answer = subprocess.run(
                ["git", "-C", str(self.folder), *options, "--no-pager", *arguments],
                input=stdin,
                capture_output=True,
                check=False,
                timeout=_SECONDS,
                env=environment,
            )
        except FileNotFoundError:
            raise GitError("git is not installed") from None
        except subprocess.TimeoutExpired:
            raise GitError(f"git gave no answer within {_SECONDS:.0f} s") from None
        except (OSError, ValueError) as error:  # ValueError: a NUL in a name
            raise GitError(f"git cannot be run ({type(error).__name__})") from None
        if answer.returncode not in fine:
            said = answer.stderr.decode("utf-8", "replace").strip().splitlines()
            raise GitError(said[0].removeprefix("fatal: ") if said else f"git ended with {answer.returncode}")
        return answer.stdout

    def names(self, *arguments: str) -> list[str]:
        """NUL-separated names, as Python names files."""
        return [os.fsdecode(name) for name in self.ask(*arguments).split(b"\0") if name]
