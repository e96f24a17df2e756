"""The built-in rules as one file: parsing a thousand pack files takes a second, reading this a thirtieth.

Only a shortcut: keyed by what the packs are and by this code, and made anew whenever anything about it is off. Files of
the user are always read themselves.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import orjson

from detectors import cache
from detectors.rules.pattern import Shape
from detectors.rules.rule import Requires, Rule
from detectors.rules.triggers import TRIGGERS

__all__ = ["load", "save", "snapshot_path"]

_FIELDS = tuple(f.name for f in fields(Rule))
_TUPLES = tuple(f.name for f in fields(Rule) if str(f.type).startswith("tuple"))
_KEEP = 4  # snapshots in the cache


def snapshot_path(folder: Path, packs: Iterable[str], cache_dir: Path) -> Path:
    """Where the snapshot of these packs lies, as they are now in `folder`."""
    files = []
    with os.scandir(folder) as families:
        for family in families:
            if family.is_dir():
                with os.scandir(family) as entries:
                    files += [(entry.path, entry.stat()) for entry in entries]
    digest = hashlib.sha256(repr(sorted(packs)).encode() + cache.code() + cache.stamp(sorted(files)))
    return cache_dir / f"{digest.hexdigest()[:32]}.rules"


def load(path: Path) -> list[Rule] | None:
    """The rules in it, or None when there is no whole snapshot."""
    body = cache.read(path)
    try:
        return [_rule(*entry) for entry in orjson.loads(body)] or None if body is not None else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None  # whole, but not what this code wrote


def _rule(values: list[Any], shape: list[Any]) -> Rule:
    # Past the constructor, as `Rule(…)` sets each field of a frozen object by a call: half of the time of a start.
    rule = object.__new__(Rule)
    data = rule.__dict__
    data.update(zip(_FIELDS, values, strict=True))
    for name in _TUPLES:
        if data[name] is not None:
            data[name] = tuple(data[name])
    if data["requires"]:
        data["requires"] = tuple(Requires(**companion) for companion in data["requires"])
    trigger, triggers, back, ahead, literals, *others = shape
    shared = TRIGGERS.get(data["trigger"])
    if shared is not None:
        trigger, triggers = "|".join(shared), shared
    # Where cached_property keeps it.
    data["shape"] = Shape(trigger, tuple(triggers), back, ahead, tuple(literals), *others)
    return rule


def save(path: Path, rules: Sequence[Rule]) -> None:
    """Write a snapshot; one that cannot be written is no error."""
    cache.write(path, orjson.dumps([(_values(rule), [*_shape(rule)]) for rule in rules]), _KEEP)


def _values(rule: Rule) -> list[Any]:
    return [
        [asdict(companion) for companion in rule.requires] if name == "requires" else getattr(rule, name)
        for name in _FIELDS
    ]


def _shape(rule: Rule) -> Shape:
    if rule.trigger in TRIGGERS:  # tens of thousands of characters, the same for each
        return rule.shape._replace(trigger="", triggers=())
    return rule.shape
