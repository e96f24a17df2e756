"""The built-in rules as one file: parsing a thousand pack files takes half a second, reading this takes a twentieth.

Only a shortcut: keyed by what the packs are (name, size, time of change) and by this code's version, checksummed, and
made anew whenever anything about it is off. Files of the user are always read themselves.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import orjson

from detectors.pattern import Shape
from detectors.rule import Requires, Rule

__all__ = ["load", "save", "snapshot_path"]

_MAGIC = b"exposure-monitor rules 1\n"
_FIELDS = tuple(f.name for f in fields(Rule))


def snapshot_path(files: Sequence[Path], cache_dir: Path) -> Path:
    """Where the snapshot of these pack files lies."""
    digest = hashlib.sha256(_MAGIC + repr(_FIELDS).encode())
    for source in [*files, *Path(__file__).parent.glob("*.py")]:
        stat = source.stat()
        digest.update(f"{source}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return cache_dir / f"{digest.hexdigest()[:32]}.rules"


def load(path: Path) -> list[Rule] | None:
    """The rules in it, or None when there is no whole snapshot."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    head = len(_MAGIC)
    body = raw[head + 32 :]
    if raw[:head] != _MAGIC or hashlib.sha256(body).digest() != raw[head : head + 32]:
        return None
    return [_rule(*entry) for entry in orjson.loads(body)]


def _rule(values: list[Any], shape: list[Any]) -> Rule:
    data: dict[str, Any] = dict(zip(_FIELDS, (tuple(v) if isinstance(v, list) else v for v in values), strict=True))
    data["requires"] = tuple(Requires(**companion) for companion in data["requires"])
    rule = Rule(**data)
    whole: list[Any] = [tuple(value) if isinstance(value, list) else value for value in shape]
    rule.__dict__["shape"] = Shape(*whole)  # where cached_property keeps it
    return rule


def save(path: Path, rules: Sequence[Rule]) -> None:
    """Write the snapshot beside its final name and rename it; one that cannot be written is no error."""
    names = [f.name for f in fields(Shape)]
    body = orjson.dumps(
        [
            (
                [
                    [c.model_dump() for c in rule.requires] if name == "requires" else getattr(rule, name)
                    for name in _FIELDS
                ],
                [getattr(rule.shape, name) for name in names],
            )
            for rule in rules
        ]
    )
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=".rules")
        with os.fdopen(fd, "wb") as file:
            file.write(_MAGIC + hashlib.sha256(body).digest() + body)
        os.replace(temporary, path)
        for old in sorted(path.parent.glob("*.rules"), key=lambda p: p.stat().st_mtime)[:-4]:
            old.unlink(missing_ok=True)
