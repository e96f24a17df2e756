"""Fetch the archives that a population names, check them, and rebuild its texts and their places.

python -m benchmarks.labels.fetch KIND…   the archives of `origins-KIND.jsonl` into the cache, and their sizes

No text of others lies here, only where it is found. Archives come through the machine's own settings of pip, apt and
npm, and none of their code is run. An origin is one archive and its members:

    {"origin": "lnav", "registry": "debian", "name": "lnav", "version": "0.12.4-1", "file": "lnav_0.12.4.orig.tar.xz",
     "sha256": "…", "members": [{"glob": "test/logfile_haproxy.0", "product": "haproxy"}]}

A member has a `glob` (of paths below the archive's top folder; packed files are unpacked, a tar inside is opened:
`history.tar.bz2!ha/*.log`), a `product` (`*`: its file's name, without `_log` and endings) and where they are needed
`tag` (a regex whose first group is the product of a text it finds), `prefix` (only lines that it matches are places,
their text what follows it), `start` (a place is a line that it finds and those before the next), `separator` (of lines)
and `bulk` (a whole real file, to count false pages in). Of the registry `loghub` are the
samples of 2,000 lines of LogHub, which are fetched by hand: into the folder that $LOGHUB names, or loghub/ of the cache.
An origin of the registry `git` is one file of a repository at a `commit`, lines of which are labelled; it is looked
for below the folder that $REPOSITORIES names, or repositories/ of the cache, as OWNER/NAME/PATH. `population-events.jsonl`
has the packages those files were drawn from, in the order of drawing; `population-committed.jsonl` the names of logs
that people commit with their work, and how of those that a public index lists some were drawn.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any

__all__ = ["CACHE", "HERE", "Place", "archive", "checked_out", "labelled", "origins", "places", "texts"]

HERE = Path(__file__).parent
CACHE = HERE / "cache"
MOST = 40  # lines of a place of several lines; what follows them is no place
UNPACK = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}


@dataclass(frozen=True, slots=True)
class Place:
    """A line, or the lines of one event: `text` is them joined, without the end of the last line."""

    origin: str
    path: str
    line: int  # from 1
    lines: int
    product: str
    text: str
    sha256: str  # of the text's bytes, its first 16 digits


def origins(kind: str, folder: Path = HERE) -> list[dict[str, Any]]:
    """The archives of a population, one a line of its file."""
    return [json.loads(line) for line in (folder / f"origins-{kind}.jsonl").read_text("utf-8").splitlines()]


def archive(origin: dict[str, Any], cache: Path = CACHE) -> bytes:
    """An origin's archive, from the cache or its registry; ValueError where it is not the one that was named."""
    path = cache / "archives" / origin["file"]
    if origin["registry"] == "loghub":
        path = Path(os.environ.get("LOGHUB", cache / "loghub")) / Path(origin["file"]).name
        if not path.is_file():
            raise ValueError(f"{path}: a sample of LogHub, to be put there; or name its folder with LOGHUB=…")
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        {"pypi": _pypi, "debian": _debian, "npm": _npm}[origin["registry"]](origin, path.parent)
    data = path.read_bytes()
    if (digest := hashlib.sha256(data).hexdigest()) != origin["sha256"]:
        raise ValueError(f"{path}: its sha256 is {digest}, not {origin['sha256']} as its origin says; delete it")
    return data


def _pypi(origin: dict[str, Any], folder: Path) -> None:
    """A file of the index, with pip's settings and session: `pip download` would run a source archive's code."""
    if origin["file"].endswith(".whl"):
        asked = [
            "--no-deps",
            "--only-binary=:all:",
            "--ignore-requires-python",
            f"{origin['name']}=={origin['version']}",
        ]
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "-d", str(folder), *asked], check=True)
        return
    from pip._internal.commands import create_command

    command: Any = create_command("index")
    options, _ = command.parse_args(["versions", origin["name"]])
    with command.main_context():
        session = command._build_session(options)
        finder = command._build_package_finder(options, session, ignore_requires_python=True)
        links = {found.link.filename: found.link for found in finder.find_all_candidates(origin["name"])}
        if (link := links.get(origin["file"])) is None:
            raise ValueError(f"{origin['origin']}: pip's index has no {origin['file']}")
        response = session.get(link.url_without_fragment, headers={"Accept-Encoding": "identity"})
        response.raise_for_status()
        (folder / origin["file"]).write_bytes(response.content)


def _debian(origin: dict[str, Any], folder: Path) -> None:
    """The upstream archive of a source package: apt's own sources, read as ones of source packages."""
    state = (folder.parent / "apt").resolve()
    lists = {"Dir::State::lists": "lists", "Dir::Etc::sourceparts": "parts", "Dir::Cache": "cache"}
    apt = ["apt-get", "-qq", "-o", "Dir::Etc::sourcelist=/dev/null", "-o", "APT::Sandbox::User=root"]
    apt += [part for key, name in lists.items() for part in ("-o", f"{key}={state}/{name}")]
    if not (state / "parts").is_dir():
        for name in ("lists/partial", "cache/archives/partial", "parts"):
            (state / name).mkdir(parents=True)
        for path in Path("/etc/apt/sources.list.d").glob("*.sources"):
            listed = [part for part in path.read_text().split("\n\n") if "URIs: file:" not in part]
            (state / "parts" / path.name).write_text(re.sub(r"(?m)^Types:.*", "Types: deb-src", "\n\n".join(listed)))
        subprocess.run([*apt, "update"], check=True)
    wanted = ["source", "--download-only", "--tar-only", f"{origin['name']}={origin['version']}"]
    subprocess.run([*apt, *wanted], check=True, cwd=folder)


