"""A block in turns: nothing is lost between them, and what is given up is told."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence

import pytest

from detectors.compile.codecs import Codec
from detectors.fingerprint import fingerprint
from detectors.match import decode
from detectors.match import engine as module
from detectors.match import search as module_search
from detectors.match.cost import UNHURRIED, DecodeBudget, Pace, TooSlowError
from detectors.match.decode import Region
from detectors.match.engine import Buffer, ScanResult
from detectors.match.exact import Exact, anchor
from detectors.match.judge import Judge, Verdict
from detectors.match.outcome import Unsearched
from detectors.rules.template import expand
from tests.detectors.texts import dense, engine, values

HALVES = Pace(turn=-1.0, piece=math.inf, least=1 << 12)  # whatever is larger is never done in one turn
KEY = b"k" * 32


def told(found: ScanResult) -> list[tuple[object, ...]]:
    """Of what is decoded without its confidence, as that hangs on what else of the block is decoded with it."""
    return [
        (m.start, m.end, m.rule.id, m.secret, m.severity, m.decode or m.confidence, m.decode) for m in found.matches
    ]


def packed(lines: bytes) -> bytes:
    """Some of them in base64, with escapes of URLs, and as UTF-16."""
    some = lines.split(b"\n")[:40]
    encoded = b"\n".join(b"body=" + base64.b64encode(b"then " + line) + b" end" for line in some)
    return encoded + b"\n" + lines.replace(b"=", b"%3D") + b"\n" + b"\n".join(some).decode().encode("utf-16-le")


@pytest.mark.parametrize("form", ["assignments", "json", "sql", "env", "line"])
def test_in_halves_the_same_is_found_as_at_once(form: str) -> None:
    data = dense(form, values(300))
    data += packed(data[: 1 << 13])
    whole, halves = (engine().worker().search(data, 1000, len(data) - 1000, pace) for pace in (UNHURRIED, HALVES))
    assert len(whole.matches) > 300
    assert told(halves) == told(whole)
    assert halves.hidden == whole.hidden
    assert not halves.unsearched


def test_values_of_our_own_are_found_in_halves() -> None:
    own = [f"own-value-{number}-{number * 7919}".encode() for number in range(200)]
    known = Exact([anchor(value, fingerprint(KEY, value), 8, KEY) for value in own], KEY)
    search = engine("vcs/github").beside(known).worker()
    data = b"".join(b"%d: %b is ours %b\n" % (n, value, b"." * 200) for n, value in enumerate(own))
    assert [match.secret for match in search.search(data, pace=HALVES).matches] == own


def test_only_what_alone_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was found in it by then is kept."""
    verdict = Judge.by_itself

    def judged(self: Judge, value: bytes, before: bytes) -> Verdict | None:
        if value.startswith(b"hostile"):
            raise TooSlowError
        return verdict(self, value, before)

    monkeypatch.setattr(Judge, "by_itself", judged)
    secrets = values(400)
    lines = [b"DB_PASSWORD=" + secret.encode() for secret in secrets]
    lines[300:300] = [b"DB_PASSWORD=hostile-k3J9x2M4q8"]
    data = b"\n".join(lines) + b"\n"
    found = engine().worker().search(data, pace=Pace(turn=math.inf, piece=math.inf, least=1 << 10))
    (gap,) = found.unsearched
    at = data.index(b"hostile")
    assert gap.why == "slow"
    assert gap.start < at < gap.end <= gap.start + 4096  # pieces see somewhat beyond their ends
    unseen = {secret for secret in secrets if gap.start < data.index(secret.encode()) < gap.end}
    missing = set(secrets) - {match.secret.decode() for match in found.matches}
    assert missing < unseen
    assert any(start <= gap.start < gap.end <= end for start, end in found.hidden)


def test_what_cannot_be_decoded_in_time_hides_nothing_that_stands_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def regions(
        codec: Codec,
        data: Buffer,
        hits: Sequence[tuple[Codec, int]],
        budget: DecodeBudget,
        within: tuple[int, int] | None,
    ) -> Iterable[Region]:
        for region in decode.regions(codec, data, hits, budget, within):
            if b"hostile" in region.text:
                raise TooSlowError
            yield region

    monkeypatch.setattr(module, "regions", regions)
    token = [expand("ghp_{alnum:30}{crc32}", seed).encode() for seed in range(300)]
    lines = [
        b"plain " + one if n % 2 else b"body=" + base64.b64encode(b"a token " + one) for n, one in enumerate(token)
    ]
    lines[200] = b"body=" + base64.b64encode(b"hostile " + token[200])
    data = b"\n".join(lines)
    found = engine().worker().search(data, pace=Pace(turn=math.inf, piece=math.inf, least=1 << 10))
    (gap,) = found.unsearched
    assert gap.why == "undecoded"
    assert gap.start < data.index(lines[200]) < gap.end
    seen = {match.secret for match in found.matches}
    assert seen >= set(token[1::2])
    assert {n for n, one in enumerate(token) if one not in seen} <= {n for n in range(190, 212) if n % 2 == 0}


def test_what_is_given_up_is_told_of_the_fresh_bytes_only() -> None:
    data = b"DB_PASSWORD=k3J9x2M4q8W1z5\n" * 100
    found = engine().worker().search(data, 500, 2000, Pace(turn=-1.0, piece=-1.0, least=256))
    assert found.unsearched == [Unsearched(500, 2000, "slow")]
    assert found.hidden[0][0] <= 500


def test_a_turn_ends_in_halves_and_another_worker_may_go_on() -> None:
    data = dense("env", values(200))
    search = engine().worker().begin(data, pace=HALVES)
    turns = 0
    while search.left:
        search.step(engine().worker())
        turns += 1
    assert turns > 2 * len(data) / HALVES.least / 2
    assert told(search.found()) == told(engine().worker().search(data, pace=UNHURRIED))


def test_what_is_dense_is_cut_before_it_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    data, turns = dense("env", values(1500)), 0
    monkeypatch.setattr(module_search, "_MANY", 300)
    search = engine().worker().begin(data, pace=Pace(turn=1e9, piece=math.inf, least=1 << 12))
    while search.left:
        search.step(engine().worker())
        turns += 1
    assert turns == 8
    assert told(search.found()) == told(engine().worker().search(data, pace=UNHURRIED))


@pytest.mark.parametrize("form", ["assignments", "json", "sql", "csv", "env"])
def test_of_many_credentials_none_is_missing(form: str) -> None:
    secrets = values(1000)
    found = engine().worker().search(dense(form, secrets), pace=Pace(turn=0.05, piece=math.inf))
    assert {match.secret.decode() for match in found.matches} == set(secrets)
    assert len(found.matches) == len(secrets)
