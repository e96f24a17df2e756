"""What the default rules say to labelled texts, and to whole real logs.

python -m benchmarks.labels KIND [--sealed]   findings by level against the labels of the open or the sealed part
python -m benchmarks.labels KIND --peers      the same of Kingfisher and betterleaks, where they are installed
python -m benchmarks.labels logs --bulk       what is found in whole real log files, which nobody has labelled
python -m benchmarks.labels code --bulk       the same in all files of both kinds' packages that are named as logs are

A finding is right where it touches a label `secret`; `unsure` counts neither way; a stand-in is counted by itself, and so is
what no label says. Found are labels `secret` that a finding touches, but for ids of keys.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmarks.labels import draw_code, fetch, peers
from benchmarks.labels.peers import Find, Finding
from detectors.match.engine import Engine, Match, Worker
from detectors.rules.load import load_rules
from monitor.common.text import clip

__all__ = ["LOGS", "Judged", "behind_others", "compare", "judged", "rules", "table", "wholes"]

PIECE = 2 << 20  # bytes of a whole file that are searched at a time
LOGS = re.compile(
    r"(?i)(?:\.(?:log|out|err|trace|stderr|stdout|ndjson|jsonl)(?:\.\d+)?|(?<!change)[._-]?logs?\.txt)(?:\.(?:gz|bz2|xz))?\Z"
)
BEFORE = 5  # lines of a committed log that are searched with one of it: what a record names may stand in the next


@dataclass(frozen=True, slots=True)
class Judged:
    """A text to search, what of it was labelled (all of text[start:end]), and the labels, in characters of the text."""

    text: str
    start: int
    end: int
    labels: tuple[tuple[int, int, dict[str, Any]], ...]


def judged(kind: str, sealed: bool) -> Iterator[Judged]:
    """The labelled places of one part; of code within their whole file, of committed logs with the lines before them."""
    if kind == "committed":
        yield from behind_others(sealed)
        return
    if kind != "code":
        for place, text in fetch.labelled(kind):
            if place["sealed"] == sealed:
                yield Judged(text, 0, len(text), tuple((one["start"], one["end"], one) for one in place["labels"]))
        return
    for place, lines in draw_code.labelled():
        if place["sealed"] == sealed:
            begins = [0, *accumulate(len(line) + 1 for line in lines)]
            number = place["line"]
            spans = (0, begins[-1] - 1) if place.get("whole") else (begins[number - 1], begins[number] - 1)
            labels = [(begins[one.get("line", number) - 1], one) for one in place["labels"]]
            at = tuple((base + one["start"], base + one["end"], one) for base, one in labels)
            yield Judged("\n".join(lines), *spans, at)


def behind_others(sealed: bool, folder: Path = fetch.HERE) -> Iterator[Judged]:
    """The labelled lines of committed logs of one part, each with those before it."""
    files = {
        (origin["origin"], path): file.read_text("utf-8", "replace").split("\n")
        for origin in fetch.origins("committed", folder)
        for _, path, file in fetch.texts(origin)
    }
    for place, text in fetch.labelled("committed", folder=folder):
        if place["sealed"] == sealed:
            lines = files[place["origin"], place["path"]]
            same = (at for at, line in enumerate(lines) if line.removesuffix("\r") == text)
            at = min(same, key=lambda at: abs(at + 1 - place["line"]))
            before = "".join(f"{line}\n" for line in lines[max(0, at - BEFORE) : at])
            labels = ((len(before) + one["start"], len(before) + one["end"], one) for one in place["labels"])
            yield Judged(before + text, len(before), len(before + text), tuple(labels))


def compare(places: Iterable[Judged], find: Find) -> Counter[tuple[str, ...]]:
    """Of findings (level, confidence, what the label says), and of secrets ("secrets", "found" or "missed")."""
    counted: Counter[tuple[str, ...]] = Counter()
    for place in places:
        touched = set()
        for start, end, level, confidence in find(place.text):
            if not (place.start <= start < place.end):
                continue
            of = [one for low, high, one in place.labels if low < end and start < high]
            touched.update(map(id, of))
            counted[level, confidence, of[0]["kind"] if of else "nothing"] += 1
        for _, _, one in place.labels:
            if one["kind"] == "secret" and not one.get("id"):
                counted["secrets", "found" if id(one) in touched else "missed"] += 1
    return counted


def rules(worker: Worker) -> Find:
    """What our rules find."""

    @lru_cache(maxsize=1)  # places of one file come one after another
    def find(text: str) -> list[Finding]:
        data = text.encode()
        return [
            (
                len(data[: one.start].decode()),
                len(data[: one.end].decode("utf-8", "ignore")),
                _level(one),
                one.confidence,
            )
            for one in worker.scan(data)
        ]

    return find


def _level(match: Match) -> str:
    return "high or critical" if match.severity in ("high", "critical") else "lower"


def table(counted: Counter[tuple[str, ...]]) -> Iterator[str]:
    """A line for each level of confidence, and one of what was found."""
    for confidence in ("high", "medium", "low"):
        for level in ("high or critical", "lower", ""):
            row = {kind: counted[level, confidence, kind] for kind in ("secret", "stand-in", "nothing", "unsure")}
            judged = row["secret"] + row["stand-in"] + row["nothing"]
            if sum(row.values()):
                right = f"{100 * row['secret'] / judged:.0f} % right" if judged else "none judged"
                yield f"{confidence:<6} {level:<16} {right}: " + ", ".join(f"{kind} {n}" for kind, n in row.items())
    found, missed = counted["secrets", "found"], counted["secrets", "missed"]
    right, wrong = (
        sum(count for key, count in counted.items() if len(key) == 3 and key[2] in kinds)
        for kinds in (("secret",), ("stand-in", "nothing"))
    )
    precision, recall = right / max(1, right + wrong), found / max(1, found + missed)
    both = 2 * precision * recall / max(1e-9, precision + recall)
    yield f"found {found} of {found + missed} secrets; {100 * precision:.0f} % right in all, F1 {100 * both:.0f}"


def wholes(kind: str) -> Iterator[tuple[str, str, bytes]]:
    """Whole real logs as (origin, path, bytes): those that are marked so; of code what is named as logs are."""
    if kind != "code":
        for origin in fetch.origins(kind):
            for member, path, file in fetch.texts(origin):
                if member.get("bulk"):
                    yield origin["origin"], path, file.read_bytes()
        return
    for origin in (*fetch.origins("code"), *fetch.origins("logs")):
        if origin["registry"] != "loghub":
            for path, _, read in draw_code.members(fetch.archive(origin)):
                if LOGS.search(path) and b"\0" not in (data := fetch.UNPACK.get(Path(path).suffix, bytes)(read())):
                    yield origin["origin"], path, data


def _bulk(kind: str, worker: Worker) -> Iterator[str]:
    """Each finding once, masked, and of how many bytes."""
    size, seen = 0, set()
    for origin, path, data in wholes(kind):
        size += len(data)
        for at in range(0, len(data), PIECE):
            for match in worker.scan(data[at : at + PIECE]):
                if (match.rule.id, match.secret) not in seen:
                    seen.add((match.rule.id, match.secret))
                    said = f"{match.severity} {match.confidence} {match.rule.id} {match.masked}"
                    yield f"{origin}:{clip(path, 80)}: {said}"
    yield f"{len(seen)} in {size / 1e6:.1f} MB"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labels")
    parser.add_argument("kind", choices=["logs", "events", "committed", "code"])
    parser.add_argument("--sealed", action="store_true", help="the part that is kept for final figures")
    parser.add_argument("--peers", action="store_true", help="what other scanners find there")
    parser.add_argument("--bulk", action="store_true", help="whole files, without labels")
    asked = parser.parse_args(arguments)
    if asked.peers:
        places = list(judged(asked.kind, asked.sealed))
        for name, find in peers.installed({place.text for place in places}):
            print(name, *table(compare(places, find)), sep="\n")
        return
    worker = Engine.build(load_rules()).worker()
    if asked.bulk:
        print(*_bulk(asked.kind, worker), sep="\n")
        return
    print(*table(compare(judged(asked.kind, asked.sealed), rules(worker))), sep="\n")


if __name__ == "__main__":
    main()