def _npm(origin: dict[str, Any], folder: Path) -> None:
    command = ["npm", "pack", "--ignore-scripts", "--silent", "--pack-destination", str(folder)]
    subprocess.run([*command, f"{origin['name']}@{origin['version']}"], check=True, stdout=subprocess.DEVNULL)


def _files(data: bytes) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The files of a tar by their path below its top folder, to be read before the next is asked for."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            path = member.name.removeprefix("./").partition("/")[2]
            if member.isfile() and path and (file := tar.extractfile(member)):
                yield path, file.read


def _contents(origin: dict[str, Any], data: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of an archive that a member names, unpacked; a sample of LogHub is its own."""
    if origin["registry"] == "loghub":
        yield origin["file"], data
        return
    globs = [member["glob"].partition("!") for member in origin["members"]]
    for path, read in _files(data):
        inside = [glob for outer, mark, glob in globs if mark and fnmatchcase(path, outer)]
        if inside:
            found = ((name, file()) for name, file in _files(read()) if any(fnmatchcase(name, glob) for glob in inside))
            yield from ((f"{path}!{name}", text) for name, text in found)
        elif any(fnmatchcase(path, glob) for glob, mark, _ in globs if not mark):
            yield path, UNPACK.get(Path(path).suffix, bytes)(read())


def checked_out(origin: dict[str, Any], cache: Path = CACHE) -> tuple[dict[str, Any], str, Path]:
    """The one file of a repository that an origin names; ValueError where it is not there."""
    (member,) = origin["members"]
    path = member["glob"]
    file = Path(os.environ.get("REPOSITORIES", cache / "repositories"), origin["origin"], path)
    if not file.is_file():
        shown = f"git show {origin['commit']}:{path}"
        raise ValueError(
            f"{file}: not there; put in it what `{shown}` says in {origin['origin']}, or set REPOSITORIES=…"
        )
    return member, path, file


def texts(origin: dict[str, Any], cache: Path = CACHE) -> Iterator[tuple[dict[str, Any], str, Path]]:
    """Each text of an origin as (the first member that names it, path in the archive, file in the cache)."""
    if origin["registry"] == "git":
        yield checked_out(origin, cache)
        return
    globs = hashlib.sha256(repr([member["glob"] for member in origin["members"]]).encode()).hexdigest()[:8]
    root = cache / "texts" / f"{origin['sha256'][:16]}-{globs}"
    if not (whole := root.with_suffix(".whole")).exists():
        for path, data in _contents(origin, archive(origin, cache)):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
        whole.touch()
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        path = file.relative_to(root).as_posix()
        yield next(each for each in origin["members"] if fnmatchcase(path, each["glob"])), path, file


def places(kind: str, cache: Path = CACHE, folder: Path = HERE) -> Iterator[Place]:
    """Every place of a population, in the order of its origins, paths and lines; blank lines are none."""
    for origin in origins(kind, folder):
        for member, path, file in texts(origin, cache):
            named = member["product"].replace("*", file.name.partition(".")[0].removesuffix("_log"))
            for line, lines, data in _parts(member, file.read_bytes()):
                text = data.decode("utf-8", "replace")
                tag = re.search(member["tag"], text) if "tag" in member else None
                product = tag[1].lower() if tag else named
                yield Place(origin["origin"], path, line, lines, product, text, hashlib.sha256(data).hexdigest()[:16])


def _parts(member: dict[str, Any], data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The places of a text as (line, lines, bytes)."""
    separator, prefix = member.get("separator", "\n").encode(), re.compile(member.get("prefix", "").encode())
    rows = [row.removesuffix(b"\r") for row in data.split(separator)]
    if "start" in member:
        at = [number for number, row in enumerate(rows) if re.search(member["start"].encode(), row)]
        for first, after in pairwise([*at, len(rows)]):
            part = rows[first : min(after, first + MOST)]
            yield first + 1, len(part), separator.join(part)
        return
    for number, row in enumerate(rows, 1):
        if (found := prefix.match(row)) and row[found.end() :].strip():
            yield number, 1, row[found.end() :]


def labelled(kind: str, cache: Path = CACHE, folder: Path = HERE) -> Iterator[tuple[dict[str, Any], str]]:
    """Each labelled place with its text; ValueError where that is not the text that was labelled."""
    # By their text: numbers of lines that a person counted in a long file may be a few off.
    known = {(place.origin, place.path, place.sha256): place for place in places(kind, cache, folder)}
    for row in (folder / f"labels-{kind}.jsonl").read_text("utf-8").splitlines():
        label = json.loads(row)
        place = known.get((label["origin"], label["path"], label["sha256"]))
        if place is None:
            raise ValueError(f"{label['origin']}:{label['path']}:{label['line']}: not the text that was labelled")
        yield label, place.text


def main(kinds: list[str]) -> None:
    for origin in (origin for kind in kinds for origin in origins(kind)):
        found = [(file.stat().st_size, member.get("bulk", False)) for member, _, file in texts(origin)]
        size, bulk = sum(each for each, _ in found), sum(each for each, is_bulk in found if is_bulk)
        print(f"{origin['origin']}: {len(found)} files, {size / 1e6:.1f} MB, {bulk / 1e6:.1f} MB of them bulk")


if __name__ == "__main__":
    main(sys.argv[1:])
