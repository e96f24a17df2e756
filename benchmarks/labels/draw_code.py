"""Draw the places of code, configuration and documentation that people label, from the listed origins.

python -m benchmarks.labels.draw_code FOLDER

SEED, the origins and the shape of the values decide what is drawn, and nothing else does. Written into FOLDER are
`drawn.jsonl`, records with empty labels, and `batches/`, the texts to read beside them, in which lines are cut at 400
characters, for reading only. Of a package's members at most `A_ROOM` of each room are read, by chance. A record's `weight` says how many places of the population it stands for.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import heapq
import io
import json
import lzma
import sys
import tarfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.labels.draw import sealed
from benchmarks.labels.fetch import CACHE, HERE, archive, origins
from benchmarks.labels.places import ROOMS, STRATA, language, places, room, stratum

__all__ = ["Population", "digest", "labelled", "lines_of", "main", "members", "sample"]

SEED = "code, 30 November 2026"
QUOTAS = dict(zip(STRATA, (210, 90, 210, 270, 420, 330, 480, 330, 90, 45), strict=True))  # a third from each room
A_ROOM = 120  # members
A_PACKAGE, A_FILE = 40, 4  # places
WHOLE_FILES, WHOLE_A_PACKAGE, WHOLE_LINES = 60, 2, range(30, 301)
LARGEST = 300_000  # bytes of a member: what is larger was generated
BATCH, WHOLE_BATCH = 450, 15
CUT, AROUND = 400, 3
UNPACK = {b"\x1f\x8b": gzip.decompress, b"BZ": bz2.decompress, b"\xfd7": lzma.decompress}

Stratum = tuple[str, str]  # by the characters of the value, and the room its member lies in


@dataclass(frozen=True, order=True)
class Place:
    rank: str  # decides the order of drawing
    package: str
    path: str
    line: int  # from 1 on; 0 stands for the whole member
    start: int
    end: int


@dataclass
class Population:
    """How many places each stratum has in each package, and those of them that are drawn first."""

    counts: dict[Stratum, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    first: dict[tuple[Stratum, str], list[tuple[int, Place]]] = field(default_factory=lambda: defaultdict(list))
    shares: dict[tuple[str, str], float] = field(default_factory=dict)  # members there are to one that is read
    whole: list[Place] = field(default_factory=list)

    def add(self, package: str, path: str, lines: list[str], share: float = 1.0) -> None:
        """A member that is read."""
        tongue, where = language(path), room(path)
        self.shares[package, where] = share
        if where != "program" and len(lines) in WHOLE_LINES:
            self.whole.append(Place(_rank(package, path), package, path, 0, 0, len(lines)))
        for number, line in enumerate(lines, 1):
            for start, end in places(line, tongue):
                kind = (stratum(line[start:end]), where)
                self.counts[kind][package] += 1
                place = Place(_rank(package, path, number, start), package, path, number, start, end)
                first = self.first[kind, package]
                item = (-int(place.rank, 16), place)
                (heapq.heappush if len(first) < A_PACKAGE else heapq.heappushpop)(first, item)

    def drawn(self) -> Iterator[tuple[Place, Stratum, float]]:
        """Each place drawn, its stratum and its weight: packages give one place in turn."""
        taken, lines, files = Counter[str](), set[tuple[str, str, int]](), Counter[tuple[str, str]]()
        for kind in sorted(self.counts, key=lambda kind: (QUOTAS[kind[0]], kind)):
            quota, counts = QUOTAS[kind[0]] // len(ROOMS), self.counts[kind]
            queues = {package: sorted(place for _, place in self.first[kind, package]) for package in counts}
            turn = sorted(queues, key=lambda package: _rank(*kind, package))
            given: list[Place] = []
            while len(given) < quota and any(queues.values()):
                for package in turn:
                    while queues[package] and len(given) < quota:
                        place = queues[package].pop(0)
                        where = (package, place.path, place.line)
                        if taken[package] < A_PACKAGE and files[where[:2]] < A_FILE and where not in lines:
                            taken[package], files[where[:2]] = taken[package] + 1, files[where[:2]] + 1
                            lines.add(where)
                            given.append(place)
                            break
                turn = [package for package in turn if queues[package]]
            each = Counter(place.package for place in given)
            packages = len(counts) / max(len(each), 1)
            for place in given:
                share = self.shares[place.package, kind[1]]
                yield place, kind, packages * share * counts[place.package] / each[place.package]

    def files(self) -> Iterator[tuple[Place, float]]:
        """The members of which every line is labelled, and their weight: half are settings, half examples."""
        taken = Counter[str]()
        for where in ROOMS[:2]:
            there = [place for place in sorted(self.whole) if room(place.path) == where]
            given: list[Place] = []
            for place in there:
                if len(given) < WHOLE_FILES // 2 and taken[place.package] < WHOLE_A_PACKAGE:
                    taken[place.package] += 1
                    given.append(place)
            stands = sum(self.shares[place.package, where] for place in there)
            yield from ((place, stands / len(given)) for place in given)


def members(data: bytes) -> list[tuple[str, int, Callable[[], bytes]]]:
    """The files of an archive as (path, size, how to read it): below its top folder, in a wheel below the root."""
    if data.startswith(b"PK"):
        wheel = zipfile.ZipFile(io.BytesIO(data))
        return [(info.filename, info.file_size, partial(wheel.read, info)) for info in wheel.infolist()]
    plain = next((unpack for magic, unpack in UNPACK.items() if data.startswith(magic)), bytes)(data)
    tar = tarfile.TarFile(fileobj=io.BytesIO(plain))  # open for as long as its members may be read
    named = [(one.name.removeprefix("./").partition("/")[2], one) for one in tar.getmembers() if one.isfile()]
    return [(path, one.size, partial(_read, tar, one)) for path, one in named if path]


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""


def sample(package: str, data: bytes) -> Iterator[tuple[str, bytes, float]]:
    """The members of a package that are read, and how many there are to one that is."""
    rooms: dict[str, list[tuple[str, str]]] = {where: [] for where in ROOMS}
    found = {path: (size, read) for path, size, read in members(data)}
    for path, (size, _) in found.items():
        if size <= LARGEST and language(path):
            rooms[room(path)].append((_rank(package, path), path))
    chosen = {path: len(all_) / min(len(all_), A_ROOM) for all_ in rooms.values() for _, path in sorted(all_)[:A_ROOM]}
    for path in found:
        if path in chosen:
            yield path, found[path][1](), chosen[path]


def _rank(*parts: object) -> str:
    return hashlib.blake2b("\0".join(map(str, (SEED, *parts))).encode(), digest_size=12).hexdigest()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def lines_of(data: bytes) -> list[str]:
    """The lines of a text, without their ends; none of what is no text of people."""
    if len(data) > LARGEST or b"\0" in data:
        return []
    try:
        return [line.removesuffix("\r") for line in data.decode().removesuffix("\n").split("\n")]
    except UnicodeDecodeError:
        return []


def said(text: list[str], line: int) -> str:
    """What a place says: its line, or all lines for a whole member."""
    return text[line - 1] if line else "\n".join(text)


def record(number: int, place: Place, text: list[str]) -> dict[str, Any]:
    """A drawn place as it is committed once it is labelled: where it stands, no text."""
    whole = place.line == 0
    return {
        "number": number,
        "origin": place.package,
        "path": place.path,
        "line": place.line,
        "sha256": digest(said(text, place.line).encode())[:16],
        "product": place.package,
        "sealed": sealed(place.package),
        "language": language(place.path),
        "room": room(place.path),
        **({"whole": True, "lines": len(text)} if whole else {"value": [place.start, place.end]}),
    }


def block(number: int, place: Place, kind: str, text: list[str]) -> str:
    """A place and what stands around it, for reading."""
    head = f"#{number} {kind} {place.package}:{place.path}:{place.line}"
    if place.line == 0:
        return "\n".join([head, *(f"{n:4} {line[:CUT]}" for n, line in enumerate(text, 1)), ""])
    shown = range(max(place.line - AROUND, 1), min(place.line + AROUND, len(text)) + 1)
    rows = [f"{'>' if n == place.line else ' '} {_cut(text[n - 1], place if n == place.line else None)}" for n in shown]
    return "\n".join(
        [f"{head} value=[{place.start},{place.end}] {text[place.line - 1][place.start : place.end]}", *rows, ""]
    )


def _cut(line: str, place: Place | None) -> str:
    """At most CUT characters of a line, those of the place among them."""
    start = max(0, place.end - CUT + 100) if place is not None and place.end > CUT else 0
    return ("…" if start else "") + line[start : start + CUT]


def labelled(folder: Path = HERE, cache: Path = CACHE) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Each labelled place with the lines of its file; ValueError where its text is not what was labelled."""
    wanted: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in (folder / "labels-code.jsonl").read_text("utf-8").splitlines():
        label = json.loads(row)
        wanted[label["origin"]].append(label)
    for origin in origins("code", folder):
        mine = wanted[origin["origin"]]
        paths = {label["path"] for label in mine}
        found = members(archive(origin, cache)) if paths else ()
        read = {path: lines_of(data()) for path, _, data in found if path in paths}
        for label in mine:
            text = said(read[label["path"]], label["line"])
            if digest(text.encode())[:16] != label["sha256"]:
                raise ValueError(f"{label['origin']}:{label['path']}:{label['line']}: not the text that was labelled")
            yield label, read[label["path"]]


