"""What a rule costs, measured: scan speed of a trigger alone and of a pack with and without it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from dataclasses import dataclass

import hyperscan

from detectors.compile.hints import hints
from detectors.match.judge import Judge
from detectors.rules.pattern import UNBOUNDED
from detectors.rules.rule import Rule
from detectors.rules.syntax import unbounded
from detectors.rules.template import expand
from monitor.common.regex import compile_re2

__all__ = ["Cost", "anchor", "bench", "cost", "costly", "log_text", "megabytes_a_second", "passing", "warnings"]

BLOCK = 512 << 10
# A pattern slower than this alone holds the whole pack back: a pack runs at about 1,500.
SLOW = 700.0
_BY_CHANCE = frozenset(("placeholder", "digits", "entropy", "words", "hash", "score"))  # stages that look at the value


@dataclass(frozen=True, slots=True)
class Cost:
    """What one rule costs. `alone`: MB/s of its trigger by itself; `hits` of the trigger in the sample."""

    rule: Rule
    alone: float
    hits: int

    @property
    def extra(self) -> float:
        """Microseconds a megabyte, the figure that adds up over a pack."""
        return 1e6 / self.alone


def log_text(size: int = 4 << 20, seed: int = 1) -> bytes:
    """Log lines of several services, with the words that rules look for but no secret."""
    rng = random.Random(seed)
    words = (
        "request session token_count user password_reset cache key_id database queue api_key_name upstream retry auth "
        "worker secret_rotation bucket login client config deploy account customer invoice model prompt access latency"
    ).split()
    lines = []
    length = 0
    while length < size:
        said = " ".join(rng.choices(words, k=8))
        number = rng.getrandbits(64)
        line = rng.choice(
            (
                f'{{"time":"2026-01-02T03:04:05Z","level":"info","msg":"{said}","trace_id":"{number:016x}"}}',
                f'10.0.{number % 250}.7 - - [02/Jan/2026:03:04:05 +0000] "GET /v1/{words[number % 27]}?page='
                f'{number % 90}&q=a%20b HTTP/1.1" 200 512',
                f'ts=2026-01-02T03:04:05Z level=warn caller=main.go:{number % 900} msg="{said}" tokens={number % 4096}',
                f"Jan  2 03:04:05 web-1 app[{number % 30000}]: {said} uid={number % 2000}",
            )
        )
        lines.append(line)
        length += len(line) + 1
    return ("\n".join(lines) + "\n").encode()[:size]


def megabytes_a_second(data: bytes, *databases: hyperscan.Database, repeat: int = 3) -> tuple[float, int]:
    """Best of `repeat` scans of `data` in blocks, by CPU time of this thread, and the number of hits. Every database
    sees every block, as those of an engine do."""
    scratches = [hyperscan.Scratch(database) for database in databases]
    hits = 0

    def on_match(*_: object) -> None:
        nonlocal hits
        hits += 1

    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
    best = float("inf")
    for _ in range(repeat):
        hits, start = 0, time.thread_time()
        for block in blocks:
            for database, scratch in zip(databases, scratches, strict=True):
                database.scan(block, match_event_handler=on_match, scratch=scratch)
        best = min(best, time.thread_time() - start)
    return len(data) / 1e6 / max(best, 1e-9), hits


def cost(rule: Rule, data: bytes) -> Cost:
    """Measure one rule on `data`. Raises hyperscan.error for a trigger it refuses."""
    # Of a rule with keywords the engine looks for those alone.
    texts = [text for text, _ in hints([(0, rule.keywords)])] if rule.keywords else _triggers(rule)
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=texts, ids=[0] * len(texts), flags=[0] * len(texts))
    return Cost(rule, *megabytes_a_second(data, database))


def _triggers(rule: Rule) -> list[bytes]:
    return [text.encode("ascii") for text in rule.shape.triggers]  # one by one, as joined they may be too long


def passing(rule: Rule, count: int = 60) -> float:
    """The share of random values of the rule's format that its filters let pass: of what it misses, the price.

    `count` values of each of the first three examples, as chance gives them, so some have few digits or repeat.
    """
    regex, judge = compile_re2(rule.confirm), Judge(rule)
    group = min(1, regex.groups)  # without one, the value is the whole
    passed = seen = 0
    for template in rule.examples[:3]:
        for seed in range(count):
            text = expand(template, seed, typical=False).encode()
            if (found := regex.search(text)) is not None:
                seen += 1
                start, end = found.span(group)
                beside = text[max(0, start - judge.back) : start], text[end : end + judge.ahead]
                passed += judge.verdict(found[group], *beside, explain=False).stage not in _BY_CHANCE
    return passed / max(1, seen)


def anchor(rule: Rule) -> str:
    """What Hyperscan can look for before it runs the pattern, in words."""
    literals = rule.shape.literals
    if not literals:
        return "no literal: the pattern itself runs over every byte"
    shown = ", ".join(repr(word) for word in sorted(set(literals), key=len)[:6])
    more = len(set(literals)) - 6
    return f"{shown}{f' and {more} more' if more > 0 else ''}{' in any case' if rule.shape.caseless else ''}"


def warnings(rule: Rule, data: bytes | None = None) -> list[str]:
    """What about this rule slows a pack down, and what to do; measured on `data` if given, else judged by literals."""
    out = []
    literals = rule.shape.literals
    if not literals or min(map(len, literals)) < 3:
        out.append(
            f"anchor: {anchor(rule)}; let it start with three or more fixed characters, "
            "or give `keywords` and a `value` so that the issuer's name is the anchor"
        )
    if (column := unbounded(rule.pattern)) is not None:
        out.append(
            f"pattern: column {column + 1}: any number of any character takes whatever stands beside, and is cut after "
            f"{UNBOUNDED:,} bytes; bound it, such as .{{0,80}}, or name the characters"
        )
    if data is not None:
        measured = cost(rule, data)
        if measured.alone < SLOW:
            out.append(f"speed: {measured.alone:.0f} MB/s alone, below {SLOW:.0f}: it would hold the whole pack back")
        if measured.hits > len(data) / 20_000:
            rate = measured.hits * 1e6 / len(data)
            out.insert(0, f"hits: too broad: its trigger fires {rate:.0f} times a megabyte of plain logs")
    return out


def bench(rules: Iterable[Rule], data: bytes) -> list[Cost]:
    """Cost of each rule, worst first."""
    return sorted((cost(rule, data) for rule in rules), key=lambda c: c.alone)


def costly(rules: Iterable[Rule]) -> list[str]:
    """Warnings for those of `rules` that are the user's own, measured; each names file, rule and what to do."""
    own = [rule for rule in rules if rule.family == "custom"]
    data = log_text(1 << 20) if own else b""
    return [f"{rule.source}: {rule.id}: {warning}" for rule in own for warning in warnings(rule, data)]
