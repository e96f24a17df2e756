"""The texts of the packs we ship: a file each, in `packs`, or all in one, `packs.txt`, as in packages.

A host pays for each file that a package unpacks, and there are more packs than modules of ours.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

__all__ = ["FOLDER", "families", "joined", "names", "source", "text", "texts"]

FOLDER = Path(__file__).parents[1] / "packs"
_HEAD = re.compile(rb"^#### packs/(.+)\n", re.MULTILINE)  # and the text of the pack follows


def families() -> list[str]:
    """Those that have packs: "cloud"."""
    return sorted({name.partition("/")[0] for name in names()})


def names() -> set[str]:
    """Of all packs: "cloud/aws". Raises OSError."""
    if not FOLDER.is_dir():
        return set(_parts())
    with os.scandir(FOLDER) as entries:
        folders = [entry for entry in entries if entry.is_dir()]
    files = ((folder.name, file) for folder in folders for file in os.listdir(folder.path))
    return {f"{family}/{file.removesuffix('.toml')}" for family, file in files if file.endswith(".toml")}


def text(name: str) -> str:
    """Of one pack. Raises OSError, also when there is none of that name."""
    if FOLDER.is_dir():
        return _bytes(f"{FOLDER}/{name}.toml").decode()
    if (body := _parts().get(name)) is None:
        raise FileNotFoundError(f"no pack is called {name}")
    return bytes(body).decode()


def texts() -> Mapping[str, bytes]:
    """Of all packs, by name. Raises OSError."""
    # `Path` takes as long as what is in the files, and each start waits for it.
    if FOLDER.is_dir():
        return {name: _bytes(f"{FOLDER}/{name}.toml") for name in sorted(names())}
    return {name: bytes(body) for name, body in _parts().items()}


def source(rule_source: str) -> str:
    """The name of the pack that a rule of ours gives as its source, "packs/cloud/aws.toml"."""
    return rule_source.removeprefix("packs/").removesuffix(".toml")


def joined(bodies: Mapping[str, bytes]) -> bytes:
    """The one file."""
    return b"".join(f"#### packs/{name}\n".encode() + body for name, body in sorted(bodies.items()))


@cache
def _parts() -> Mapping[str, memoryview]:
    """Mapped, not read: it costs no memory, and stays what it is while an upgrade puts another in its place."""
    with open(f"{FOLDER}.txt", "rb") as file:
        whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    heads = [*_HEAD.finditer(whole)]
    ends = [head.start() for head in heads[1:]] + [len(whole)]
    return {head[1].decode(): memoryview(whole)[head.end() : end] for head, end in zip(heads, ends, strict=True)}


def _bytes(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()
