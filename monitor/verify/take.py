"""Takes a secret again from the log that it was found in, as it is kept nowhere: it is known by its fingerprint."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from detectors.fingerprint import fingerprint, normalise
from detectors.match.engine import Match
from monitor.common.files import open_archive, opened
from monitor.common.notification import Location
from monitor.domain.incidents import Incident

__all__ = ["Taken", "find", "plain", "take"]

_BEFORE, _AFTER = 64 << 10, 256 << 10  # bytes around the place
_PIECE, _OVERLAP = 1 << 20, 64 << 10
_MOST = 64 << 20  # bytes that are searched where it is not at its place any more
_PLACES = 10  # the newest
_NEAR, _LINES = 1024, 3  # bytes, and lines with its own, before and behind it that are looked at, too
_SIBLINGS = 20  # rotated files of one log


class BlockScanner(Protocol):
    """What scans: `detectors.match.engine.Worker`."""

    def scan(self, data: bytes, fresh: int = 0, limit: int | None = None) -> Sequence[Match]: ...


@dataclass(frozen=True, slots=True)
class Taken:
    """A secret in the open: for one request, and then gone. `labels`: public facts that stood beside it; `around`:
    the lines that it stood in."""

    value: str = field(repr=False)
    rule: str
    labels: Mapping[str, str]
    around: str = field(default="", repr=False)


def take(worker: BlockScanner, key: bytes, incident: Incident, *, node: str, sources: Iterable[str]) -> Taken | None:
    """The value of an incident, from the files of `sources` (those that read files) on this host; None: it lies in
    none of them any more. Blocking.
    """
    readable = set(sources)
    places = [
        place
        for place in incident.locations
        if place.source in readable and place.host in (None, node) and os.path.isabs(place.path)
    ][:_PLACES]
    for data in _pieces(places):
        if (found := find(worker, key, incident.fingerprint, data)) is not None:
            return found
    return None


def find(worker: BlockScanner, key: bytes, wanted: str, data: bytes) -> Taken | None:
    """The secret with this fingerprint in a text, by the rules. Blocking."""
    for match in worker.scan(data):
        if fingerprint(key, match.secret) == wanted:
            return Taken(plain(match.secret), match.rule.id, dict(match.labels), _around(data, match))
    return None


def _around(data: bytes, match: Match) -> str:
    """Its line and its neighbours, which may say whose server it is of."""
    before = data[max(0, match.start - _NEAR) : match.start].split(b"\n")[-_LINES:]
    after = data[match.start : match.end + _NEAR].split(b"\n")[:_LINES]
    return b"\n".join([*before[:-1], before[-1] + after[0], *after[1:]]).decode("utf-8", "replace")


def plain(secret: bytes) -> str:
    """As its issuer takes it: free of how it was written, but a PEM with its lines."""
    return (secret if b"-----BEGIN" in secret else normalise(secret)).decode("utf-8", "replace")


def _pieces(places: Sequence[Location]) -> Iterator[bytes]:
    """What to look into: the very places first, also in files that were rotated since; then whole files."""
    for place in places:
        for path in _names(place.path):
            offset = place.offset or 0
            if data := _read(path, max(0, offset - _BEFORE), _BEFORE + _AFTER):
                yield data
    left = _MOST
    for path in dict.fromkeys(name for place in places for name in _names(place.path)):
        at = 0
        while left > 0 and (data := _read(path, at, _PIECE + _OVERLAP)):
            yield data
            left -= _PIECE
            at += _PIECE


def _names(path: str) -> list[str]:
    """The file, and what a rotation may have made of it, newest first."""
    others = [name for name in glob.glob(f"{glob.escape(path)}[.-]*") if os.path.isfile(name)]
    return [path, *sorted(others, key=_age)[:_SIBLINGS]]


def _age(path: str) -> float:
    try:
        return -os.stat(path).st_mtime
    except OSError:
        return 0.0


def _read(path: str, offset: int, size: int) -> bytes:
    """Some of a regular file, or of what is packed in it; empty where there is none."""
    try:
        packed = open_archive(path)
        if packed is not None:
            with packed:
                while offset and (piece := packed.read(min(offset, _PIECE))):
                    offset -= len(piece)
                return packed.read(size)
        with opened(path) as descriptor:
            return os.pread(descriptor, size, offset) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except (OSError, EOFError, ValueError):
        return b""
    except Exception:  # noqa: BLE001 - a damaged archive: each of four libraries has errors of its own
        return b""
