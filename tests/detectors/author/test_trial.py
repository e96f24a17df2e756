from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from detectors.author import trial
from detectors.author.trial import Report, Sample, as_entry, search
from detectors.match.engine import Engine
from detectors.rules.rule import Rule
from detectors.rules.template import expand
from tests.detectors.texts import built, worker

RULE = Rule(id="r", name="Rule", pattern=r"acme_(?P<secret>[a-z0-9]{12})\b", severity="high", family="test")
OTHER = Rule(id="other", name="Other", pattern=r"zeta_(?P<secret>[a-z0-9]{12})\b", severity="high", family="test")
VALUE, SECOND = (expand("{lownum:12}", seed) for seed in (1, 2))


def tried(data: bytes, rule: Rule = RULE, *, limit: int = 9, reveal: bool = False) -> Report:
    return search(rule, built(rule), lambda: built(rule, OTHER), [Sample("x.log", data)], limit=limit, reveal=reveal)


def test_places_are_counted_over_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "CHUNK", 64)
    data = (b"plain line\n" * 20) + f"a acme_{VALUE} b\n".encode() + b"plain\n" * 20 + f"acme_{SECOND}".encode()
    report = tried(data)
    assert [(hit["line"], hit["column"], hit["accepted"]) for hit in report.hits] == [(21, 8, True), (42, 6, True)]
    assert (report.accepted, report.size, report.lines) == (2, len(data), 42)


LINES = Rule(id="l", name="L", pattern=r"begin\s+(?P<secret>[a-z0-9]{12})\s+end", severity="high", family="test")


@pytest.mark.parametrize("separator", ["\n", " "])
def test_a_candidate_over_the_end_of_a_piece_is_found_once(monkeypatch: pytest.MonkeyPatch, separator: str) -> None:
    before = f"x{separator}" * 20_000  # more than the context
    text = f"{before}begin{separator}{VALUE}{separator}end{separator}".encode()
    whole = tried(text, LINES)
    assert whole.accepted == 1
    for shift in range(0, 40, 3):
        monkeypatch.setattr(trial, "CHUNK", len(before) + shift)
        report = tried(text, LINES)
        assert (report.accepted, report.lines, len(report.hits)) == (1, whole.lines, len(whole.hits))
        for hit, expected in zip(report.hits, whole.hits, strict=True):
            # Of a line longer than the context a column counts from where that begins.
            same = expected if separator == "\n" else {**expected, "column": hit["column"]}
            assert hit == same


def test_only_so_many_are_shown_and_all_are_counted() -> None:
    report = tried(f"acme_{VALUE} acme_{SECOND}\n".encode(), limit=1)
    assert (len(report.hits), report.accepted) == (1, 2)


def test_what_any_rule_finds_beside_a_hit_is_masked_unless_it_is_to_be_shown() -> None:
    line = f"acme_{VALUE} zeta_{SECOND}\n".encode()
    hidden, shown = tried(line).hits[0]["context"], tried(line, reveal=True).hits[0]["context"]
    assert VALUE not in hidden
    assert SECOND not in hidden
    assert shown == line.decode().strip()


def test_beside_a_hit_stands_what_an_alert_would_show() -> None:
    line = f"{{'log': \"acme_{VALUE} refused {{'encryption_key': 'walnut-kettle-3173'}}\"}}\n".encode()
    assert tried(line).hits[0]["context"].endswith("refused {'encryption_key': '…'}\"}")


def test_a_place_with_the_literal_alone_is_a_near_miss() -> None:
    report = tried(f"acme_{VALUE[:5]} and more\n".encode())
    assert [(hit["accepted"], hit["stage"]) for hit in report.hits] == [(False, "pattern")]
    assert VALUE[:5] not in repr(report.hits)


def test_an_entry_holds_templates_of_what_was_found() -> None:
    report = tried(f"key acme_{VALUE}\n".encode())
    text, accepted = as_entry(RULE, report)
    entry = tomllib.loads(text)["rule"][0]
    assert accepted
    assert VALUE not in text
    assert entry["pattern"] == RULE.pattern
    made = Rule(id="m", name="Made", pattern=entry["pattern"], severity="high", family="test")
    found = [len(worker(made).scan(expand(example).encode())) for example in entry["examples"]]
    assert found == [1]


def test_an_entry_says_when_its_examples_do_not_hold() -> None:
    never = replace(RULE, entropy=7.9)
    _, accepted = as_entry(never, tried(b"nothing here\n", never))
    assert not accepted


def test_the_pack_is_asked_for_once_something_is_found() -> None:
    asked: list[int] = []

    def whole() -> Engine:
        asked.append(1)
        return built(RULE, OTHER)

    for data, times in ((b"nothing here\n", 0), (f"acme_{VALUE}\n".encode(), 1)):
        search(RULE, built(RULE), whole, [Sample("x.log", data)] * 2, limit=9, reveal=False)
        assert len(asked) == times
