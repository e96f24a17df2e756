"""The history of a repository: which commits are looked at, what of them cannot be read, where in it a secret is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from monitor.clients.git import DIFF, Git, GitError
from monitor.common.text import legible
from monitor.scan.changes import FORMAT, FileChange, GitCommit, changes
from monitor.scan.commits import CommitFinding, CommitSearch
from monitor.scanning.occurrence import finding_id

if TYPE_CHECKING:
    from monitor.domain.model import Finding
    from monitor.scan.search import Hit

__all__ = ["GitHistory", "HistoryFinding", "Range", "called", "gathered", "placed", "reported", "staged", "stashed"]

WIDTH = 3  # lines around a change that is searched alone
_AT_ONCE = 256  # commits whose places are looked for in one walk
_REFS = 50  # names that are told of a secret
_SHALLOW = "the repository is shallow: commits before its oldest ones are not there, and were not scanned"
_OWNERS = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS")


def staged(git: Git, search: CommitSearch) -> Iterator[CommitFinding]:
    """What the next commit would bring. Raises GitError."""

    def hunks(some: Sequence[FileChange]) -> Iterator[FileChange]:
        yield from _changed(git.stream("diff", "--cached", "-p", f"-U{WIDTH}", *DIFF, "--", *_named(some)))

    yield from search.search(changes(git.stream("diff", "--cached", "--raw", "--no-abbrev", *DIFF)), hunks)


def _changed(pieces: Iterable[bytes]) -> Iterator[FileChange]:
    yield from (item for item in changes(pieces) if isinstance(item, FileChange))


def _named(some: Iterable[FileChange]) -> Iterator[str]:
    """Their paths, as git takes them in any folder."""
    yield from dict.fromkeys(f":(top,literal){change.path}" for change in some)


@dataclass(frozen=True, slots=True)
class Range:
    """Commits as git is asked for them: names on its standard input, and options. `tags`: objects of annotated tags;
    `whole`: all there is, with all tags."""

    options: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    whole: bool = False

    @property
    def stdin(self) -> bytes:
        return "".join(f"{name}\n" for name in self.names).encode()


def stashed(git: Git) -> tuple[str, ...]:
    """All that was put aside: a ref leads to the last one only."""
    names = git.ask("log", "--walk-reflogs", "--format=%H", "refs/stash", "--", fine=(0, 128)).decode().split()
    return tuple(dict.fromkeys(names))


@dataclass(slots=True)
class GitHistory:
    """Commits of a range, and what of it is not there. `problems`: a sentence each."""

    git: Git
    range: Range
    problems: list[str] = field(default_factory=list)

    def search(self, search: CommitSearch) -> Iterator[CommitFinding]:
        """Raises GitError where nothing can be read. What is missing is in `search.passed` afterwards."""
        yield from search.search(search.named(dict.fromkeys(self._tags(), "tag")))
        for name, ref in self._contents_named():
            yield from (CommitFinding(None, hit, ref) for hit in search.version(ref, name, large=True) or ())
        if self.range.whole and self.git.line("rev-parse", "--is-shallow-repository") == "true":
            self.problems.append(_SHALLOW)
        try:
            yield from search.search(changes(self._log("-c", "--raw", "--no-abbrev", *DIFF)), self._hunks)
        except GitError as error:
            self.problems.append(f"the history could not be read to its end ({error})")
            yield from self._otherwise(search)

    def _hunks(self, some: Sequence[FileChange]) -> Iterator[FileChange]:
        """Them with their hunks, as far as git can read both sides of each."""
        asked = "".join(f"{name}\n" for name in dict.fromkeys(one.commit.id for one in some if one.commit is not None))
        options = ("--stdin", "--root", "-c", "-p", f"-U{WIDTH}", *DIFF, FORMAT, "--", *_named(some))
        with suppress(GitError):
            yield from _changed(self.git.stream("diff-tree", *options, stdin=asked.encode()))

    def _tags(self) -> Iterable[str]:
        if not self.range.whole:
            return self.range.tags
        try:
            rows = self.git.ask("for-each-ref", "--format=%(objecttype) %(objectname)", "refs/tags").decode()
        except GitError as error:
            self.problems.append(f"the messages of its tags could not be read ({error})")
            return []
        return [row.split(" ")[1] for row in rows.splitlines() if row.startswith("tag ")]

    def _contents_named(self) -> Iterator[tuple[str, str]]:
        """Contents that a ref leads to, or its tag, and no commit; with the ref."""
        if not self.range.whole:
            return
        form = "--format=%(objecttype) %(objectname) %(*objecttype) %(*objectname) %(refname)"
        try:
            rows = self.git.ask("for-each-ref", form).decode("utf-8", "replace").splitlines()
        except GitError:
            return  # was said
        for row in rows:
            kind, name, inner, behind, ref = row.split(" ", 4)
            if "blob" in (kind, inner):
                yield (name if kind == "blob" else behind), ref
            elif "tree" in (kind, inner):
                self.problems.append(f"{ref} leads to a folder, which was not scanned")

    def _otherwise(self, search: CommitSearch) -> Iterator[CommitFinding]:
        """Each object that is there, by itself: git ends at the first one that is not."""
        missing = search.passed.missing
        paths = self._listed(missing)
        kinds = self._kinds(paths, missing)
        written = {name: kind for name, kind in kinds.items() if kind in ("commit", "tag")}
        yield from search.search(search.named(written))
        by = self._brought()
        for name in (name for name, kind in kinds.items() if kind == "blob"):
            commit, known = by.get(name, (None, paths[name]))
            place = known or name
            yield from (CommitFinding(commit, hit, place) for hit in search.version(place, name, large=True) or ())

    def _listed(self, missing: set[str]) -> dict[str, str]:
        """Names of objects with a path of each; those that are not there go to `missing`."""
        paths: dict[str, str] = {}
        try:
            options = ("rev-list", "--objects", "--missing=print", "--stdin", *self.range.options, "--")
            for line in _rows(self.git.stream(*options, stdin=self.range.stdin)):
                name, _, path = line.partition(b" ")
                if name.startswith(b"?"):
                    missing.add(name[1:].decode())
                else:
                    paths[name.decode()] = os.fsdecode(path)
        except GitError as error:
            self.problems.append(f"its objects could not be listed ({error}); those that are there are scanned")
            paths |= self._there()
        # Nothing leads to what is behind one that is missing.
        return self._there() | paths if self.range.whole and missing else paths

    def _there(self) -> dict[str, str]:
        """All objects, of which no path is known."""
        rows = self.git.stream("cat-file", "--batch-all-objects", "--batch-check=%(objectname)", "--unordered")
        return dict.fromkeys(map(bytes.decode, _rows(rows)), "")

    def _kinds(self, names: Iterable[str], missing: set[str]) -> dict[str, str]:
        """Of each what it is."""
        asked = "".join(f"{name}\n" for name in names).encode()
        answer = self.git.ask("cat-file", "--batch-check", stdin=asked, seconds=None, fine=(0, 128))
        rows = [line.decode().split(" ") for line in answer.splitlines()]
        missing.update(row[0] for row in rows if row[-1] == "missing")
        return {name: kind for name, kind, *size in rows if size}

    def _brought(self) -> dict[str, tuple[GitCommit, str]]:
        """Which commit brought a content first, and under which path."""
        by: dict[str, tuple[GitCommit, str]] = {}
        try:
            for change in _changed(self._log("--raw", "--no-abbrev", "-m", *DIFF)):
                if change.commit is not None:
                    by[change.new] = change.commit, change.path
        except GitError:
            return by  # of the rest it is not known
        return by

    def _log(self, *options: str) -> Iterator[bytes]:
        return self.git.stream("log", *options, FORMAT, "--stdin", *self.range.options, "--", stdin=self.range.stdin)


def _rows(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if rest:
        yield rest


@dataclass(slots=True)
class HistoryFinding:
    """One secret in one file of a history. `path`: as git knows it; `first`, `last`: the oldest and the newest commit
    that brought it."""

    hit: Hit
    path: str
    first: GitCommit | None
    last: GitCommit | None
    commits: int = 1


def gathered(seen: Iterable[CommitFinding]) -> list[HistoryFinding]:
    """From newest to oldest as they come: each is told as it was when it came in."""
    findings: dict[tuple[str, str, str], HistoryFinding] = {}
    for one in seen:
        finding = one.hit.finding
        key = finding.fingerprint, finding.path, finding.rule
        known = findings.get(key)
        if known is None:
            findings[key] = HistoryFinding(one.hit, one.path, one.commit, one.commit)
        elif known.first is None or one.commit is None or known.first.id != one.commit.id:
            known.hit, known.first, known.commits = one.hit, one.commit or known.first, known.commits + 1
        elif (one.hit.finding.line or 0) < (known.hit.finding.line or 0):
            known.hit = one.hit  # twice in one commit
    return list(findings.values())


def placed(
    git: Git,
    findings: Sequence[HistoryFinding],
    search: CommitSearch,
    redact: Callable[[str], str],
    *,
    where: bool = True,
) -> Iterator[Hit]:
    """With what a history says of each: who and when; `where` it is still, and whose it may be. Texts of it go through
    `redact`. Raises GitError."""
    if not findings or not where:
        for finding in findings:
            yield replace(finding.hit, git=_when(finding, redact))
        return
    head = _head(git)
    refs = _refs(git, list(dict.fromkeys(finding.first.id for finding in findings if finding.first is not None)))
    owners = _Owners(git, head)
    for finding in findings:
        path, first = finding.path, finding.first
        now = search.prints(path, head[path]) if path in head else frozenset()
        there = [] if first is None else refs.get(first.id, [])
        owner = owners.of(path) or (f"{first.author} <{first.email}>" if first is not None else None)
        names = {
            field: [redact(name) for kind, name in there if kind == folder][:_REFS]
            for field, folder in (("branches", "heads"), ("tags", "tags"), ("remotes", "remotes"))
        }
        facts = {
            "in_head": finding.hit.finding.fingerprint in now,
            **names,
            "refs": len(there),
            "owner": owner and redact(owner),
        }
        yield replace(finding.hit, git={**_when(finding, redact), **facts})


def called(git: Git) -> str:
    """What incidents call a repository: the name of its folder. Raises GitError."""
    common = (git.folder / git.line("rev-parse", "--git-common-dir")).resolve()
    return (common.parent if common.name == ".git" else common).name.removesuffix(".git")


def reported(hit: Hit, repository: str, now: float) -> Finding:
    """A finding as the store keeps it: the same however often its history is looked at."""
    finding, git = hit.finding, hit.git or {}
    first = git.get("first")
    generation = f"{repository}:{first['commit'] if first else ''}:{finding.path}"
    labels = {**finding.labels, "repository": repository}
    if first is not None:
        labels |= {"commit": first["commit"], "author": f"{first['author']} <{first['email']}>"}
    if git.get("owner"):
        labels["proposed_owner"] = git["owner"]
    return replace(
        finding,
        id=finding_id(generation, finding.offset, finding.rule, finding.fingerprint),
        source="git",
        generation=generation,
        time=now,
        logged_at=datetime.fromisoformat(first["date"]).timestamp() if first is not None else None,
        labels=labels,
    )


def _when(one: HistoryFinding, redact: Callable[[str], str]) -> dict[str, Any]:
    return {"commits": one.commits, "first": _described(one.first, redact), "last": _described(one.last, redact)}


def _described(commit: GitCommit | None, redact: Callable[[str], str]) -> dict[str, str] | None:
    if commit is None:
        return None
    when = datetime.fromtimestamp(min(max(commit.time, 0), 253402300799), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"commit": commit.id, "author": redact(commit.author), "email": redact(commit.email), "date": when}


def _head(git: Git) -> dict[str, str]:
    """Path → name of its content; nothing where there is no commit yet."""
    try:
        rows = git.ask("ls-tree", "-r", "-z", "--full-tree", "HEAD")
    except GitError:
        return {}
    entries = (row.partition(b"\t") for row in rows.split(b"\0") if row)
    return {os.fsdecode(path): meta.split()[2].decode() for meta, _, path in entries}


def _refs(git: Git, wanted: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """Of each commit the (heads, tags, remotes …; name) that it can be reached from."""
    if not wanted:
        return {}
    try:
        listed = git.ask("for-each-ref", "--format=%(objectname) %(*objectname) %(refname)")
    except GitError:  # one of them leads nowhere
        listed = git.ask("for-each-ref", "--format=%(objectname)  %(refname)")
    tips = [row.split(" ", 2) for row in listed.decode("utf-8", "replace").splitlines()]
    out: dict[str, list[tuple[str, str]]] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        own = {name: 1 << number for number, name in enumerate(some)}
        reaches = _reaches(git, own)
        for tip, peeled, ref in tips:
            bits = reaches.get(peeled or tip, 0) | own.get(tip, 0)
            _, kind, name = ref.split("/", 2) if ref.count("/") > 1 else ("", "", ref)
            for number, one in enumerate(some):
                if bits >> number & 1:
                    out.setdefault(one, []).append((kind, name))
    return out


def _reaches(git: Git, bits: dict[str, int]) -> dict[str, int]:
    """Commit → bits of those it can reach; parents come before their children."""
    reaches: dict[str, int] = {}
    try:
        for line in _rows(git.stream("rev-list", "--parents", "--topo-order", "--reverse", "--all")):
            name, *parents = line.decode().split(" ")
            mine = bits.get(name, 0)
            for parent in parents:
                mine |= reaches.get(parent, 0)
            if mine:
                reaches[name] = mine
    except GitError:
        return reaches  # of a damaged history as far as it can be read
    return reaches


class _Owners:
    """CODEOWNERS as code hosts read it: the last line that fits a path has the say."""

    def __init__(self, git: Git, head: Mapping[str, str]) -> None:
        self._rows: list[tuple[Any, str]] = []
        name = next((head[path] for path in _OWNERS if path in head), None)
        if name is None:
            return
        from pathspec import GitIgnoreSpec

        for line in git.ask("cat-file", "blob", name).decode("utf-8", "replace").splitlines():
            pattern, *owners = line.partition(" #")[0].split()[:20] or [""]
            if pattern and not pattern.startswith(("#", "[", "^[", "!")):
                self._rows.append((GitIgnoreSpec.from_lines([pattern]), " ".join(owners)))

    def of(self, path: str) -> str | None:
        name = legible(path)
        return next((owners or None for spec, owners in reversed(self._rows) if spec.match_file(name)), None)
