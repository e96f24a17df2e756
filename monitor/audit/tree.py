"""One folder that is audited: what lies in it, what of it is code, and what the rules find there. Each read once."""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from detectors.match.engine import Engine
from monitor.audit.formats import UnreadError
from monitor.clients.git import Git, GitError
from monitor.common.archive import HEAD, ArchiveBudget, ArchiveError, kind, leaves
from monitor.domain.model import Finding
from monitor.scan.run import scan
from monitor.scan.search import ScanOptions
from monitor.scan.walk import FileEntry, walk

__all__ = ["DOTENV", "EXAMPLE", "Scanned", "Tree", "is_image"]

LARGEST = 1 << 20  # bytes of a file that is read as text
_UNPACKED = 1 << 30  # bytes of an archive in the tree
EXAMPLE = re.compile(r"(?i)(?:^|[.-])(?:example|sample|template|dist|defaults?|schema)(?:$|[.-])")
DOTENV = re.compile(r"(?i)^(?:[\w-]+)?\.env(?:\.[\w.-]+)?$|^\.envrc$")
_FIRST = re.compile(r"^(?:blobs/|(?:sha256:)?[0-9a-f]{64}|manifest\.json$|oci-layout$|index\.json$|repositories$)")
_IMAGE_NAME = re.compile(r"(?i)\.(?:tar|tar\.gz|tgz|oci|tar\.zst)$")


def is_image(path: Path) -> bool:
    """Whether an archive starts as images do."""
    try:
        with path.open("rb") as file:
            members = leaves("", file, ArchiveBudget(64 << 20), lambda name, why: None)
            return any(_FIRST.match(name.removeprefix("!")) for name, _ in itertools.islice(members, 8))
    except (OSError, ArchiveError):
        return False


@dataclass(slots=True)
class Scanned:
    """`findings` of the rules by relative path, without what comments silence; `problems`: path, what was not read."""

    findings: dict[str, list[Finding]] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    silenced: int = 0
    files: int = 0


