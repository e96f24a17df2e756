"""What it costs to look for our own secrets by their exact values.

    python -m benchmarks.inventory [--size 256M] [--values 0,1000,10000,100000] [--rounds 4]

CPU time of the engine over the same generated log text with so many values beside the rules, of several rounds over all
rows the least, as a share of that with none. Then 100 of the values are planted in nine forms each: how many are found,
and how much else in the text is taken for one.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import string
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from benchmarks import loggen
from detectors.engine import Engine
from detectors.exact import OWN, Exact, anchor
from detectors.fingerprint import fingerprint
from detectors.load import load_rules
from monitor.inventory.child import width

KEY = b"k" * 32
BLOCK = 256 << 10
PLANTED = 100
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


def forms(value: bytes) -> Iterator[bytes]:
    text = value.decode()
    yield from (value, value.hex().encode(), value.hex().upper().encode(), quote(text, safe="").encode())
    yield from (json.dumps({"msg": text}).encode(), json.dumps(json.dumps(text)).encode())
    yield from (base64.b64encode(b"abc"[:shift] + value) for shift in range(3))


def ours(engine: Engine, text: memoryview) -> int:
    """Scans all of it; how many of our own were found."""
    worker, found = engine.worker(), 0
    for at in range(0, len(text), BLOCK):
        found += sum(match.rule is OWN for match in worker.search(text[at : at + BLOCK]).matches)
    return found


def measure(
    rules: Engine, text: memoryview, counts: Sequence[int], rounds: int
) -> Iterator[tuple[int, float, float, int]]:
    """(values, CPU seconds of the engine, seconds to compile, found in a text that holds none) for each count."""
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
        yield count, spent[count], compiling[count], others[count]


def recall(rules: Engine, count: int) -> tuple[int, int]:
    """(found, planted) of a hundred of so many values in every form, a line each; each counts if found once."""
    worker = rules.beside(exact(count)).worker()
    found = planted = 0
    for value in list(values(count))[:: max(1, count // PLANTED)]:
        for form in forms(value):
            planted += 1
            matches = worker.scan(b"2026-11-02T14:03:07Z INFO step 7 of " + form + b" done\n")
            found += [fingerprint(KEY, match.secret) for match in matches] == [fingerprint(KEY, value)]
    return found, planted


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inventory", description=__doc__)
    parser.add_argument("--size", default="256M")
    parser.add_argument("--values", default="0,1000,10000,100000")
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    counts = [int(count) for count in options.values.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "app.log"
        loggen.generate(loggen.size(options.size), path)
        text = memoryview(path.read_bytes())
    rules = Engine.build(load_rules())
    print("\n## Our own secrets by exact value\n")
    print("| values | engine, CPU s | MB/s of CPU | of the engine without | compile, CPU s | found that is not there |")
    print("| --- | --- | --- | --- | --- | --- |")
    base = 0.0
    for count, spent, compiling, others in measure(rules, text, counts, options.rounds):
        base = base or spent
        rate = len(text) / spent / 1e6
        print(f"| {count:,} | {spent:.2f} | {rate:,.0f} | {spent / base:.2f} | {compiling:.1f} | {others} |")
    found, planted = recall(rules, max(1, min(10_000, counts[-1])))
    print(f"\nPlanted in every form: {found} of {planted} found, each once.")


if __name__ == "__main__":
    main()