def main(folder: Path) -> None:
    """Write the records and the texts to read, and say how many of them there are."""
    population = Population()
    read: dict[tuple[str, str], list[str]] = {}
    for origin in origins("code"):
        for path, data, share in sample(origin["origin"], archive(origin)):
            text = read[origin["origin"], path] = lines_of(data)
            population.add(origin["origin"], path, text, share)
    drawn = sorted(population.drawn(), key=lambda one: _rank("order", one[0].rank))  # strata and packages mixed
    chosen: list[tuple[Place, str, float]] = [(place, kind[0], weight) for place, kind, weight in drawn]
    chosen += [(place, "whole", weight) for place, weight in population.files()]
    write(folder, chosen, read)
    for kind, counts in sorted(population.counts.items()):
        count = sum(one == kind for _, one, _ in drawn)
        weight = sum(weight for _, one, weight in drawn if one == kind)
        print(f"{kind[0]:9} {kind[1]:9} {counts.total():9,} {weight:12,.0f} {count:5}")
    for named in (language(place.path) for place, *_ in drawn), (place.package for place, *_ in drawn):
        print((found := Counter(named)).most_common(), len(found))


def write(folder: Path, chosen: list[tuple[Place, str, float]], read: dict[tuple[str, str], list[str]]) -> None:
    """The records, and the texts for reading, with the same numbers from 1."""
    records, blocks = [], []
    for number, (place, kind, weight) in enumerate(chosen, 1):
        text = read[place.package, place.path]
        records.append(record(number, place, text) | {"stratum": kind, "weight": round(weight, 1), "labels": []})
        blocks.append(block(number, place, kind, text))
    single = sum(place.line > 0 for place, *_ in chosen)
    starts = [*range(0, single, BATCH), *range(single, len(blocks), WHOLE_BATCH), len(blocks)]
    (folder / "batches").mkdir(parents=True, exist_ok=True)
    (folder / "drawn.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in records), "utf-8")
    for number, (start, end) in enumerate(pairwise(starts), 1):
        (folder / "batches" / f"{number:02}.txt").write_text("\n".join(blocks[start:end]), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
