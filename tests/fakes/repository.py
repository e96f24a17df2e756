"""Repositories of real git, free of what this user and this machine set."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

__all__ = ["Repository", "environment", "plant"]

# Settings that name a program, for each command that is asked below.
PROGRAMS = (
    "core.fsmonitor", "core.pager", "core.sshCommand", "core.editor", "core.askPass", "core.gitProxy",
    "core.alternateRefsCommand", "diff.external", "diff.evil.textconv", "diff.evil.command", "filter.evil.clean",
    "filter.evil.smudge", "filter.evil.process", "gpg.program", "gpg.ssh.program", "gpg.ssh.defaultKeyCommand",
    "credential.helper", "merge.evil.driver", "pager.log", "pager.diff", "alias.log", "alias.diff", "sequence.editor",
    "uploadpack.packObjectsHook", "interactive.diffFilter", "remote.origin.vcs", "trailer.x.command",
)  # fmt: skip


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


def plant(repository: Repository, ran: Path) -> None:
    """All that a repository can bring along to have a program run. Each one that runs makes the file `ran`."""
    trap = f"touch {ran}; false"
    for key in PROGRAMS:
        repository.git("config", key, f"!{trap}" if key.startswith("alias") else trap)
    for name in ("post-index-change", "fsmonitor-watchman", "reference-transaction", "pre-commit", "post-checkout"):
        hook = repository.folder / ".git/hooks" / name
        hook.write_text(f"#!/bin/sh\n{trap}\n")
        hook.chmod(0o755)
    repository.git("config", "log.showSignature", "true")
    repository.git("config", "diff.submodule", "log")
    repository.git("config", "protocol.ext.allow", "always")
    repository.git("config", "remote.origin.promisor", "true")
    repository.git("config", "remote.origin.url", f"ext::sh -c touch% {ran}")
    (repository.folder / ".gitattributes").write_text("* diff=evil filter=evil merge=evil\n")
    (repository.folder / ".git/info").mkdir(exist_ok=True)
    (repository.folder / ".git/info/attributes").write_text("* diff=evil filter=evil\n")
