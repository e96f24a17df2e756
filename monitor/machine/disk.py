"""The disk below the state folder: of a kind that keeps a database, and with room."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from monitor.machine.finding import CheckFinding, host_error, host_notice

__all__ = ["disk", "writable"]

_REMOTE = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs", "fuse.sshfs")
_PASSING = ("tmpfs", "ramfs", "overlay")
_LEAST, _LITTLE = 64 << 20, 1 << 30  # bytes: a database with its log; some weeks of a busy host
_TRIED = 1 << 20
_MOUNTS = Path("/proc/self/mountinfo")


def disk(folder: Path, *, sqlite: bool, mounts: Path = _MOUNTS) -> Iterator[CheckFinding]:
    """`folder`: that of the state, or the next one above it that is there."""
    kind = _kind(folder, mounts)
    if kind in _REMOTE and sqlite:
        message = f"{folder} lies on {kind}, where locks do not keep a SQLite database whole"
        yield host_error("disk", f"{message}: set monitor.state_dir to a local disk, or use PostgreSQL")
    elif kind in _PASSING:
        ends = "when the container does" if kind == "overlay" else "at a restart"
        yield host_notice("disk", f"{folder} lies on {kind}: what is stored is gone {ends}; mount a volume there")
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    if free < _LITTLE or (room.f_files and not room.f_favail):
        what = f"{free >> 20:,} MiB are free" if free < _LITTLE else "no inode is free"
        found = host_error if free < _LEAST or free >= _LITTLE else host_notice
        yield found("disk", f"{folder}: {what}", f"du -xh --max-depth=2 {_mount(folder)} | sort -h | tail")


def writable(folder: Path) -> str | None:
    """Why nothing can be written there: tried, as quotas and read-only mounts do not show otherwise."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, _TRIED)
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return None


def _mount(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if os.path.ismount(place))


def _kind(folder: Path, mounts: Path) -> str:
    """The type of the file system, by the last of the mounts that has its device."""
    status = folder.stat().st_dev
    device = f"{os.major(status)}:{os.minor(status)}"
    kinds = ""
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split()
        if fields[2] == device:
            kinds = fields[fields.index("-") + 1]
    return kinds
