"""What git says that commits changed: which files, and as texts the new side of each hunk, without the marks before
its lines.

    SOH commit, a line each for parents, author, e-mail and time, the message, NUL; for each file a row (`--raw`) or a
    section of a diff (`-p`)

No line of a commit, of a hunk or of a header begins as a section or a commit does: those of commits are indented, and
each of a hunk has its mark. So what is in them can fool nobody, and one search for how a line begins tells them apart.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

__all__ = ["FORMAT", "FileChange", "GitCommit", "Hunk", "changes", "parsed"]

FORMAT = "--format=tformat:%x01%H%n %P%n %an%n %ae%n %at%n%w(0,1,1)%B%w()%x00"  # a NUL before %w would end it there
_FIELDS = 5
_BOUND = re.compile(rb"\n(?=diff --(?:git|cc|combined) |\x01)")
_HUNK = re.compile(rb"\n(@@+) ([^@\n]*) @@+[^\n]*\n")  # a newline is looked for faster than where a line begins
_INDEX = re.compile(rb"^index ([0-9a-f,]+)\.\.([0-9a-f]+)(?: ([0-7]+))?$", re.MULTILINE)
_MODE = re.compile(rb"^(?:new file )?mode (?:[0-7,]+\.\.)?([0-7]{6})$", re.MULTILINE)
_BINARY = re.compile(rb"^Binary files ", re.MULTILINE)
_GONE = re.compile(rb"^deleted file mode ", re.MULTILINE)
_WRITTEN = re.compile(rb"^(?:author|tagger) ([^<\n]*?) ?<([^>\n]*)> (\d{1,12})", re.MULTILINE)
_PARENT = re.compile(rb"^parent ([0-9a-f]+)$", re.MULTILINE)
_ROW = re.compile(rb"^:+([0-7]{6}(?: [0-7]{6})+) ([0-9a-f]{40,}(?: [0-9a-f]{40,})+) [A-Z]+\t([^\n]+)$", re.MULTILINE)
_REMOVED = re.compile(rb"\n[-\\][^\n]*")
_ESCAPE = re.compile(rb"\\([abtnvfr\"\\]|[0-7]{3})")
_ESCAPES = dict(zip(b'abtnvfr"\\', b'\a\b\t\n\v\f\r"\\', strict=True))
_LINK = b"160000"  # the mode of a submodule


@dataclass(frozen=True, slots=True)
class GitCommit:
    """`author`, `email`: as the commit says; `time`: when it was written, seconds since 1970. `kind`: or an annotated
    tag, which has the same."""

    id: str
    parents: tuple[str, ...]
    author: str
    email: str
    time: int
    message: bytes = field(repr=False)
    kind: str = "commit"


@dataclass(frozen=True, slots=True)
class Hunk:
    """`line`: number in the new version of its first line, from 1; `marks`: characters before each line of `raw`."""

    line: int
    marks: int
    raw: bytes = field(repr=False)

    def text(self) -> bytes:
        """Its lines as they are in the new version."""
        body = b"\n" + self.raw
        if self.marks == 1:
            if b"\n-" in body or b"\n\\" in body:
                body = _REMOVED.sub(b"", body)
            return body.replace(b"\n ", b"\n+").replace(b"\n+", b"\n")[1:]
        return b"".join(line[self.marks :] for line in self._kept())

    def added(self) -> Iterator[int]:
        """Numbers in the new version of the lines that are in none of the old ones."""
        for number, line in enumerate(self._kept(), self.line):
            if line[: self.marks] == b"+" * self.marks:
                yield number

    def _kept(self) -> Iterator[bytes]:
        for line in self.raw.splitlines(keepends=True) if b"\r" not in self.raw else _lines(self.raw):
            if b"-" not in line[: self.marks] and not line.startswith(b"\\"):
                yield line


def _lines(raw: bytes) -> Iterator[bytes]:
    """By newlines alone, as git counts them."""
    parts = raw.split(b"\n")
    yield from (part + b"\n" for part in parts[:-1])
    if parts[-1]:
        yield parts[-1]


@dataclass(frozen=True, slots=True)
class FileChange:
    """Of one file in one commit (None: not committed). `old`, `new`: names of its contents. `opaque`: git compares it
    no lines; there are no hunks then, nor in a row. `link`: it is a submodule."""

    commit: GitCommit | None
    path: str
    old: tuple[str, ...]
    new: str
    opaque: bool
    link: bool
    hunks: tuple[Hunk, ...] = field(repr=False)


def changes(pieces: Iterable[bytes]) -> Iterator[GitCommit | FileChange]:
    """Each commit, and behind it what it changed. `pieces`: the output of git; without commits where none were asked
    for."""
    commit: GitCommit | None = None
    for section in _sections(pieces):
        if section.startswith(b"\x01"):
            head, _, rows = section.partition(b"\0")
            yield (commit := _commit(head))
            yield from _rows(rows, commit)
        elif section.startswith(b":"):
            yield from _rows(section, commit)
        elif section.startswith(b"diff --"):
            change = _change(section, commit)
            if change is not None:
                yield change


def _sections(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        before = max(0, len(rest) - 64)  # where no beginning was, there is none now, but for one that was cut
        data = rest + piece
        start = 0
        for bound in _BOUND.finditer(data, before):
            yield data[start : bound.end()]
            start = bound.end()
        rest = data[start:]
    if rest:
        yield rest


def _commit(head: bytes) -> GitCommit:
    *fields, message = head.replace(b"\n ", b"\n").split(b"\n", _FIELDS)
    id_, parents, author, email, time = (field.decode("utf-8", "replace") for field in fields)
    when = int(time) if time.lstrip("-").isdecimal() else 0
    return GitCommit(id_[1:], tuple(parents.split()), author, email, when, message)


def parsed(name: str, kind: str, text: bytes) -> GitCommit:
    """A commit, or an annotated tag, of its object."""
    head, _, message = text.partition(b"\n\n")
    found = _WRITTEN.search(head)
    author, email, time = (part.decode("utf-8", "replace") for part in found.groups()) if found else ("", "", "0")
    parents = tuple(parent.decode() for parent in _PARENT.findall(head))
    return GitCommit(name, parents, author, email, int(time), message, kind)


def _rows(rows: bytes, commit: GitCommit | None) -> Iterator[FileChange]:
    for modes, names, path in _ROW.findall(rows):
        *old, new = names.decode().split(" ")
        if new.strip("0") and new not in old:  # not deleted, and not of its mode alone
            yield FileChange(commit, _name(path), tuple(old), new, False, modes.endswith(_LINK), ())


def _change(section: bytes, commit: GitCommit | None) -> FileChange | None:
    """None: nothing of it is new."""
    first = _HUNK.search(section)
    head = section if first is None else section[: first.start() + 1]
    index = _INDEX.search(head)
    if index is None or _GONE.search(head):  # of its mode alone; deleted
        return None
    mode = index[3] or (found[1] if (found := _MODE.search(head)) else b"")
    return FileChange(
        commit,
        _path(head[: head.index(b"\n")]),
        tuple(index[1].decode().split(",")),
        index[2].decode(),
        _BINARY.search(head) is not None,
        mode == _LINK,
        tuple(_hunks(section, first)) if first is not None else (),
    )


def _hunks(section: bytes, first: re.Match[bytes]) -> Iterator[Hunk]:
    here: re.Match[bytes] | None = first
    while here is not None:
        after = _HUNK.search(section, here.end() - 1)
        line = here[2].rpartition(b"+")[2].partition(b",")[0]
        yield Hunk(int(line), len(here[1]) - 1, section[here.end() : after.start() + 1 if after else len(section)])
        here = after


def _path(line: bytes) -> str:
    """Of `diff --git a/x b/x`, whose names are the same, or `diff --cc x`."""
    kind, _, names = line.removeprefix(b"diff --").partition(b" ")
    if kind == b"git":
        name = names[: _quoted_end(names)] if names.startswith(b'"') else names[: len(names) // 2]
        prefix = 2
    else:
        name, prefix = names, 0
    return _name(name, prefix)


def _name(name: bytes, prefix: int = 0) -> str:
    """`prefix`: characters that stand before it."""
    if name.startswith(b'"'):
        name = _ESCAPE.sub(_unescaped, name[1:-1])
    return os.fsdecode(name[prefix:])


def _quoted_end(names: bytes) -> int:
    found = re.match(rb'"(?:[^"\\]|\\.)*"', names)
    return found.end() if found else len(names)


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    return bytes([int(code, 8) & 0xFF if len(code) == 3 else _ESCAPES[code[0]]])
