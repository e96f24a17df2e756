"""Secrets to plant, and a search that finds any trace of them in what the process lets out."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from urllib.parse import quote

from detectors.match.engine import Engine
from detectors.rules.rule import Rule
from detectors.rules.template import expand

WINDOW = 12  # bytes of a secret in a row that must not be seen
_LEAST = 8  # bytes of a form of a shorter one that must not
_WORD = struct.Struct("=Q")


@dataclass(frozen=True)
class Canary:
    """One planted line. `secrets`: value → what its masked preview shows of it."""

    rule: str
    text: str
    secrets: dict[bytes, bytes]


def choose(rules: Iterable[Rule], a_family: int) -> list[Rule]:
    """Some rules of every family, spread over its vendors, and all that this product is about."""
    families: dict[str, list[Rule]] = defaultdict(list)
    for rule in rules:
        if not rule.requires:
            families[rule.family].append(rule)
    chosen: list[Rule] = []
    for _, members in sorted(families.items()):
        step = max(1, len(members) // a_family)
        chosen += members[::step][:a_family]
    wanted = ("github-pat", "private-key-rsa", "private-key-openssh", "authorization-basic", "jwt", "postgresql-uri")
    chosen += [rule for rule in rules if rule.id in wanted and rule not in chosen]
    return chosen


def plant(engine: Engine, rules: Iterable[Rule], seed: int) -> list[Canary]:
    """Each rule's first example on one line, raw or wrapped in the ways of logs."""
    worker = engine.worker()
    wraps = (
        lambda text: text,
        lambda text: json.dumps({"msg": text}),
        lambda text: f"blob={base64.b64encode(text.encode()).decode()}",
        lambda text: f"GET /x?q={quote(text, safe='')} 200",
        lambda text: json.dumps({"log": json.dumps({"msg": text})}),
    )
    planted = []
    for number, rule in enumerate(rules):
        example = expand(rule.examples[0], seed)
        for wrap in (wraps[number % len(wraps)], wraps[1]):
            text = wrap(example) if "\n" not in example or wrap is not wraps[0] else wraps[1](example)
            matches = worker.scan(text.encode() + b"\n")
            if matches and min(len(match.secret) for match in matches) >= _LEAST:  # fewer stand anywhere by chance
                shown = {bytes(m.secret): m.masked.split("…")[0].encode() for m in matches}
                planted.append(Canary(rule.id, text, shown))
                break
    return planted


def _forms(value: bytes) -> Iterator[bytes]:
    """How a value may be written: as it is, in UTF-16, base64 at each alignment, hex, percent-encoded, JSON-escaped."""
    yield value
    yield value.decode("latin-1").encode("utf-16-le")
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + value)[4 if shift else 0 :].rstrip(b"=")
        if (shift + len(value)) % 3:
            text = text[:-1]  # it depends on what comes next
        yield text
        yield text.translate(bytes.maketrans(b"+/", b"-_"))
    yield value.hex().encode()
    yield value.hex().upper().encode()
    text = value.decode("utf-8", "replace")
    yield quote(text, safe="").encode()
    yield json.dumps(text)[1:-1].encode()


def _windows(text: bytes) -> set[bytes]:
    return {text[at : at + WINDOW] for at in range(len(text) - WINDOW + 1)}


@dataclass
class Search:
    """Built from canaries. `twins` hold other values of the same rules: what both share is format, not secret."""

    canaries: list[Canary]
    twins: list[Canary]
    windows: dict[bytes, str] = field(default_factory=dict)
    words: set[int] = field(default_factory=set)  # of eight bytes, in any window
    short: dict[bytes, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        common: set[bytes] = set()
        for twin in self.twins:
            for value in twin.secrets:
                for form in _forms(value):
                    common |= _windows(form)
            common |= _windows(twin.text.encode())
        for canary in self.canaries:
            for value, shown in canary.secrets.items():
                if len(value) - len(shown) < WINDOW:
                    self.short |= dict.fromkeys((form for form in _forms(value) if len(form) >= _LEAST), canary.rule)
                hidden = value[max(0, len(shown) - WINDOW + 1) :]
                for form in _forms(hidden):
                    self.windows |= dict.fromkeys(_windows(form) - common, canary.rule)
        for window in self.windows:
            self.words.update(word for at in range(WINDOW - 7) for (word,) in [_WORD.unpack_from(window, at)])

    def hits(self, data: bytes) -> list[str]:
        """Rules whose secret shows in `data`, each once, with where."""
        found: dict[str, str] = {}
        for at in self._near(data):
            rule = self.windows.get(data[at : at + WINDOW])
            if rule is not None:
                found.setdefault(rule, f"{rule} at {at}")
        for value, rule in self.short.items():
            if value in data:
                found.setdefault(rule, f"{rule} in full")
        return sorted(found.values())

    def _near(self, data: bytes) -> Iterator[int]:
        """Where a window may begin: every one holds eight bytes that begin at a multiple of four, and megabytes are
        looked through for these in a tenth of the time."""
        for first in (0, 4):
            whole = memoryview(data)[first : first + max(0, len(data) - first) // 8 * 8].cast("Q")
            if not self.words.isdisjoint(whole):
                for number, word in enumerate(whole):
                    if word in self.words:
                        at = first + 8 * number
                        yield from range(max(0, at - WINDOW + 8), at + 1)


def _hidden_in_gzip(text: str) -> str:
    return "blob=" + base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("'", "&#39;").replace("=", "&#61;")


def _unicode_escapes(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" if char in "\"'=:/+" else char for char in text)


# What a line may be wrapped in, by decoder.
WRAPS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "json": lambda text: json.dumps({"msg": text}),
    "base64": lambda text: f"blob={base64.b64encode(text.encode()).decode()}",
    "hex": lambda text: f"blob={text.encode().hex()}",
    "gzip": _hidden_in_gzip,
    "percent": lambda text: f"GET /x?q={quote(text, safe='')}&n=1 200",
    "html": lambda text: f"<td>{_entities(text)}</td>",
    "escape": _unicode_escapes,
}
TOKEN = "ghp_{alnum:30}{crc32}"
_SAYINGS = (
    'token="{0}"',
    "auth failed for {0} at step 3",
    '{{"password": "x", "token": "{0}"}}',
    "https://x.example.org/?token={0}&a=1",
)


def generate(seed: int, count: int, wraps: Sequence[str]) -> Iterator[Canary]:
    """Lines with one to three secrets each, wrapped up to three deep, many with a long plain tail."""
    random = Random(seed)
    for number in range(count):
        values = [expand(TOKEN, f"{seed}/{number}/{place}") for place in range(random.randint(1, 3))]
        text = "".join(random.choice(_SAYINGS).format(value) + " and " for value in values)
        for _ in range(random.randint(1, 3)):
            text = WRAPS[random.choice(wraps)](text)
        tail = " ".join(f"step{random.getrandbits(20)}" for _ in range(random.choice((0, 3, 200))))
        yield Canary(
            "github-pat", f"2026-11-02 INFO {text} {tail}", {value.encode(): value[:8].encode() for value in values}
        )
