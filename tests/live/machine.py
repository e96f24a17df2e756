"""A machine with a live systemd: a root of Debian, booted by systemd-nspawn. It shares the network of the host."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "packaging"))
from roots import FOLDER, PASSED, PATH, Root, base

__all__ = ["Failure", "Machine", "booted", "until"]

_T = TypeVar("_T")

PATIENCE = 300  # seconds; against what never comes


class Failure(AssertionError):
    """What the scenario waits for did not come, or a command did not do as it should."""


class Machine:
    """Commands in it are not services of it: what they cost does not count for those."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root, self._leader = root, leader

    def start(self, command: str, **variables: str) -> subprocess.Popen[str]:
        """A line for its shell, as root."""
        passed = {name: os.environ[name] for name in PASSED if name in os.environ}
        fixed = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        return subprocess.Popen(
            ["nsenter", "-t", str(self._leader), "-a", "-w", "sh", "-c", f"cd /srv/live; {command}"],
            env={**fixed, **passed, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def answer(self, command: str) -> tuple[int, str]:
        """Exit code, and all it said."""
        process = self.start(command)
        said, _ = process.communicate(timeout=600)
        return process.returncode, said.strip()

    def run(self, command: str, code: int = 0) -> str:
        """What it said; it has to end with this code."""
        ended, said = self.answer(command)
        if ended != code:
            raise Failure(f"{command}: exit code {ended}, not {code}\n{said[-4000:]}")
        return said

    def refused(self, command: str, *words: str) -> str:
        """What it said; it has to fail, and to say why in these words."""
        ended, said = self.answer(command)
        if not ended or any(word not in said for word in words):
            raise Failure(f"{command}: exit code {ended}, and not all of {words} in:\n{said[-4000:]}")
        return said

    def until(self, command: str, *words: str) -> str:
        """Until it says these words; returns all it said."""

        def there() -> str | None:
            said = self.answer(command)[1]
            return said if all(word in said for word in words) else None

        return until(there, lambda: f"{command}: never all of {words} in:\n{self.answer(command)[1][-4000:]}")


def until(look: Callable[[], _T | None], failure: Callable[[], str]) -> _T:
    """What it gives once it gives something."""
    end = time.monotonic() + PATIENCE
    while (found := look()) is None:
        if time.monotonic() > end:
            raise Failure(failure())
        time.sleep(0.2)
    return found


@contextmanager
def disk() -> Iterator[Path]:
    """An empty ext4. Where a hundred thousand files were deleted within minutes, as where tests run, it takes three
    times as much of the processor to make one, and what an installation costs would say that."""
    place = Path(tempfile.mkdtemp(prefix="disk-", dir=FOLDER))
    image = place.with_suffix(".img")
    try:
        with image.open("wb") as file:
            file.truncate(8 << 30)  # as far as it is written
        for words in (["mkfs.ext4", "-q", image], ["mount", "-o", "loop", image, place]):
            subprocess.run(words, check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", place], check=True)
    finally:
        image.unlink()
        place.rmdir()


@contextmanager
def booted(debian: str) -> Iterator[Machine]:
    """A fresh one, with systemd up; gone at the end."""
    with disk() as place, Root(base(debian), f"live-{debian}", place) as root:
        (root.path / "srv/live").mkdir(mode=0o700)  # where commands are run, and nobody else may go
        (root.path / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")  # or it asks who it is at its first boot
        words = [
            "systemd-nspawn",
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--resolv-conf=copy-host",
            "--console=pipe",
        ]
        log = open(root.path.with_name("console.log"), "wb")  # noqa: SIM115 - as long as the machine
        nspawn = subprocess.Popen(
            [*words, f"--machine=live-{uuid.uuid4().hex}", f"--directory={root.path}", "--boot"],
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")

            def up() -> Machine | None:
                if nspawn.poll() is not None:
                    raise Failure(Path(log.name).read_text(errors="replace"))
                for leader in children.read_text().split()[-1:]:  # of the first, who only makes ready, systemd is born
                    machine = Machine(root.path, int(leader))
                    if machine.answer("systemctl is-system-running --wait")[1] in ("running", "degraded"):
                        return machine
                return None

            machine = until(up, lambda: f"systemd never came up:\n{log.name}")
            yield machine
        finally:
            nspawn.terminate()  # which asks systemd inside to shut down
            try:
                nspawn.wait(30)
            except subprocess.TimeoutExpired:
                nspawn.kill()
                nspawn.wait()
            log.close()
