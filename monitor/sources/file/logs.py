"""Which log a file belongs to, by its name and by what else is followed."""

from __future__ import annotations

import os
from collections.abc import Iterable

from monitor.common.rotation_names import base_names, first_names, numbered
from monitor.sources.file.globs import Globs
from monitor.sources.file.registry import Registry
from monitor.sources.file.tracked_file import TrackedFile

__all__ = ["Logs", "youngest"]


def youngest(named: Iterable[tuple[TrackedFile, Iterable[str]]]) -> set[TrackedFile]:
    """Of each log the tracked file written last."""
    ordered = sorted(named, key=lambda one: one[0].mtime)
    return set({name: tracked for tracked, names in ordered for name in names}.values())


class Logs:
    """Use on the event loop only."""

    def __init__(self, globs: Globs, registry: Registry) -> None:
        self._globs, self._registry = globs, registry

    def of(self, path: str) -> list[str]:
        """The names of the log that a file belongs to."""
        folder, name = os.path.split(path)
        bases = [os.path.join(folder, base) for base in base_names(name)]
        # The longest first: app-1.log.1 is of app-1.log, where there is one, and not of app.log.
        own = (one for one in (path, *sorted(bases, key=len, reverse=True)) if self._is_own(one))
        return [log] if (log := next(own, None)) else first_names(path)

    def shown_at(self, path: str) -> bool:
        """Whether the path is that of a log, and not of a rotated file, which is followed as well."""
        return path in self.of(path)

    def _is_own(self, path: str) -> bool:
        """Whether a followed path is that of a log, whatever it looks like."""
        if self._globs.names(path):
            return True
        known = any(self._registry.last(name) for name in first_names(path))
        return self._globs.matches(path) and (numbered(path) or not known)
