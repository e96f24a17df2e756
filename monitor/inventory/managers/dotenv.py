"""`.env` files and folders of them, as deployments have them on the host itself."""

from __future__ import annotations

import asyncio
import glob
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from monitor.clients.client import ServiceError
from monitor.common.text import printable
from monitor.inventory.held import HeldSecret
from monitor.inventory.managers.base import ManagerConfig

__all__ = ["DotenvConfig", "DotenvManager", "entries", "parse"]

_LARGEST = 16 << 20  # bytes of one file; what is larger is no list of settings
_PATTERNS = (".env", ".env.*", "*.env")  # in a folder
_EXAMPLE = re.compile(r"\.(?:example|sample|template|dist|defaults)$")
_NAME = re.compile(rb"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*[=:][ \t]*")
_DOUBLE = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SINGLE = re.compile(rb"'([^']*)'|`([^`]*)`", re.DOTALL)
_PLAIN = re.compile(rb"[^\r\n]*")
_COMMENT = re.compile(rb"(?:^|(?<![ \t])[ \t]+)#.*")  # so that a run of spaces is looked at once
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_LINE = re.compile(rb"[^\n]*\n?")


EXAMPLE = """
#[[inventory]]
#name = "gateway"
#type = "dotenv"                # .env files and folders of them
#path = ["/srv/gateway/.env"]   # files, globs and folders
#environment = "production"     # default: "". What the provider says of a single secret goes before it
#owner = "platform"             # default: ""
#consumers = ["gateway"]        # default: []. Who uses these secrets
#tags = ["critical"]            # default: []
#exclude = ["PORT", "*_URL"]    # default: []. Names that are no secrets
#interval = "15m"               # between looks
#timeout = "2m"                 # for the whole of one look
"""


