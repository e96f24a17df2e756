"""What it costs to look for our own secrets by their exact values, and how many are found.

    python -m benchmarks.inventory [--size 256M] [--values 0,1000,10000,100000] [--rounds 4] [--planted 64M]

CPU time of the engine over the same generated log text with so many values beside the rules, of several rounds over all
rows the least, as a share of that with none. Then generated logs of the size that `--planted` says, no line of them
twice, are scanned as by `monitor scan --inventory`: in every 64 KiB one of 10,000 values or 100 private keys is planted
in one of the forms that logs give them. A value counts once it is found at its place by its fingerprint; whatever of
them is found elsewhere, or at its place a second time, is one too many.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
import random
import string
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

from benchmarks import loggen
from detectors.fingerprint import fingerprint
from detectors.match.engine import Engine
from detectors.match.exact import OWN, Exact, anchor
from detectors.rules.load import load_rules
from detectors.rules.template import expand
from monitor.inventory.reader_process import width
from monitor.scan.run import scan
from monitor.scan.search import ScanOptions
from monitor.scan.walk import walk

KEY = b"k" * 32
BLOCK = 256 << 10
EVERY = 64 << 10  # bytes of log between two planted values
_ALPHABETS = (string.ascii_letters + string.digits, "0123456789abcdef", string.ascii_letters + string.digits + "!@#%+&")


def values(count: int, seed: int = 1) -> Iterator[bytes]:
    """As managers hold them: letters and digits, hex, some with symbols, 16 to 64 characters."""
    source = random.Random(seed)
    for number in range(count):
        alphabet = _ALPHABETS[(0, 0, 1, 2)[number % 4]]
        size = 2 * source.randint(8, 32) if number % 4 != 2 else source.choice((32, 40, 64))
        yield "".join(source.choices(alphabet, k=size)).encode()


def exact(count: int) -> Exact:
    return Exact((anchor(value, fingerprint(KEY, value), width(value), KEY) for value in values(count)), KEY)


def _json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _base64(shift: int, write: Callable[[bytes], bytes]) -> Callable[[str], str]:
    return lambda text: write(b"abc"[:shift] + text.encode()).decode()


# As what a value stands in logs.
FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in quotes": lambda text: f'"{text}"',
    "connection string": lambda text: f"postgresql://app:{quote(text, safe='')}@db.internal:5432/orders",
    "percent": lambda text: quote(text, safe=""),
    "percent, twice": lambda text: quote(quote(text, safe=""), safe=""),
    "form": quote_plus,
    "JSON": lambda text: json.dumps({"msg": text}),
    "JSON, twice": lambda text: json.dumps(json.dumps({"msg": text})),
    "HTML": html.escape,
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    **{f"base64, {shift} before": _base64(shift, base64.b64encode) for shift in range(3)},
    **{f"base64url, {shift} before": _base64(shift, base64.urlsafe_b64encode) for shift in range(3)},
}
KEY_FORMS: dict[str, Callable[[str], str]] = {
    "key, in lines": lambda text: f"\n{text}\n",
    "key, literal \\n": _json,
    "key, JSON twice": lambda text: _json(_json(text)),
    "key, base64": lambda text: base64.b64encode(text.encode()).decode(),
}
LINES = (
    "2026-11-02T14:03:07Z INFO step 7 of {} done\n",
    "ts=2026-11-02T14:03:07Z level=debug caller=pool.go:117 value={}\n",
    "Nov  2 14:03:07 host-7 app[4711]: got {}; going on\n",
)


def keys(count: int) -> list[str]:
    return [expand("{pem:PRIVATE KEY}", seed).strip() for seed in range(count)]


def ours(engine: Engine, text: memoryview) -> int:
    """Scans all of it; how many of our own were found."""
    worker, found = engine.worker(), 0
    for at in range(0, len(text), BLOCK):
        found += sum(match.rule is OWN for match in worker.search(text[at : at + BLOCK]).matches)
    return found


def measure(
    rules: Engine, text: memoryview, counts: Sequence[int], rounds: int
) -> Iterator[tuple[int, float, float, int, int]]:
    """(values, CPU seconds of the engine, seconds to compile, bytes of the database, found in a text that holds none)
    for each count."""
    engines, compiling = {}, {}
    for count in counts:
        before = time.process_time()
        engines[count] = rules.beside(exact(count) if count else None)
        compiling[count] = time.process_time() - before
    spent = dict.fromkeys(counts, float("inf"))
    others = dict.fromkeys(counts, 0)
    for _ in range(rounds):
        for count, engine in engines.items():
            before = time.process_time()
            others[count] = ours(engine, text)
            spent[count] = min(spent[count], time.process_time() - before)
    for count in counts:
        own = engines[count].exact
        yield count, spent[count], compiling[count], own.database.size() if own is not None else 0, others[count]


@dataclass(frozen=True)
class Plant:
    """A value in a text: where its line begins and ends, how it is written, and its fingerprint."""

    start: int
    end: int
    form: str
    print_: str


@dataclass
class Recall:
    """What was planted, what of it was found, by form; `others`: found where nothing is, or twice."""

    planted: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    others: int = 0
    size: int = 0


def plant(text: bytes, own: Sequence[str], pems: Sequence[str], source: random.Random) -> tuple[bytes, list[Plant]]:
    """The text with a value planted after every EVERY bytes of it, at the end of a line."""
    parts: list[bytes] = []
    plants: list[Plant] = []
    at = size = 0
    ways = [(own, form, write) for form, write in FORMS.items()] + [(pems, *one) for one in KEY_FORMS.items()]
    while at < len(text):
        end = text.find(b"\n", min(at + EVERY, len(text) - 1)) + 1 or len(text)
        values, form, write = ways[len(plants) % len(ways)]
        value = source.choice(values)
        line = source.choice(LINES).format(write(value)).encode()
        parts += [text[at:end], line]
        size += end - at
        plants.append(Plant(size, size + len(line), form, fingerprint(KEY, value.encode())))
        size, at = size + len(line), end
    return b"".join(parts), plants


def recall(rules: Engine, own: Sequence[str], pems: Sequence[str], total: int, segment: int = loggen.SEGMENT) -> Recall:
    """Over so many bytes, in segments of which no two are alike."""
    encoded = [value.encode() for value in (*own, *pems)]
    prints = {fingerprint(KEY, value) for value in encoded}
    anchors = (anchor(value, fingerprint(KEY, value), width(value), KEY) for value in encoded)
    engine, outcome, source = rules.beside(Exact(anchors, KEY)), Recall(), random.Random(3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "app.log"
        for begin in range(0, total, segment):
            loggen.generate(min(segment, total - begin), path, seed=100 + begin // segment)
            text, plants = plant(path.read_bytes(), own, pems, source)
            path.write_bytes(text)
            outcome.size += len(text)
            _count(engine, path, plants, prints, outcome)
    return outcome


def _count(engine: Engine, path: Path, plants: Sequence[Plant], prints: set[str], outcome: Recall) -> None:
    outcome.planted.update(one.form for one in plants)
    starts, seen = [one.start for one in plants], set()
    for part in scan(walk([str(path)], lambda *_: None), engine, ScanOptions(KEY), 1):
        for hit in part.hits:
            offset, print_ = hit.finding.offset, hit.finding.fingerprint
            if print_ not in prints and hit.rule is not OWN:
                continue  # what a rule takes for a secret is no matter here
            number = bisect_right(starts, offset) - 1
            one = plants[number] if number >= 0 else None
            if one is None or offset >= one.end or print_ != one.print_ or number in seen:
                outcome.others += 1
                continue
            seen.add(number)
            outcome.found[one.form] += 1


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inventory", description=__doc__)
    parser.add_argument("--size", default="256M")
    parser.add_argument("--values", default="0,1000,10000,100000")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--planted", default="64M")
    options = parser.parse_args()
    counts = [int(count) for count in options.values.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "app.log"
        loggen.generate(loggen.size(options.size), path)
        text = memoryview(path.read_bytes())
    rules = Engine.build(load_rules())
    print("\n## Our own secrets by exact value\n")
    print(
        "| values | engine, CPU s | MB/s of CPU | of the engine without | compile, CPU s | MB held | found that is not there |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    base = 0.0
    for count, spent, compiling, held, others in measure(rules, text, counts, options.rounds):
        base = base or spent
        rate = len(text) / spent / 1e6
        print(
            f"| {count:,} | {spent:.2f} | {rate:,.0f} | {spent / base:.2f} | {compiling:.1f} | {held / 1e6:.1f} | {others} |"
        )
    outcome = recall(rules, [value.decode() for value in values(10_000)], keys(100), loggen.size(options.planted))
    print(f"\n10,000 values and 100 keys in {outcome.size:,} bytes of logs:\n")
    print("| written | planted | found |")
    print("| --- | --- | --- |")
    for form, count in outcome.planted.items():
        print(f"| {form} | {count:,} | {outcome.found[form]:,} |")
    planted, found = outcome.planted.total(), outcome.found.total()
    print(f"| all | {planted:,} | {found:,} ({found / planted:.2%}) |")
    print(f"\nFound where nothing was planted, or twice: {outcome.others}.")


if __name__ == "__main__":
    main()
