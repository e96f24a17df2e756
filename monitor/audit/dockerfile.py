"""What would bake a secret into an image: values in a Dockerfile, and .env files that it copies."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from monitor.audit.real import assigned
from monitor.audit.settings import fits
from monitor.audit.subject import Subject
from monitor.audit.tree import EXAMPLE
from monitor.audit.verdict import Evidence, UnreadError, attempted, failed, passed

if TYPE_CHECKING:
    from monitor.audit.tree import Tree

__all__ = ["dockerfiles"]

_FILE = re.compile(r"(?i)(?:^|/)(?:(?:Dockerfile|Containerfile)(?:\.[\w.-]+)?|[\w.-]+\.(?:Dockerfile|Containerfile))$")
_STEP = re.compile(r"(?i)^\s*(ENV|ARG|COPY|ADD)\s+(.*)$")
_SECRET_FILE = re.compile(r"(?i)(?:^|/)(?:\.env(?:\.[\w.*-]+)?|[\w*-]+\.(?:pem|key|p12|pfx)|id_(?:rsa|ed25519|ecdsa))$")


def dockerfiles(subject: Subject) -> Iterator[Evidence]:
    """Every Dockerfile and Containerfile."""
    for tree in subject.trees:
        for name in tree.named(_FILE, tree.code):
            repeat = shlex.join(["grep", "-nEi", "^ *(ENV|ARG|COPY|ADD)", str(tree.base / name)])
            yield from attempted(_dockerfile(tree, name, repeat), name, repeat, name)


def _dockerfile(tree: Tree, name: str, repeat: str) -> Iterator[Evidence]:
    """Raises UnreadError."""
    wrong = list(_steps(tree, name, tree.text(name)))
    for line, what in wrong:
        yield failed(f"{name}:{line}: {what}", repeat, name, line)
    if not wrong:
        yield passed(f"{name}: puts no secret into the image", repeat, name)


def _steps(tree: Tree, name: str, text: str) -> Iterator[tuple[int, str]]:
    joined = re.sub(r"[\\`][ \t]*\r?\n", "\x00", text)  # \0 keeps the count of lines
    line = 1
    for raw in joined.split("\n"):
        match = _STEP.match(raw.replace("\x00", " "))
        if match is not None:
            word, rest = match[1].upper(), match[2]
            if word in ("ENV", "ARG"):
                for variable in assigned(_variables(word, rest)):
                    yield line, f"{word} {variable} holds a value"
            else:
                yield from ((line, what) for what in _copied(tree, name, word, rest))
        line += 1 + raw.count("\x00")


def _variables(word: str, rest: str) -> list[tuple[str, str]]:
    try:
        words = shlex.split(rest, comments=False)
    except ValueError:
        words = rest.split()
    old = word == "ENV" and words and "=" not in words[0]  # ENV NAME the whole rest
    return ([(words[0], " ".join(words[1:]))] if old else []) + [
        (name, value) for name, mark, value in (part.partition("=") for part in words) if mark
    ]


def _copied(tree: Tree, name: str, word: str, rest: str) -> Iterator[str]:
    if re.search(r"(?i)--from=", rest):
        return  # of another stage, where it was put in
    parts = [part.strip("\"',[]") for part in rest.split() if not part.startswith("--")]
    folder = name.rpartition("/")[0]
    for part in parts[:-1]:
        if _SECRET_FILE.search(part) and not EXAMPLE.search(part.rpartition("/")[2]):
            yield f"{word} {part} puts it into the image"
        elif part.rstrip("/") in (".", "", "*"):
            left = f"{folder}/" if folder else ""
            here = [file for file in tree.environment if file.rpartition("/")[0] == folder]
            for file in here:
                if _ignored(tree, file):
                    continue
                yield f"{word} {part} takes {file} along: no {left}.dockerignore leaves it out"


def _ignored(tree: Tree, file: str) -> bool:
    """Whether the .dockerignore beside it, or at the top, names it."""
    folder, _, last = file.rpartition("/")
    for place in {folder, ""}:
        listing = f"{place}/.dockerignore" if place else ".dockerignore"
        if listing not in tree.sizes:
            continue
        try:
            patterns = tuple(tree.text(listing).splitlines())
        except UnreadError:
            continue
        if fits(patterns, last if place == folder else file):
            return True
    return False
