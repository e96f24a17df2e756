"""Choose the anchors of literals: `python -m benchmarks.anchors [--logs FOLDER]` writes detectors/compile/anchors.json.
Ten minutes of CPU time, or twice that with logs.

Hyperscan's literal matcher (FDR, `src/fdr` of its sources) keeps its literals in eight buckets, mostly one a length.
At a place in the text a bucket is asked in earnest when each pair of neighbouring characters up to there stands at that
place in some literal of the bucket: not the same literal, so words of a language ask for each other. That question costs
more than all else, and this module counts it: over generated logs, the standard library's sources and such real logs as
there are, for each choice of the characters of long literals, one after another until none can be improved.
"""

from __future__ import annotations

import argparse
import random
import struct
import sys
import sysconfig
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import hyperscan
import orjson

from benchmarks import loggen
from detectors.compile import anchors, plan
from detectors.rules.load import load_rules

SAMPLE = 2 << 20  # bytes of each kind of text
SIZES = range(anchors.SIZE, anchors.LEAST - 1, -1)  # characters of an anchor
MET = 8  # questions that a literal costs where it does stand: what comes after it is then looked at
# Words that ordinary text is full of stay as they are, so that Hyperscan looks for what comes next to them, too.
COMMON = frozenset(
    "password passwd passphrase secret token session credential credentials username default connect "
    "authorization".split()
)
TABLE = Path(anchors.__file__).parent / "anchors.json"
Entry = tuple[int, int, int]  # length, characters from the end, pair


