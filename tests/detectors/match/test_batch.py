"""Verdicts on many values at once are those on each by itself."""

from __future__ import annotations

import random
import string

import pytest

from detectors.match import batch
from detectors.match import engine as module
from detectors.match.cost import UNHURRIED
from detectors.match.engine import ScanResult
from tests.detectors.texts import dense, engine, values

NAMES = "password DB_PASSWORD secret api_key apiKey access_token userKey passwordHint reset_token key".split()
ALPHABETS = (
    string.ascii_letters + string.digits,
    string.ascii_letters + string.digits + "!@#%^*-_+.",
    string.hexdigits[:16],
    string.ascii_lowercase,
    string.printable[:94],
)
LINES = (
    "{}={}\n",
    '{}="{}"\n',
    "{}: {}\n",
    '{{"user":"bob","{}":"{}"}}\n',
    "  '{}' => '{}',\n",
    "2026-11-02 13:58:12 INFO {}={} done\n",
    'const {} = "{}";\n',
    "?{}={}&a=1 ",
    "--- PASS: {} {}\n",
)
SOME = "changeme hunter2 Berlin_2024 getTokenName a/b/c v1.2.3 password123 1234567890 ${VAR} a\xe9b\xe9cd\xe9".split()
BETWEEN = (
    "\n",
    "# a comment\n",
    "}\n",
    "user: bob\n",
    "test('x', () => {\n",
    "the words above it are of prose\n",
    "x" * 300 + "\n",
)


def mixed(seed: int, line: str) -> bytes:
    """Values behind names, hardly one like another."""
    rng = random.Random(seed)
    name, alphabet, size = rng.choice(NAMES), rng.choice(ALPHABETS), rng.choice((8, 12, 20, 32, 40))
    out = []
    for _ in range(80):
        value = rng.choice(SOME) if rng.random() < 0.1 else "".join(rng.choices(alphabet, k=size))
        out.append(line.format(name if rng.random() < 0.9 else rng.choice(NAMES), value))
        out += rng.choices(BETWEEN) if rng.random() < 0.06 else ()
    return "".join(out).encode("latin-1")


def told(found: ScanResult) -> object:
    return found.matches, found.hidden


@pytest.mark.parametrize("line", LINES)
def test_the_same_is_found_many_at_once_as_one_by_one(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [mixed(seed, line) for seed in range(12)]
    asked: list[int] = []
    verdicts = batch.verdicts
    monkeypatch.setattr(
        module, "verdicts", lambda judge, data, spans: asked.append(len(spans)) or verdicts(judge, data, spans)
    )
    worker = engine().worker()
    together = [told(worker.search(text, pace=UNHURRIED)) for text in texts]
    monkeypatch.setattr(module, "_ROW", 1 << 30)
    assert sum(asked) > 300
    assert together == [told(worker.search(text, pace=UNHURRIED)) for text in texts]


@pytest.mark.parametrize("form", ["assignments", "json", "sql", "csv", "env", "line"])
def test_in_dense_text_hardly_a_value_is_judged_alone(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = []
    verdict = module.Worker._verdict
    monkeypatch.setattr(module.Worker, "_verdict", lambda *args: alone.append(args) or verdict(*args))
    found = engine().worker().search(dense(form, values(600)), pace=UNHURRIED)
    assert len(found.matches) == 600
    assert len(alone) < 60
