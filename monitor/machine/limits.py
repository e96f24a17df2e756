"""What the kernel grants: open files and inotify, held against what the sources need."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.machine.finding import CheckFinding, host_notice
from monitor.machine.unit import ServiceUnit, drop_in
from monitor.sources.file.globs import Globs

if TYPE_CHECKING:
    from monitor.config.config import Config

__all__ = ["limits"]

_OPEN = 2048  # followed files that a source keeps open, at most, and a quarter of what is granted
_OTHER = 256  # database, web server, sinks, programs that it runs
_GRANTED = 524_288  # by systemd, to a unit that says nothing
_SYSCTL = Path("/proc/sys/fs/inotify")


def limits(config: Config, unit: ServiceUnit | None, sysctl: Path = _SYSCTL) -> Iterator[CheckFinding]:
    """Blocking: it looks for the files that sources follow."""
    follow = [source for source in config.sources if source.type in ("file", "container")]
    globs = [Globs(source.include, source.exclude) for source in follow]  # type: ignore[attr-defined]
    files = [len(each.paths()) for each in globs]
    yield from _open_files(config.sources, files, unit)
    journals = sum(source.type == "journal" for source in config.sources)
    needs = {"watches": sum(len(each.folders) for each in globs), "instances": len(follow) + journals}
    for what, need in needs.items():
        granted = _number(sysctl / f"max_user_{what}")
        if granted is not None and need > granted:
            key, file = f"fs.inotify.max_user_{what}", f"/etc/sysctl.d/60-exposure-monitor-{what}.conf"
            message = (
                f"{key} is {granted:,}, and the sources need {need:,}: beyond it folders are looked at every second"
            )
            yield host_notice("inotify", message, f"echo '{key} = {2 * need}' > {file} && sysctl --system")


def _open_files(sources: Sequence[Any], files: Sequence[int], unit: ServiceUnit | None) -> Iterator[CheckFinding]:
    held = [min(count, _OPEN) for count in files]
    others = sum(getattr(source, "max_connections", 0) for source in sources) + _OTHER
    need = max(4 * max(held, default=0), sum(held) + others)
    granted = _granted(unit)
    if need > granted:
        message = (
            f"{granted:,} files may be open, and {sum(files):,} followed files and {others:,} others need {need:,}"
        )
        lost = "; what is closed for that and then deleted is lost as far as it was not read"
        yield host_notice("files", message + lost, drop_in("files", f"LimitNOFILE={max(65_536, 2 * need)}"))


def _granted(unit: ServiceUnit | None) -> int:
    """The hard limit, to which the monitor raises the other, up to 65,536."""
    if unit is None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    said = unit.last("LimitNOFILE", str(_GRANTED)).rpartition(":")[2]
    return min(int(said), 65_536) if said.isdigit() else 65_536


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
