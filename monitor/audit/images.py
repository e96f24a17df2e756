"""Container images as files: `docker save` archives and OCI layouts, every layer, also what a later layer deletes.

And what would bake a secret into one: values in a Dockerfile, and .env files that it copies.

Nothing is unpacked to disk; names of members are shown and lead nowhere; a bomb ends at the budget of `common.archive`.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import orjson

from monitor.audit.check import Evidence, Subject, attempted, failed, passed, unknown
from monitor.audit.formats import UnreadError
from monitor.audit.real import assigned
from monitor.audit.settings import fits
from monitor.audit.tree import EXAMPLE, Tree
from monitor.common.archive import ArchiveBudget, ArchiveError, ByteStream, leaves
from monitor.common.outside import at, tables, text
from monitor.domain.model import Finding
from monitor.scan.search import ScanOptions, Searcher, stream_blocks

__all__ = ["baked", "dockerfiles"]

_DOCUMENT = 8 << 20  # bytes of a manifest or a configuration
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_ASSIGNED = re.compile(r"""\b([A-Za-z_]\w*)=("[^"]*"|'[^']*'|[^\s"']+)""")
_DOCKERFILE = re.compile(
    r"(?i)(?:^|/)(?:(?:Dockerfile|Containerfile)(?:\.[\w.-]+)?|[\w.-]+\.(?:Dockerfile|Containerfile))$"
)
_STEP = re.compile(r"(?i)^\s*(ENV|ARG|COPY|ADD)\s+(.*)$")
_SECRET_FILE = re.compile(r"(?i)(?:^|/)(?:\.env(?:\.[\w.*-]+)?|[\w*-]+\.(?:pem|key|p12|pfx)|id_(?:rsa|ed25519|ecdsa))$")
_LAYERS = 512  # more than any builder makes


def baked(subject: Subject) -> Iterator[Evidence]:
    """No secret in a layer, in the configuration and its environment, in the history; nor in what builds images."""
    images = dict.fromkeys([*subject.images, *(tree.base / name for tree in subject.trees for name in tree.images)])
    for path in images:
        yield from _image(path, subject)
    yield from dockerfiles(subject)
    if not images:
        yield unknown("no image was given: name what `docker save` wrote, or an OCI layout", "monitor audit IMAGE.tar")


@dataclass(slots=True)
class _Image:
    """What was seen of an image. A blob is a layer, a configuration or a manifest, by its name in the archive."""

    documents: dict[str, bytes] = field(default_factory=dict)
    blobs: set[str] = field(default_factory=set)
    found: list[tuple[str, str, Finding]] = field(default_factory=list)  # blob, file in it
    deleted: dict[str, set[str]] = field(default_factory=dict)  # blob → paths that it takes away from those below
    problems: list[tuple[str, str]] = field(default_factory=list)
    unsure: int = 0

    def report(self, name: str, why: str) -> None:
        self.problems.append((name, why))


def _image(path: Path, subject: Subject) -> Iterator[Evidence]:
    repeat = f"monitor scan {shlex.quote(str(path))}"
    image = _Image()
    searcher = Searcher(subject.engine.worker(), ScanOptions(subject.key, suppressions=False))
    try:
        for name, stream in _members(path, image):
            _look(name, stream, searcher, image)
    except ArchiveError as error:
        image.report("", str(error))
    except OSError as error:
        image.report("", error.strerror or "cannot be read")
    configurations, layers = _manifest(image)
    wrong = False
    for blob, name, finding in image.found:
        gone = ", deleted in a later layer and still in the image" if _is_deleted(image, layers, blob, name) else ""
        where = f"{blob}!{name}" if name else blob
        wrong = True
        text = f"{path.name}: {where}:{finding.line}: {finding.name} [{finding.rule}] {finding.masked}{gone}"
        yield failed(text, repeat, f"{path}!{where}", finding.line)
    for blob in configurations:
        for what in _told(image.documents.get(blob, b"{}")):
            wrong = True
            yield failed(f"{path.name}: {blob}: {what}", _inside(path, blob), f"{path}!{blob}")
    for blob in [*configurations, *layers]:
        if blob not in image.blobs:
            image.report(blob, "named in the manifest, and not in the image")
    if not layers:
        image.report("", "no manifest that names layers: this is no image that could be read")
    for name, why in image.problems:
        yield unknown(f"{path.name}: {name}: {why}" if name else f"{path.name}: {why}", repeat, str(path))
    if image.unsure:
        yield unknown(f"{path.name}: {image.unsure} findings of low confidence: look at them", repeat, str(path))
    if not wrong:
        yield passed(f"{path.name}: no secret in {len(layers)} layers, environment and history", repeat)


def _inside(path: Path, blob: str) -> str:
    return shlex.join(["cat", str(path / blob)] if path.is_dir() else ["tar", "-xOf", str(path), blob])


