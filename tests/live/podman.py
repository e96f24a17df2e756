"""Containers by podman, with a storage of their own that goes at the end. Needs root; they share the host's network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Podman", "podman"]

# What the page on containers says: the host's logs, and nothing else of it.
STRICT = (
    "--network=host",
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
)


class Podman:
    """`folder` is for files of the test; `program` is podman with this storage, for programs that call it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "podman"
        storage = folder / "storage"
        # runc: crun refuses hosts that have both kinds of cgroups
        words = f"--root {storage}/root --runroot {storage}/run --tmpdir {storage}/tmp --runtime runc"
        words += " --cgroup-manager cgroupfs --events-backend file"
        self.program.write_text(
            f'#!/bin/sh\nPODMAN_IGNORE_CGROUPSV1_WARNING=1 exec {shutil.which("podman")} {words} "$@"\n'
        )
        self.program.chmod(0o755)

    def answer(self, *words: str, errors: int = subprocess.STDOUT) -> tuple[int, str]:
        """Exit code, and all it said; what it said of errors as well, or where `errors` says."""
        done = subprocess.run(
            [self.program, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout.strip()

    def run(self, *words: str) -> str:
        code, said = self.answer(*words)
        assert code == 0, f"podman {' '.join(words)}: exit code {code}\n{said[-4000:]}"
        return said

    def once(self, image: str, *words: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
        """A command of the image: exit code, and all it said."""
        return self.answer("run", "--rm", *STRICT, *options, image, *words)

    def inspect(self, name: str) -> dict[str, Any]:
        (about,) = json.loads(self.run("inspect", name))
        return dict(about)


@contextmanager
def podman() -> Iterator[Podman]:
    folder = Path(tempfile.mkdtemp(prefix="exposure-monitor-image-", dir=os.environ.get("FRESH_DIR", "/var/tmp")))
    folder.chmod(0o755)  # users of containers go through it
    program = Podman(folder)
    try:
        yield program
    finally:
        for words in (("pod", "rm", "-f", "-a", "-t", "1"), ("rm", "-f", "-a", "-t", "1"), ("system", "reset", "-f")):
            program.answer(*words)
        shutil.rmtree(folder, ignore_errors=True)