def texts(logs: Path | None = None) -> Iterator[bytes]:
    """Ordinary text: no secrets, many words. Of real logs as much as of the others, repeated if need be."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        loggen.generate(SAMPLE, log)
        yield log.read_bytes()
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    random.Random(1).shuffle(sources)
    yield b"".join(path.read_bytes() for path in sources)[:SAMPLE]
    real = b"".join(path.read_bytes() for path in sorted(logs.glob("*.log"))) if logs is not None else b""
    yield real * (SAMPLE // max(1, len(real)) + 1)


def pair(text: bytes, back: int) -> int:
    """What the matcher sees `back` characters before the end: a character and seven bits of the next."""
    return text[-1] if back == 0 else text[-1 - back] | (text[-back] & 127) << 8


def entries(literal: bytes, caseless: bool) -> set[Entry]:
    """The pairs that a literal lets through."""
    cases = [
        {one.lower(), one.upper()} if caseless else {one}
        for one in (literal[at : at + 1] for at in range(len(literal)))
    ]
    return {
        (len(literal), back, pair(one + after, min(back, 1)))
        for back in range(len(literal))
        for one in cases[-1 - back]
        for after in (cases[-back] if back else (b"",))
    }


def matcher(database: bytes) -> Iterator[tuple[bytes, bool]]:
    """The literals in a serialized database: text and whether case matters not. Hyperscan 5.4."""
    for bits in range(9, 16):
        head = struct.pack("<BHI", bits, (1 << bits) - 1, 8 << bits)
        at = database.find(head)
        if at >= 0:
            confirm = at - 25 + struct.unpack_from("<I", database, at - 25 + 16)[0]
            for offset in struct.unpack_from("<8I", database, confirm):
                if offset:
                    yield from _bucket(database, confirm + offset)


def _bucket(database: bytes, at: int) -> Iterator[tuple[bytes, bool]]:
    (bits,) = struct.unpack_from("<I", database, at + 16)
    for first in {*struct.unpack_from(f"<{1 << bits}I", database, at + 32)} - {0}:
        place, more = at + first, True
        while more:
            text, mask = (database[place + low : place + low + 8] for low in (0, 8))
            # Before a literal, the mask may name what else must stand there.
            start = max((at + 1 for at in range(8) if mask[at] not in (0xFF, 0xDF)), default=0)
            yield text[start:], 0xDF in mask[start:]
            more = bool(database[place + 30])
            place += 32


class Cost:
    """How often buckets of literals are asked for nothing, for each thousand characters."""

    def __init__(self, possible: Iterable[set[Entry]], logs: Path | None = None) -> None:
        """`possible`: what any choice may let through."""
        union = {entry for each in possible for entry in each}
        counts: Counter[bytes] = Counter()
        met: Counter[bytes] = Counter()
        size = 0
        for text in texts(logs):
            size += len(text)
            counts.update(text[at : at + anchors.SIZE] for at in range(len(text) - anchors.SIZE))
        for text, count in counts.items():
            met.update({text[-length:].lower(): count for length in SIZES})
        self.met = {text: count / size * 1000 for text, count in met.items()}
        self.ends = [
            (text, length)
            for length in SIZES
            for text in counts
            if all((length, back, pair(text, back)) in union for back in range(length))
        ]
        self.weights = [counts[text] / size * 1000 for text, _ in self.ends]
        self.missing = [length for _, length in self.ends]  # pairs that nothing lets through
        self.where: dict[Entry, list[int]] = defaultdict(list)
        for number in range(len(self.ends)):
            for entry in self.needed(number):
                self.where[entry].append(number)
        self.known: Counter[Entry] = Counter()
        self.total = 0.0

    def needed(self, number: int) -> list[Entry]:
        text, length = self.ends[number]
        return [(length, back, pair(text, back)) for back in range(length)]

    def add(self, literal: set[Entry]) -> None:
        for entry in literal:
            self.known[entry] += 1
            if self.known[entry] == 1:
                for number in self.where.get(entry, ()):
                    self.missing[number] -= 1
                    if not self.missing[number]:
                        self.total += self.weights[number]

    def remove(self, literal: set[Entry]) -> None:
        for entry in literal:
            self.known[entry] -= 1
            if not self.known[entry]:
                for number in self.where.get(entry, ()):
                    if not self.missing[number]:
                        self.total -= self.weights[number]
                    self.missing[number] += 1


class Choice:
    """Literals, the anchors each may have, and the one it has."""

    def __init__(self, options: dict[str, dict[str, set[Entry]]], cost: Cost) -> None:
        self.options, self.cost = options, cost
        self.anchors: dict[str, str] = {}
        for text, each in options.items():
            self.put(text, next(iter(each)))

    def entries(self, text: str) -> set[Entry]:
        return self.options[text][self.anchors[text]]

    def put(self, text: str, anchor: str) -> None:
        self.anchors[text] = anchor
        self.cost.add(self.entries(text))
        self.cost.total += self._met(anchor)

    def take(self, text: str) -> None:
        self.cost.remove(self.entries(text))
        self.cost.total -= self._met(self.anchors[text])

    def _met(self, anchor: str) -> float:
        return MET * self.cost.met.get(anchor.lower().encode("latin-1"), 0.0)

    def improve(self, texts: list[str]) -> bool:
        """Take these out and put back each where it costs least; all as they were if that is not less in the end."""
        before, total = {text: self.anchors[text] for text in texts}, self.cost.total
        for text in texts:
            self.take(text)
        for text in texts:
            tried = []
            for anchor in self.options[text]:
                self.put(text, anchor)
                tried.append((round(self.cost.total, 6), anchor != before[text], -len(anchor), anchor))
                self.take(text)
            self.put(text, min(tried)[-1])
        if self.cost.total < total - 1e-6:
            return True
        for text in texts:
            self.take(text)
            self.put(text, before[text])
        return False

    def together(self, chance: random.Random) -> list[str]:
        """Literals of which none alone can keep some word from being let through."""
        asked = [number for number, missing in enumerate(self.cost.missing) if not missing]
        number = chance.choices(asked, [self.cost.weights[number] for number in asked])[0]
        entry = chance.choice(self.cost.needed(number))
        texts = [text for text in self.options if len(self.options[text]) > 1 and entry in self.entries(text)]
        chance.shuffle(texts)
        return texts[:40]


def options(run: anchors.LiteralRun) -> dict[str, set[Entry]]:
    """Anchors that a literal may have, the usual one first."""
    text = run.text
    found = {
        text[at : at + size]: entries(text[at : at + size].encode("latin-1"), run.caseless)
        for size in SIZES
        if size <= len(text)
        for at in range(len(text) - size, -1, -1)
    }
    return {anchor: each for anchor, each in found.items() if "\n" not in anchor}


def literals(expressions: plan.Expressions) -> set[tuple[bytes, bool]]:
    """What the matcher of these is told to look for."""
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    texts, ids = [text for text, _ in expressions], [number for _, number in expressions]
    database.compile(expressions=texts, ids=ids, flags=[0] * len(texts))
    return {*matcher(hyperscan.dumpb(database))}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.anchors", description=__doc__)
    parser.add_argument("--trials", type=int, default=1000, help="how often to move several literals at once")
    parser.add_argument("--logs", type=Path, help="a folder of real logs to choose for, too")
    given = parser.parse_args()
    rules = load_rules()
    made, expressions, _ = plan.make(rules)
    movable: dict[str, dict[str, set[Entry]]] = {}
    may: set[bytes] = set()
    others = []
    for text, number in expressions:
        runs = anchors.choices(text) if plan.filler(rules, made, number) else []
        if runs:
            run = max(runs, key=lambda run: len(run.text))
            # What is common stays as it is.
            usual = (
                options(run) if run.text.strip(" _-.:=").lower() not in COMMON else dict([*options(run).items()][:1])
            )
            movable.setdefault(run.text, {}).update(usual)
            may |= {(anchor.upper() if run.caseless else anchor).encode("latin-1") for anchor in usual}
        else:
            others.append((text, number))
    found = literals(others)
    if not found:
        sys.exit("no literals found in the database: its format is not the one known here")
    # To what is common Hyperscan adds what comes next to it.
    found |= {literal for literal in literals(plan.searched(rules, made, expressions)) if literal[0] not in may}
    fixed = [entries(*literal) for literal in found if len(literal[0]) in SIZES]
    cost = Cost([*fixed, *(each for choice in movable.values() for each in choice.values())], given.logs)
    for literal in fixed:
        cost.add(literal)
    print(f"{len(fixed)} literals as they are: {cost.total:.2f} questions a thousand characters")
    choice = Choice(movable, cost)
    print(f"with the last characters of {len(movable)} others: {cost.total:.2f}", flush=True)
    while sum(choice.improve([text]) for text in movable):
        print(f"each where it alone costs least: {cost.total:.2f}", flush=True)
    chance = random.Random(1)
    better = sum(choice.improve(choice.together(chance)) for _ in range(given.trials))
    print(f"after {better} of {given.trials} trials with several: {cost.total:.2f}")
    # Where in the literal and how long: `password: "assword"` would be a finding of ours.
    table = [
        f"{text.rindex(anchor)} {len(anchor)} {text}"
        for text, anchor in sorted(choice.anchors.items())
        if anchor != text[-anchors.SIZE :]
    ]
    TABLE.write_bytes(orjson.dumps(table, option=orjson.OPT_INDENT_2) + b"\n")
    print(f"{TABLE}: {len(table)} literals")


if __name__ == "__main__":
    main()
