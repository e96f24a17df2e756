"""Texts to search, for property tests: pieces that rules look for, wrapped in the encodings that logs use."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import functools
import gzip
import json
import os
import random
import shutil
import string
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import strategies as st

from detectors.compile import prebuilt
from detectors.compile.plan import Compiled, _key
from detectors.match.cost import BlockCost
from detectors.match.engine import Engine, Match, Worker
from detectors.match.outcome import resolve
from detectors.match.search import Text
from detectors.rules.load import load_rules
from detectors.rules.rule import Rule
from detectors.rules.template import expand
from tests.folders import SESSION


def rule(pattern: str, **fields: object) -> Rule:
    return Rule(**{"id": "r", "name": "Rule", "pattern": pattern, "severity": "high", "source": "own.toml", **fields})  # type: ignore[arg-type]


_PARTS: dict[bytes, Sequence[Compiled]] = {}


def built(*chosen: Rule) -> Engine:
    """As `Engine.build` makes it. What is looked for in the same way is compiled once, as one rule takes a seventh of a
    second."""
    key = _key(chosen)
    if key not in _PARTS:
        _PARTS[key] = Engine.build(chosen, trial=True).parts
    return Engine(chosen, _PARTS[key])


def worker(*chosen: Rule) -> Worker:
    return built(*chosen).worker()


@contextlib.contextmanager
def shared(name: str = "default") -> Iterator[Path | None]:
    """A folder for compiled rules that all processes of a test session share; who comes second waits for it."""
    if SESSION not in os.environ:
        yield None
        return
    folder = Path(os.environ[SESSION]) / name.replace("/", "-")
    folder.mkdir(mode=0o700, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


@functools.cache
def _made() -> None:
    """What `make run` makes in a checkout is there and of the rules as they are, for all that the tests start."""
    with shared(), contextlib.suppress(OSError):
        prebuilt.make()


@functools.cache
def rules() -> tuple[Rule, ...]:
    """The default packs."""
    _made()
    with shared() as cache:
        return tuple(load_rules(cache_dir=cache))


def shares(every: int) -> list[Any]:
    """Parameters of a test over all rules: `make test` takes each so manieth, `make campaign` all."""
    return [every, pytest.param(1, marks=[pytest.mark.campaign, pytest.mark.timeout(3600)])]


_GITHUB = ("vcs/github",)


@functools.cache
def engine(*packs: str) -> Engine:
    """All of the default packs, or of those named, compiled."""
    _made()
    chosen = load_rules(packs) if packs else rules()
    with shared("default" if packs in ((), _GITHUB) else " ".join(packs)) as cache:
        return Engine.build(chosen, cache)


@functools.cache
def warm() -> Path | None:
    """The cache of the shipped rules, and of those of GitHub alone, as a command leaves it; None outside pytest."""
    engine()
    engine(*_GITHUB)
    with shared() as cache:
        return cache


def lend(folder: Path) -> None:
    """Puts `warm` there. In links: nothing writes into a file of a cache, but another one in its place."""
    if (cache := warm()) is not None:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copytree(cache, folder, copy_function=_linked, dirs_exist_ok=True)


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        pass  # it was lent before
    except OSError:
        shutil.copy2(source, target)  # it lies in another file system


@functools.cache
def examples(count: int = 400) -> tuple[bytes, ...]:
    """Expanded examples, of as many rules as `count`, spread over the packs."""
    chosen = rules()[:: max(1, len(rules()) // count)]
    return tuple(expand(template, 7).encode() for rule in chosen for template in rule.examples[:1])


@functools.cache
def fragments() -> tuple[bytes, ...]:
    """Literals, keywords and what stands around values."""
    words = {word.encode("latin-1") for rule in rules() for word in (*rule.shape.literals, *rule.keywords)}
    glue = (
        rb"""= : => := " ' \" \\\" \n \\n %3D %22 %253D %25 &quot; \u003d \u0022 <password> </password> ://u: @h/ """
        rb"""password= secret: token token= api_key=" Authorization: Bearer Basic Cookie: eyJ . -----BEGIN -----END """
        rb"PRIVATE KEY----- H4sI --password -u mysql machine login aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zA"
    ).split(b" ")
    return (*sorted(words)[::5], *glue, b" ", b"\n", b"\r\n", b"-" * 5, b"\0", b"\xff", b"\xc3\xa9")


