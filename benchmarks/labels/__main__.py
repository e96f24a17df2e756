"""What the default rules say to labelled texts, and to whole real logs.

python -m benchmarks.labels KIND [--sealed]   findings by level against the labels of the open or the sealed part
python -m benchmarks.labels logs --bulk       what is found in whole real log files, which nobody has labelled

A finding is right where it touches a label `secret`; `unsure` counts neither way; a stand-in is counted by itself, and so is
what no label says. Found are labels `secret` that a finding touches, but for ids of keys.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.labels.fetch import labelled, origins, texts
from detectors.match.engine import Engine, Match, Worker
from detectors.rules.load import load_rules
from monitor.common.text import clip

__all__ = ["compare", "table"]

PIECE = 2 << 20  # bytes of a whole file that are searched at a time


def _of_bytes(text: str, label: dict[str, Any]) -> tuple[int, int]:
    """Where a label stands in the UTF-8 of its text."""
    start = len(text[: label["start"]].encode())
    return start, start + len(text[label["start"] : label["end"]].encode())


def compare(places: Iterable[tuple[dict[str, Any], str]], worker: Worker) -> Counter[tuple[str, ...]]:
    """Of findings (severity class, confidence, what the label says), and of secrets ("secrets", "found" or "missed")."""
    counted: Counter[tuple[str, ...]] = Counter()
    for place, text in places:
        spans = [(*_of_bytes(text, label), label) for label in place["labels"]]
        touched = set()
        for match in worker.scan(text.encode()):
            of = [label for start, end, label in spans if start < match.end and match.start < end]
            touched.update(map(id, of))
            counted[_level(match), match.confidence, of[0]["kind"] if of else "nothing"] += 1
        for label in place["labels"]:
            if label["kind"] == "secret" and not label.get("id"):
                counted["secrets", "found" if id(label) in touched else "missed"] += 1
    return counted


def _level(match: Match) -> str:
    return "high or critical" if match.severity in ("high", "critical") else "lower"


def table(counted: Counter[tuple[str, ...]]) -> Iterator[str]:
    """A line for each level of confidence, and one of what was found."""
    for confidence in ("high", "medium", "low"):
        for level in ("high or critical", "lower"):
            row = {kind: counted[level, confidence, kind] for kind in ("secret", "stand-in", "nothing", "unsure")}
            judged = row["secret"] + row["stand-in"] + row["nothing"]
            if sum(row.values()):
                right = f"{100 * row['secret'] / judged:.0f} % right" if judged else "none judged"
                yield f"{confidence:<6} {level:<16} {right}: " + ", ".join(f"{kind} {n}" for kind, n in row.items())
    found, missed = counted["secrets", "found"], counted["secrets", "missed"]
    yield f"found {found} of {found + missed} secrets"


def _bulk(kind: str, worker: Worker) -> Iterator[str]:
    """Each finding once, masked, and of how many bytes."""
    size, seen = 0, set()
    for origin in origins(kind):
        for member, path, file in texts(origin):
            data = file.read_bytes() if member.get("bulk") else b""
            size += len(data)
            for at in range(0, len(data), PIECE):
                for match in worker.scan(data[at : at + PIECE]):
                    if (match.rule.id, match.secret) not in seen:
                        seen.add((match.rule.id, match.secret))
                        said = f"{match.severity} {match.confidence} {match.rule.id} {match.masked}"
                        yield f"{origin['origin']}:{clip(path, 80)}: {said}"
    yield f"{len(seen)} in {size / 1e6:.1f} MB"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labels")
    parser.add_argument("kind", choices=["logs", "code"])
    parser.add_argument("--sealed", action="store_true", help="the part that is kept for final figures")
    parser.add_argument("--bulk", action="store_true", help="whole files, without labels")
    asked = parser.parse_args(arguments)
    worker = Engine.build(load_rules()).worker()
    if asked.bulk:
        print(*_bulk(asked.kind, worker), sep="\n")
        return
    places = ((place, text) for place, text in labelled(asked.kind) if place["sealed"] == asked.sealed)
    print(*table(compare(places, worker)), sep="\n")


if __name__ == "__main__":
    main()