class DotenvConfig(ManagerConfig):
    """Reads `.env` files.

    - `path`: files, globs, or folders, of which every `.env`, `.env.*` and `*.env` is read, those below them too with
      `**`

    A name is the variable's where the entry names one file, else `PATH:VARIABLE`. Of repeats in one file the last
    counts. `.env.example` and its like (`.sample`, `.template`, `.dist`, `.defaults`) are no source of secrets: they
    are compared with the files beside them. It needs to read the files, no more.
    """

    type: Literal["dotenv"]
    path: tuple[str, ...] = Field(min_length=1)

    @field_validator("path")
    @classmethod
    def _absolute(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        folder = (info.context or {}).get("folder") or os.getcwd()
        return tuple(os.path.join(folder, os.path.expanduser(path)) for path in value)


class DotenvManager:
    """Reads the files when it is asked. A name is the variable's where the entry names one file, else PATH:VARIABLE."""

    Config: ClassVar[type[ManagerConfig]] = DotenvConfig

    def __init__(self, config: DotenvConfig) -> None:
        self.config = config

    async def held(self) -> AsyncIterator[HeldSecret]:
        files, problems = await asyncio.to_thread(self._files)
        alone = files[0] if [str(file) for file in files] == list(self.config.path) and len(files) == 1 else None
        for file in files:
            try:
                variables = await asyncio.to_thread(_read, file)
            except OSError as error:
                problems.append(_unreadable(file, error))
                continue
            for name, value in variables.items():
                yield HeldSecret(name if file == alone else f"{printable(str(file))}:{name}", value)
        if problems:
            raise ServiceError(f"inventory {self.config.name}: {'; '.join(problems)}")

    async def doctor(self) -> list[str]:
        return await asyncio.to_thread(self._faults)

    async def close(self) -> None:
        pass

    def _files(self, *, examples: bool = False) -> tuple[list[Path], list[str]]:
        """The files to read, and what is wrong with the paths. Blocking."""
        files: dict[Path, None] = {}
        problems = []
        for given in self.config.path:
            if glob.has_magic(given) and not os.path.lexists(given):
                places = sorted(glob.glob(given, recursive=True, include_hidden=True))
            else:
                places = [given] if os.path.lexists(given) else []
                if not places:
                    problems.append(f"{printable(given)}: no such file; see whether it moved, or change `path`")
            for place in map(Path, places):
                inside = place.is_dir()
                names = [path for pattern in _PATTERNS for path in sorted(place.glob(pattern))] if inside else [place]
                for path in names:
                    if path.is_file() and (bool(_EXAMPLE.search(path.name)) == examples):
                        files[path] = None
        return list(files), problems

    def _faults(self) -> list[str]:
        files, faults = self._files()
        if not files and not faults:
            faults.append("`path` names no file that there is")
        variables: dict[Path, Mapping[str, bytes]] = {}
        for file in files:
            try:
                variables[file] = _read(file)
                mode = file.stat().st_mode
            except OSError as error:
                faults.append(_unreadable(file, error))
                continue
            if mode & 0o007:
                faults.append(f"{printable(str(file))}: every user of this host can read it; chmod o= on it")
            with file.open("rb") as stream:
                faults += [
                    f"{printable(str(file))}:{number}: not NAME=value; it is passed over"
                    for number in _odd_lines(stream.read(_LARGEST))
                ]
        faults += _examples(variables)
        return faults


def _examples(variables: Mapping[Path, Mapping[str, bytes]]) -> Iterator[str]:
    """What the examples beside files give away, and what they lack."""
    for folder in sorted({file.parent for file in variables}):
        real = {name: value for file, own in variables.items() if file.parent == folder for name, value in own.items()}
        for example in sorted(path for path in folder.glob("*.*") if _EXAMPLE.search(path.name) and "env" in path.name):
            try:
                shown = _read(example)
            except OSError as error:
                yield _unreadable(example, error)
                continue
            place = printable(str(example))
            for name, value in shown.items():
                if len(value) >= 8 and value in real.values():
                    yield f"{place}: {name} has the value that is in use; replace it there, and rotate the secret"
            if missing := sorted(shown.keys() - real.keys()):
                yield f"{place} names what no file beside it sets: {', '.join(missing)}"
            if unsaid := sorted(real.keys() - shown.keys()):
                yield f"{place} does not name {', '.join(unsaid)}"


def parse(text: bytes) -> dict[str, bytes]:
    """Variable → value, as dotenv's libraries and shells read a file: `export`, quotes, escapes, values of many lines,
    comments. Of repeats the last counts."""
    return {name: value for name, value, _ in entries(text)}


def entries(text: bytes) -> Iterator[tuple[str, bytes, int]]:
    """Name, value, and where its line begins; an empty name for a line that is none."""
    at, size = 3 if text.startswith(b"\xef\xbb\xbf") else 0, len(text)
    while at < size:
        line = _LINE.match(text, at)
        assert line is not None
        bare = line[0].strip()
        name = _NAME.match(text, at) if bare and not bare.startswith(b"#") else None
        if name is None or name.end() > line.end():
            if bare and not bare.startswith(b"#"):
                yield "", b"", at
            at = line.end()
            continue
        begin, at = at, name.end()
        value, at = _value(text, at)
        yield name[1].decode(), value, begin
        rest = _LINE.match(text, at)
        at = rest.end() if rest else size


def _value(text: bytes, at: int) -> tuple[bytes, int]:
    """A value, and where it ends."""
    if quoted := _DOUBLE.match(text, at):
        return re.sub(rb"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), quoted[1], flags=re.DOTALL), quoted.end()
    if quoted := _SINGLE.match(text, at):
        return quoted[1] if quoted[1] is not None else quoted[2], quoted.end()
    plain = _PLAIN.match(text, at)
    assert plain is not None
    return _COMMENT.sub(b"", plain[0]).strip(), plain.end()


def _read(file: Path) -> dict[str, bytes]:
    """Its variables. Blocking. Raises OSError."""
    with file.open("rb") as stream:
        text = stream.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise OSError(0, f"larger than {_LARGEST} bytes, so no list of settings")
    variables = parse(text)
    variables.pop("", None)
    return variables


def _odd_lines(text: bytes) -> list[int]:
    return [text.count(b"\n", 0, at) + 1 for name, _, at in entries(text) if not name]


def _unreadable(file: Path, error: OSError) -> str:
    return f"{printable(str(file))}: {error.strerror or type(error).__name__}"
