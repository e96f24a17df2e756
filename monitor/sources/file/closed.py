"""Lives that ended: what was read is known again where a file turns up that holds it, compressed or moved back."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.common.rotation_names import original_names
from monitor.sources.file.tracked_file import TrackedFile

__all__ = ["Past"]

KEPT = 1024  # lives, or as many as there are files


class Past:
    """Use on the event loop only. One a generation: the last that ended."""

    def __init__(self) -> None:
        self._lives: dict[str, TrackedFile] = {}  # by generation, the first to end first
        self._names: dict[str, dict[TrackedFile, None]] = {}  # names they may have had before they were rotated

    def add(self, life: TrackedFile, files: int) -> list[TrackedFile]:
        """Keep one that something was read of. Returns those that are forgotten for it. `files`: lives that go on."""
        assert life.ended
        assert life.known_by_content
        forgotten = [self._lives.pop(life.generation)] if life.generation in self._lives else []
        self._lives[life.generation] = life
        while len(self._lives) > max(KEPT, files):
            forgotten.append(self._lives.pop(next(iter(self._lives))))
        for name in original_names(life.path):
            self._names.setdefault(name, {})[life] = None
        for other in forgotten:
            for name in original_names(other.path):
                del self._names[name][other]
                if not self._names[name]:
                    del self._names[name]
        return forgotten

    def called(self, names: Iterable[str]) -> list[TrackedFile]:
        """Those that may have had one of these names before they were rotated."""
        return list(dict.fromkeys(life for name in names for life in self._names.get(name, ())))
