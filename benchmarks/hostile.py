"""Text in which every few bytes are another value, which costs the engine most.

    python -m benchmarks.hostile [--size 256K] [--rounds 3] [--only TEXT]

CPU time of the engine's thread, the least of some rounds over all texts, beside how many candidates there were, how many
different ones a rule judged, what was found, and a digest of that: of two versions it is the same if their findings are.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import random
import string
import time
from collections.abc import Callable

from benchmarks import loggen
from detectors.match.cost import BlockCost
from detectors.match.engine import Engine, Worker
from detectors.match.outcome import resolve
from detectors.rules.load import load_rules
from detectors.rules.rule import Rule
from detectors.rules.template import expand

_UPPER = string.ascii_uppercase + string.digits
_PLAIN = string.ascii_letters + string.digits
_SIGNS = _PLAIN + "!@#%^*-_+"


def _some(rng: random.Random, alphabet: str, size: int) -> str:
    return "".join(rng.choices(alphabet, k=size))


def texts(rules: list[Rule]) -> dict[str, Callable[[random.Random], str]]:
    """By name what makes a line, from which each next one differs."""
    examples = [(rule.id, template) for rule in rules for template in rule.examples]
    return {
        "a different password a line, bare": lambda rng: f"password={_some(rng, _SIGNS, 12)}\n",
        "a different password a line, in quotes": lambda rng: f'password="{_some(rng, _SIGNS, 12)}"\n',
        "a different API key a line, in quotes": lambda rng: f'api_key="{_some(rng, _PLAIN, 32)}"\n',
        "a different AWS key id a line": lambda rng: "AK" + f"IA{_some(rng, _UPPER[:26] + '234567', 16)}\n",
        "a different bearer token a line": lambda rng: f"Authorization: Bearer {_some(rng, _PLAIN, 40)}\n",
        "a different GitHub token a line": lambda rng: "gh" + f"p_{_some(rng, _PLAIN, 36)}\n",
        "a different word a line": lambda rng: f"password={_some(rng, string.ascii_lowercase, 3)}_name\n",
        "examples of all rules by lot": lambda rng: expand(rng.choice(examples)[1], rng.randrange(1 << 30)) + "\n",
        "`password===…` over and over": lambda _: "password=== ",
        "`api_key=` over and over": lambda _: "api_key=",
        "`password=` over and over": lambda _: "password=",
    }


def text(line: Callable[[random.Random], str], size: int) -> bytes:
    rng, out, made = random.Random(7), [], 0
    while made < size:
        out.append(line(rng).encode())
        made += len(out[-1])
    return b"".join(out)[:size]


def once(worker: Worker, data: bytes) -> tuple[float, str]:
    """(seconds, what there was)."""
    work, start = BlockCost(len(data), None), time.thread_time()
    matches = [match for match, _ in resolve(worker.decide(data, work))]
    spent = time.thread_time() - start
    told = [(m.rule.id, m.start, m.end, m.secret, m.masked, m.severity, m.confidence, m.decode) for m in matches]
    labels = [sorted(m.labels.items()) for m in matches]
    digest = hashlib.sha256(repr((told, labels)).encode()).hexdigest()[:12]
    return spent, f"{work.candidates} | {work.judged} | {len(matches)} | {digest}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.add_argument("--size", default="256K", help="bytes of each text (default 256K)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="how often each is scanned, after a first time (default 3)"
    )
    parser.add_argument("--only", default="", help="texts whose name has this in it")
    options = parser.parse_args()
    rules = load_rules()
    worker, size = Engine.build(rules).worker(), loggen.size(options.size)
    made = {name: text(line, size) for name, line in texts(rules).items() if options.only in name}
    best, told = dict.fromkeys(made, math.inf), {}
    for number in range(options.rounds + 1):
        for name, data in made.items():
            spent, told[name] = once(worker, data)
            best[name] = min(best[name], spent) if number else math.inf  # the first compiles what it needs
    print("| text | MB/s | candidates | judged | found | digest |\n| --- | --- | --- | --- | --- | --- |")
    for name, data in made.items():
        print(f"| {name} | {len(data) / best[name] / 1e6:.2f} | {told[name]} |")


if __name__ == "__main__":
    main()