def _members(path: Path, image: _Image) -> Iterator[tuple[str, ByteStream]]:
    """Each file of it as "blob!name in the layer" or "blob". Raises OSError and ArchiveError."""
    budget = ArchiveBudget()
    if not path.is_dir():
        with path.open("rb") as file:
            prefix = f"{path}!"
            for name, stream in leaves(str(path), file, budget, lambda at, why: image.report(at[len(prefix) :], why)):
                yield name.removeprefix(prefix), stream
        return
    names = ["index.json", "oci-layout"]
    folder = path / "blobs" / "sha256"
    names += [f"blobs/sha256/{name}" for name in sorted(os.listdir(folder)) if re.fullmatch("[0-9a-f]{64}", name)]
    for name in names:
        try:
            descriptor = os.open(path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            image.report(name, error.strerror or "cannot be read")
            continue
        with open(descriptor, "rb", buffering=0) as file:
            yield from leaves(name, file, budget, image.report)


def _look(name: str, stream: ByteStream, searcher: Searcher, image: _Image) -> None:
    blob, mark, inner = name.partition("!")
    image.blobs.add(blob)
    if not mark:  # no layer
        data = stream.take(_DOCUMENT)
        if data[:1] in b"{[":
            image.documents[blob] = data
        stream = ByteStream(itertools.chain([data] if data else [], iter(stream.read, b"")))
    folder, _, last = inner.rpartition("/")
    if last.startswith(".wh."):
        gone = "" if last == ".wh..wh..opq" else last.removeprefix(".wh.")
        image.deleted.setdefault(blob, set()).add(_plain(f"{folder}/{gone}"))
        return
    try:
        for hit in searcher.search(stream_blocks(name, stream), report=image.report):
            finding = hit.finding
            if finding.confidence == "low" or finding.severity == "info" or hit.rule.labels.get("public"):
                image.unsure += finding.confidence == "low"
            else:
                image.found.append((blob, inner, finding))
    except ArchiveError as error:
        image.report(name, str(error))


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _is_deleted(image: _Image, layers: Sequence[str], blob: str, name: str) -> bool:
    """Whether a layer above takes the file, or a folder that it is in, away."""
    if blob not in layers or not name:
        return False
    parts = _plain(name.partition("!")[0]).split("/")
    chain = {"/".join(parts[:depth]) for depth in range(len(parts) + 1)}
    above = layers[layers.index(blob) + 1 :]
    return any(chain & image.deleted.get(layer, set()) for layer in above)


def _manifest(image: _Image) -> tuple[list[str], list[str]]:
    """The blobs of configurations, and those of layers from the lowest up."""
    configurations: dict[str, None] = {}
    layers: dict[str, None] = {}
    saved = _json(image.documents.get("manifest.json", b""))
    for entry in saved if isinstance(saved, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("Layers"), list):
            configurations |= dict.fromkeys(filter(_is_text, [entry.get("Config")]))
            layers |= dict.fromkeys(filter(_is_text, entry["Layers"][:_LAYERS]))
    pending, seen = ["index.json"], set[str]()
    while pending and not layers and len(seen) < _LAYERS:
        blob = pending.pop()
        document = _json(image.documents.get(blob, b""))
        if blob in seen or not isinstance(document, dict):
            continue
        seen.add(blob)
        pending += _blobs(document.get("manifests"))
    for blob in seen:
        document = _json(image.documents.get(blob, b""))
        configurations |= dict.fromkeys(_blobs([document.get("config")]))
        layers |= dict.fromkeys(_blobs(document.get("layers"))[:_LAYERS])
    return list(configurations), list(layers)


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def _blobs(entries: object) -> list[str]:
    """`[{"digest": "sha256:…"}]` as names of blobs; what is no digest leads nowhere."""
    digests = (_DIGEST.fullmatch(text(entry, "digest")) for entry in tables(entries))
    return [f"blobs/sha256/{digest[1]}" for digest in digests if digest]


def _told(document: bytes) -> Iterator[str]:
    """What a configuration says under the name of a secret: environment, labels, and the commands it was built by."""
    data = _json(document)
    given = at(data, "config", "Env")
    pairs = (str(entry).partition("=") for entry in (given if isinstance(given, list) else ()))
    variables = [*assigned((name, value) for name, mark, value in pairs if mark)]
    yield from (f"ENV {name} holds a value" for name in variables)
    seen = set(variables)
    labels = at(data, "config", "Labels")
    labelled = labels.items() if isinstance(labels, Mapping) else ()
    for name in assigned((str(key), str(value)) for key, value in labelled):
        yield f"LABEL {name} holds a value"
    history = at(data, "history")
    for entry in history if isinstance(history, list) else []:
        command = at(entry, "created_by")
        found = _ASSIGNED.findall(command) if isinstance(command, str) else []
        for name in assigned((name, value.strip("\"'")) for name, value in found):
            if name not in seen:
                seen.add(name)
                yield f"the history holds a value of {name}, such as a build argument"


def _json(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


def dockerfiles(subject: Subject) -> Iterator[Evidence]:
    """Every Dockerfile and Containerfile."""
    for tree in subject.trees:
        for name in tree.named(_DOCKERFILE, tree.code):
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
                for variable in assigned(_given(word, rest)):
                    yield line, f"{word} {variable} holds a value"
            else:
                yield from ((line, what) for what in _copied(tree, name, word, rest))
        line += 1 + raw.count("\x00")


def _given(word: str, rest: str) -> list[tuple[str, str]]:
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
