"""Fuzzing by property, FUZZ_SECONDS in total: a second each in a plain run, ten minutes in `make campaign`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from detectors.fingerprint import fingerprint, mask, normalise
from detectors.match import decode
from detectors.match.engine import Engine
from detectors.match.filters import entropy, looks_like_hash, placeholder, words
from detectors.rules.checksums import CHECKS
from detectors.rules.packfile import load_file
from detectors.rules.packs import FOLDER
from detectors.rules.rule import RuleError
from detectors.rules.syntax import diagnose, parse_problem
from detectors.rules.template import TemplateError, expand
from tests.detectors.texts import encoded, engine, fragments, texts

SECONDS = float(os.environ.get("FUZZ_SECONDS", "6")) / 6
pytestmark = pytest.mark.timeout(0)
START = int(os.environ.get("FUZZ_SEED", "0"))


def fuzz(strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Run `check` with ever new seeds until the time is over; a failure is shrunk and names its seed."""
    end, number = time.monotonic() + SECONDS, START
    while time.monotonic() < end:
        number += 1

        @seed(number)
        @settings(
            max_examples=40, database=None, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False
        )
        @given(strategy)
        def run(value: Any) -> None:
            check(value)

        run()


def test_the_engine_survives_any_text_and_keeps_its_promises() -> None:
    worker = engine().worker()

    def check(data: bytes) -> None:
        found = worker.scan(data)
        taken = -1
        for match in sorted(found, key=lambda m: m.start):
            assert 0 <= match.start < match.end <= len(data)
            assert match.start >= taken
            taken = match.end
            assert match.secret
            assert "\n" not in match.masked
            shown, _, _ = match.masked.partition("…[")
            assert shown.isascii()
            assert len(shown) <= len(match.secret) / 4 or shown.startswith("-----BEGIN ")
            assert len(match.decode) <= 3
            if not match.decode:
                assert match.rule.checksum or data[match.start : match.end] == match.secret
        accepted = [d.match for d in worker.explain(data) if d.accepted]
        assert sorted((m.rule.id, m.start, m.end) for m in accepted if m) == sorted(
            (m.rule.id, m.start, m.end) for m in found
        )

    fuzz(texts, check)


def test_decoders_survive_any_text_and_stay_inside_it() -> None:
    (part,) = engine().parts
    kinds = {codec.name: codec for codec in part.plan.codecs}

    def check(case: tuple[bytes, list[int]]) -> None:
        data, ends = case
        for codec in kinds.values():
            hits = [(codec, end) for end in ends if codec.length <= end <= len(data)]
            last = {}
            if not hits:
                continue
            # Hex is only ever asked about what Hyperscan saw to be hex.
            if codec.name == "hex":
                digits = b"0123456789abcdefABCDEF"
                hits = [h for h in hits if not data[h[1] - codec.length : h[1]].strip(digits)]
            for region in decode.regions(codec, data, hits) if hits else ():
                assert 0 <= region.start <= region.end <= len(data)
                assert len(region.text) <= 1 << 20
                place = region.places()
                for offset in {0, len(region.text) // 2, len(region.text) - 1} if region.text else ():
                    start, end = place(offset, offset + 1)
                    assert region.start <= start < end <= region.end
                last[codec.name] = region

    fuzz(st.tuples(texts, st.lists(st.integers(0, 400), max_size=8)), check)


def test_filters_checks_and_fingerprints_take_any_value() -> None:
    def check(value: bytes) -> None:
        placeholder(value)
        words(value, value)
        looks_like_hash(value, value)
        assert entropy(value) <= 8
        for look in CHECKS.values():
            answer = look(value)
            assert not (answer.reject and answer.valid)
        assert isinstance(normalise(value), bytes)
        assert len(fingerprint(b"k", value)) == 64
        mask(value, (value[:4].decode("latin-1"),))

    fuzz(encoded, check)


def test_templates_expand_or_say_what_is_wrong() -> None:
    pieces = st.sampled_from(
        "{alnum:8} {alnum} {hex:3-9} {hex:9-3} {b64({alnum:4})} {b64(} {pick:a|b} {uuid} {crc32} {jwt:role=*;a} "
        "{pem:X} {gz64(x)} {aws-id:A} {nope:3} {nope} { } : ( ) {{ }} {word:0} {digit:1-}".split()
    )

    def check(parts: list[str]) -> None:
        text = "".join(parts)
        with suppress(TemplateError):
            assert expand(text, 1) == expand(text, 1)

    fuzz(st.lists(st.one_of(pieces, st.text(max_size=5)), max_size=8), check)


def test_patterns_are_accepted_or_refused_with_a_column() -> None:
    pieces = st.sampled_from(
        r"( ) [ ] { } (?P<secret> (?i: (?= (?<! (?> | * + ? {3} {2,} {,4} {5,2} \b \B \d \w \s ^ $ . a ghp_ [a-z] "
        r"[^\n] \x41 \x{41} \u0041 \1 (?P=secret) \Q \E \p{L} [[:alpha:]] *+ ?? \\ \n (?s: (?m: (?#x) [z-a] ] é".split()
    )

    def check(parts: list[str]) -> None:
        text = "".join(parts)
        problem = parse_problem(text)
        if problem is not None:
            assert 0 <= problem.column <= len(text)
            assert problem.message
        else:
            diagnose(text)

    fuzz(st.lists(pieces, max_size=9), check)


def test_the_pack_loader_gives_rules_or_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "pack.toml"
    packs = sorted(FOLDER.glob("*/*.toml"))[::9]
    snippets = st.sampled_from(
        [
            *(word.decode("latin-1") for word in fragments()[:60]),
            *(
                '"',
                "'''",
                "[[rule]]",
                "[rule]",
                "id = 7\n",
                "= [\n",
                "entropy = nan\n",
                "digits = -1\n",
                "\0",
                "\ufeff",
                "é",
            ),
            *("keywords = []\n", "value = '('\n", "requires = [{}]\n"),
        ]
    )

    def check(case: tuple[Path, list[tuple[int, int, str]]]) -> None:
        source, edits = case
        text = source.read_text(encoding="utf-8")
        for place, length, new in edits:
            at = place % (len(text) + 1)
            text = text[:at] + new + text[at + length :]
        path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
        with suppress(RuleError):
            rules = load_file(path)
            assert all(rule.shape.trigger or rule.keywords for rule in rules)
            if rules:
                Engine.build(rules).worker().scan(text.encode("utf-8", "replace"))

    edits = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 40), snippets), min_size=1, max_size=4)
    fuzz(st.tuples(st.sampled_from(packs), edits), check)