class Tree:
    """`root` is a folder, or a single file. Paths in it are relative to `base`."""

    def __init__(self, root: Path, engine: Engine, key: bytes, threads: int) -> None:
        self.root = root
        self.base = root if root.is_dir() else root.parent
        self.problems: list[tuple[str, str]] = []  # relative path, why it could not be looked at
        self._links: list[str] = []
        self.engine, self.key, self.threads = engine, key, threads
        self._prefix = f"{str(self.base).rstrip('/')}/"

    @property
    def git(self) -> Git:
        """The repository. Raises GitError where there is none."""
        if isinstance(self._git, GitError):
            raise self._git
        return self._git

    @cached_property
    def _git(self) -> Git | GitError:
        if not self.root.is_dir():
            return GitError("a file of its own, not a folder of a repository")
        try:
            return Git(self.root)
        except GitError as error:
            return error

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Every ordinary file, ignored or not, with its size; links are not followed."""
        entries = walk(
            [str(self.root)],
            lambda path, why: self.problems.append((self.relative(path), why)),
            linked=lambda path: self._links.append(self.relative(path)),
        )
        return {self.relative(entry.path): entry.size for entry in entries if entry.size is not None}

    @cached_property
    def code(self) -> list[str]:
        """What is, or may become, part of the repository: tracked or not ignored by it. Without one all but .env."""
        if isinstance(self._git, GitError):
            return [name for name in self.sizes if name not in self.packed and not self.is_environment(name)]
        listed = self._listed(self._git)
        for name in listed:
            if name in self.sizes:
                continue
            try:
                info = (self.base / name).lstat()
            except OSError:
                continue  # tracked, and deleted here
            if stat.S_ISDIR(info.st_mode):
                self.problems.append((name, "a repository of its own inside this one; audit it by itself"))
        return [name for name in listed if name in self.sizes and name not in self.packed]

    def _listed(self, git: Git) -> list[str]:
        # Only .gitignore says what is no code: .git/info/exclude is nobody else's, and may say anything.
        try:
            tracked = git.names("ls-files", "-z", "--cached")
            others = git.names("ls-files", "-z", "--others", "--exclude-per-directory=.gitignore")
        except GitError as error:
            self.problems.append((".", f"git does not list its files: {error}"))
            return list(self.sizes)
        return sorted({name.rstrip("/") for name in (*tracked, *others)})

    @cached_property
    def tracked(self) -> list[str]:
        """What git tracks, also where it is gone. Raises GitError."""
        return self.git.names("ls-files", "-z", "--cached")

    @cached_property
    def environment(self) -> list[str]:
        """The .env files, whether ignored or not; not their examples, nor those of packages that were installed."""
        return [name for name in self.sizes if self.is_environment(name) and "node_modules/" not in name]

    @property
    def linked_environment(self) -> list[str]:
        """Links of such names to what is not looked at by a name of its own."""
        known = {os.path.realpath(self.base / name) for name in self.environment}
        links = (name for name in self._links if self.is_environment(name) and "node_modules/" not in name)
        return [name for name in links if os.path.realpath(self.base / name) not in known]

    @cached_property
    def examples(self) -> list[str]:
        """What stands for a .env: .env.example and its like."""
        lasts = ((name, name.rpartition("/")[2]) for name in self.code)
        like = re.compile(r"(?i)env[._-]\w+|\w+[._-]env")
        return [name for name, last in lasts if EXAMPLE.search(last) and (DOTENV.match(last) or like.fullmatch(last))]

    @staticmethod
    def is_environment(name: str) -> bool:
        last = name.rpartition("/")[2]
        return bool(DOTENV.match(last)) and not EXAMPLE.search(last)

    @cached_property
    def images(self) -> list[str]:
        """Archives of container images, and folders of one as they are (OCI layouts)."""
        archives = [name for name in self.sizes if self._archive(name) and self._holds_image(name)]
        return [*(name.rpartition("/")[0] or "." for name in self._layouts), *archives]

    @property
    def is_image(self) -> bool:
        """The whole of it is one image."""
        return "." in self.images or (self.root.is_file() and bool(self.images))

    @cached_property
    def packed(self) -> frozenset[str]:
        """The files that images consist of, which are looked at as images."""
        folders = tuple(f"{name.removesuffix('oci-layout')}blobs/" for name in self._layouts)
        return frozenset([*self.images, *(name for name in self.sizes if folders and name.startswith(folders))])

    @cached_property
    def _layouts(self) -> list[str]:
        return [name for name in self.sizes if name.rpartition("/")[2] == "oci-layout"]

    def _archive(self, name: str) -> bool:
        return bool(_IMAGE_NAME.search(name)) or (self.root.is_file() and name == self.root.name)

    def _holds_image(self, name: str) -> bool:
        try:
            with open(self.base / name, "rb", buffering=0) as file:
                return kind(file.read(HEAD)) is not None and is_image(self.base / name)
        except OSError:
            return False  # told where it is scanned

    @cached_property
    def scanned(self) -> Scanned:
        """What the rules find in code and .env files, but for keys that are public by design."""
        names = dict.fromkeys([*self.code, *self.environment, *self.examples])
        out = Scanned()
        entries = (FileEntry(str(self.base / name), self.sizes[name]) for name in names)
        options = ScanOptions(self.key, max_unpacked=_UNPACKED)
        for outcome in scan(entries, self.engine, options, self.threads):
            out.files += outcome.files
            out.problems += [(self.relative(path), why) for path, why in outcome.problems]
            for hit in outcome.hits:
                finding = hit.finding
                if hit.suppressed:
                    out.silenced += 1
                elif finding.severity != "info" and hit.rule.labels.get("public") is None:
                    out.findings.setdefault(self.relative(finding.path), []).append(finding)
        return out

    def text(self, name: str) -> str:
        """A file as text. Raises UnreadError, also where it is larger than what people write."""
        try:
            with self.open(name) as file:
                data = file.read(LARGEST + 1)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise UnreadError(getattr(error, "strerror", None) or "cannot be read") from None
        if len(data) > LARGEST:
            raise UnreadError(f"larger than {LARGEST >> 20} MiB, so not read as text")
        return data.decode("utf-8", "replace")

    def open(self, name: str) -> BinaryIO:
        """A file's bytes; no link is followed, and no pipe waited for. Raises OSError, and ValueError for a NUL."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return open(os.open(self.base / name, flags), "rb")

    def relative(self, path: str) -> str:
        return path.removeprefix(self._prefix)

    def named(self, pattern: re.Pattern[str], names: Iterable[str] | None = None) -> list[str]:
        """Relative paths that a pattern finds; of all files, unless others are given."""
        return [name for name in (self.sizes if names is None else names) if pattern.search(name)]
