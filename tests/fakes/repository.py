"""Repositories of real git, free of what this user and this machine set."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

__all__ = ["Repository", "environment"]


def environment(**more: str) -> dict[str, str]:
    who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in _WHO.items()}
    return {
        "PATH": os.environ["PATH"], "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_ALLOW_PROTOCOL": "file",
        "LC_ALL": "C", **who, **more,
    }  # fmt: skip


_WHO = {"NAME": "Ann Author", "EMAIL": "ann@example.org", "DATE": "2026-01-02T03:04:05Z"}


class Repository:
    """One in `folder`, which is made unless there is one."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self._commits = 0
        if not folder.exists():
            folder.mkdir(parents=True)
            self.git("init", "-q", "-b", "main", *options)

    def git(self, *arguments: str, stdin: bytes = b"", fine: bool = True, **more: str) -> str:
        answer = subprocess.run(
            ["git", "-C", str(self.folder), *arguments],
            input=stdin, capture_output=True, check=False, env=environment(**more),
        )  # fmt: skip
        assert answer.returncode == 0 or not fine, answer.stderr.decode()
        return answer.stdout.decode("utf-8", "surrogateescape").strip()

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if files:
            self.git("add", "-f", "--", *files)

    def commit(self, files: Mapping[str, str | bytes] | None = None, message: str = "change", **more: str) -> str:
        """Its name. Each is an hour after the one before."""
        self._commits += 1
        days, hour = divmod(self._commits, 24)
        more = {
            f"GIT_{role}_DATE": f"2026-01-{days + 2:02}T{hour:02}:04:05Z" for role in ("AUTHOR", "COMMITTER")
        } | more
        self.write(files or {})
        self.git("commit", "-q", "--no-verify", "--allow-empty", "--cleanup=verbatim", "-m", message, **more)
        return self.git("rev-parse", "HEAD")