def bomb() -> bytes:
    """Gzip in base64, thrice nested: less than a kilobyte of what would be nearly five gigabytes."""
    text = b"password=== " * 4705
    for times in (469, 181, 1):
        text = (_gzip64(text) + b" ") * times
    return text.strip()


def values(count: int, seed: int = 1) -> list[str]:
    """Different credentials: base64, hex, letters and digits, by turns."""
    rng = random.Random(seed)
    makers = (
        lambda: base64.b64encode(rng.randbytes(24)).decode(),
        lambda: rng.randbytes(18).hex(),
        lambda: "".join(rng.choices(string.ascii_letters + string.digits, k=24)),
    )
    return [makers[number % 3]() for number in range(count)]


_DENSE: dict[str, Callable[[int, str], str]] = {
    "assignments": lambda n, value: f"DB_PASSWORD={value}\n",
    "json": lambda n, value: json.dumps({"user": f"u{n}", "password": value}) + "\n",
    "sql": lambda n, value: f"INSERT INTO users (name, password) VALUES ('u{n}', '{value}');\n",
    "csv": lambda n, value: f"u{n},{value}\n",
    "env": lambda n, value: f"SERVICE_{n}_API_TOKEN={value}\n",
    "line": lambda n, value: f"password={value} ",
}


def dense(form: str, secrets: Sequence[str]) -> bytes:
    """A text of nothing but credentials."""
    head = "user,password\n" if form == "csv" else ""
    return (head + "".join(_DENSE[form](number, value) for number, value in enumerate(secrets))).encode()


def _gzip64(text: bytes) -> bytes:
    return base64.b64encode(gzip.compress(text, mtime=0))


def _json(text: bytes) -> bytes:
    return json.dumps(text.decode("latin-1")).encode()


ENCODERS: tuple[Callable[[bytes], bytes], ...] = (
    base64.b64encode,
    base64.urlsafe_b64encode,
    lambda text: text.hex().encode(),
    lambda text: quote_from_bytes(text, safe="").encode(),
    _json,
    lambda text: _json(_json(text)),
    _gzip64,
    lambda text: text[: len(text) * 2 // 3],
    lambda text: text * 3,
    lambda text: b"x" + text,
)

pieces = st.one_of(
    st.deferred(lambda: st.sampled_from(examples())),
    st.deferred(lambda: st.sampled_from(fragments())),
    st.binary(max_size=24),
    st.text("abcdefXYZ0189+/=_-.%", max_size=60).map(str.encode),
)
encoded = st.recursive(
    pieces,
    lambda inner: st.builds(
        lambda parts, how: how(b"".join(parts)), st.lists(inner, max_size=4), st.sampled_from(ENCODERS)
    ),
)
texts = st.lists(encoded, max_size=12).map(b"".join)


def oracle(engine: Engine, data: bytes, chosen: Sequence[int] | None = None) -> list[Match]:
    """What the rules find in the plain text of `data`: RE2 over all of it for every rule, no trigger, no window."""
    worker = engine.worker()
    decided = []
    for number in range(len(engine.rules)) if chosen is None else chosen:
        ends: dict[int, list[int]] = {number: [len(data)]}
        shape = engine.rules[number].shape
        wide = [*range(0, len(data), max(1, shape.back)), len(data)]
        ends[number] = wide  # windows that touch are merged into one over the whole text
        text = Text(data, BlockCost(len(data), None))
        worker._read(text, ends)
        decided += text.out
    return [match for match, _ in resolve(decided)]
