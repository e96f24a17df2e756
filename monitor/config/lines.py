"""On which line of the file a key stands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

__all__ = ["lines", "lines_of"]


def lines(path: Path | None, keys: Iterable[str]) -> dict[str, int]:
    """Line numbers of key paths in a file, as far as they are found."""
    try:
        return lines_of(path.read_text(encoding="utf-8"), keys) if path else {}
    except (OSError, UnicodeDecodeError):
        return {}


def lines_of(text: str, keys: Iterable[str]) -> dict[str, int]:
    """Line numbers of key paths, as far as a plain reading of the text finds them (tomllib tells none)."""
    headers: dict[str, int] = {}
    places: dict[str, int] = {}
    counts, table = Counter[str](), ""
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*\[\[\s*([A-Za-z0-9_-]+)\s*\]\]", line):
            table = f"{match[1]}[{counts[match[1]]}]"
            counts[match[1]] += 1
            headers[table] = number
        elif match := re.match(r"\s*\[\s*([A-Za-z0-9_.-]+)\s*\]", line):
            table = match[1]
            headers[table] = number
        elif match := re.match(r"\s*([A-Za-z0-9_-]+)\s*=", line):
            places.setdefault(f"{table}.{match[1]}" if table else match[1], number)
    found = {}
    for key in keys:
        shorter = key
        while shorter and shorter not in places and shorter not in headers:
            shorter, longer = re.sub(r"(\.[^.\[]+|\[\d+\]|^[^.\[]+)$", "", shorter), shorter
            if shorter == longer:  # no path that a file could have
                shorter = ""
        if shorter:
            found[key] = places.get(shorter) or headers[shorter]
    return found
