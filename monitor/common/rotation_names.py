"""The names that files get when they are rotated, and those they may have had before: pure."""

from __future__ import annotations

import os
import re
from functools import lru_cache

from monitor.common.files import ARCHIVES

__all__ = ["base_names", "dated", "first_names", "numbered", "original_names"]

_NUMBER = r"[._-](?:\d[\d._:T+-]*|old|prev|bak)"
_AFTER = re.compile(_NUMBER)  # app.log.1, app.log-20261124, app.log.old
_DATED = re.compile(r".*[._-]\d[\d_:T+-]{5,}(?:\.[A-Za-z]+)?")  # app.log-20261124, app-2026-11-24.log
_ADDED = {".backup", ".bak", ".orig", ".save"}  # app.log.backup, app.log.1.backup: what logrotate's `addextension` adds
_BEFORE = re.compile(rf"(.+?){_NUMBER}(\.[A-Za-z]+)")  # app-20261124.log, app.1.log


def _stems(name: str) -> set[str]:
    """What stands before a number at the end: web.1-20261124 may have been web or web.1."""
    return {name[:at] for at in range(1, len(name)) if _AFTER.fullmatch(name, at)}


@lru_cache(1 << 14)
def base_names(name: str) -> frozenset[str]:
    """The names a file may have had before it was rotated to `name`; none when it does not look rotated."""
    stem, suffix = os.path.splitext(name)
    names = set()
    if suffix in ARCHIVES:
        name = stem
        names.add(name)
    plain, suffix = os.path.splitext(name)
    if suffix in _ADDED:
        names |= {plain} | _stems(plain)
    names |= _stems(name)
    if found := _BEFORE.fullmatch(name):
        names.add(found[1] + found[2])
    return frozenset(names)


def original_names(path: str) -> list[str]:
    """The path itself and those it may have had before it was rotated."""
    folder, name = os.path.split(path)
    return [path, *(os.path.join(folder, base) for base in base_names(name))]


def numbered(path: str) -> bool:
    """Whether the number stands before the ending, as in app-2.log: a log of its own, or what app.log was once."""
    name = os.path.basename(path)
    return bool(_BEFORE.fullmatch(name)) and not _stems(name)


def dated(path: str) -> bool:
    """Whether the name is of one file for ever, as with a date in it: a number is given to the next file, too."""
    return bool(_DATED.fullmatch(os.path.basename(path)))


def first_names(path: str) -> list[str]:
    """Those that a file may have had before it was ever rotated: the path itself where it does not look rotated."""
    folder, name = os.path.split(path)
    bases = base_names(name)
    if not bases:
        return [path]
    return list(dict.fromkeys(first for base in bases for first in first_names(os.path.join(folder, base))))
