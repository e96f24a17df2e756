"""The folder of a test session, and what sessions that were killed have left behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["SESSION", "copy", "make", "remove", "session"]

SESSION = "MONITOR_TEST_SESSION"  # the variable that names the folder of this test session
KEPT = Path(__file__).parents[1] / ".pytest_cache" / "rules"  # of what it held, from one to the next

_START, _LOCK = "monitor-tests-", "session"
_held: dict[Path, int] = {}  # folder → the lock that says that its session goes on; closed by the end, however it comes


@contextlib.contextmanager
def session() -> Iterator[None]:
    """One for all that this process starts, unless it is itself started in one."""
    if SESSION in os.environ:
        yield
        return
    folder, maker = make(), os.getpid()
    copy(KEPT, folder)
    os.environ[SESSION] = str(folder)
    try:
        yield
    finally:
        if os.getpid() == maker:  # and not forked off it
            del os.environ[SESSION]
            copy(folder, KEPT)
            remove(folder)


def make(root: Path | None = None) -> Path:
    """A new one, below `root` or where temporary files lie. Those of sessions that are over go."""
    root = root or Path(tempfile.gettempdir())
    for old in root.glob(f"{_START}*"):
        with contextlib.suppress(OSError):  # somebody else's, of one that begins right now, or of one that goes on
            lock = os.open(old / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(old, ignore_errors=True)
            finally:
                os.close(lock)

    folder = Path(tempfile.mkdtemp(prefix=_START, dir=root))
    # Locked before it is there: until then nobody takes the folder for one that is over.
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as lock_file:
        _held[folder] = os.dup(lock_file.fileno())
        fcntl.flock(_held[folder], fcntl.LOCK_EX)
        os.rename(lock_file.name, folder / _LOCK)
    return folder


def copy(source: Path, target: Path) -> None:
    """The folders in one into another, in place of those of the same name. What cannot be copied is done without."""
    with contextlib.suppress(OSError, shutil.Error):
        target.mkdir(parents=True, exist_ok=True)
        for folder in [one for one in source.glob("*/") if not one.name.startswith(_START)]:
            with tempfile.TemporaryDirectory(dir=target, prefix=_START) as beside:
                made = Path(shutil.copytree(folder, Path(beside) / folder.name))
                if (target / folder.name).exists():
                    (target / folder.name).rename(Path(beside) / "old")
                made.rename(target / folder.name)


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(_held.pop(folder))
