from __future__ import annotations

import base64
import copy
import functools
import gzip
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings

from detectors.match.cost import DECODED_LEAST, DECODED_MOST, BlockCost, DecodeBudget
from detectors.match.engine import Buffer, Engine, Match
from detectors.match.judge import Judge, Verdict
from detectors.match.outcome import Unsearched, resolve
from detectors.match.search import BlockPart, Hits, Text
from detectors.match.windows import Ends
from detectors.rules.rule import Requires, Rule, RuleError
from detectors.rules.template import base62_crc32, expand
from tests.detectors.texts import bomb, engine, oracle, rule, rules, texts, values, worker


def spans(found: list[Match]) -> list[tuple[str, int, int]]:
    return [(m.rule.id, m.start, m.end) for m in found]


SIMPLE = rule(r"\b(?P<secret>tok_[a-z0-9]{12})\b", id="simple")
GITHUB = "ghp_{alnum:30}{crc32}"


def github(seed: int = 1) -> str:
    return "ghp_" + expand("{alnum:30}{crc32}", seed)


# --- finding


def test_a_match_is_the_secret_and_where_it_stands() -> None:
    (match,) = worker(SIMPLE).scan(b"x=tok_k3j9x2m4q8w1 y")
    assert (match.start, match.end, match.secret) == (2, 18, b"tok_k3j9x2m4q8w1")
    assert (match.masked, match.severity, match.confidence) == ("tok_…[16]", "high", "high")
    assert "k3j9" not in repr(match)


def test_only_the_group_is_reported_and_only_once() -> None:
    found = worker(rule(r"key=(?P<secret>[a-z0-9]{8,})(?:[^a-z0-9]|$)")).scan(b"key=k3j9x2m4 key=q8w1z6v0r5")
    assert [m.secret for m in found] == [b"k3j9x2m4", b"q8w1z6v0r5"]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_can_be_scanned(kind: Callable[[bytes], bytes]) -> None:
    password = expand("{alnum:12}")
    data = f"password={password} https%3A%2F%2Fu%3A{password}%40h%2F {github()}".encode()
    assert spans(engine().worker().scan(kind(data))) == spans(engine().worker().scan(data)) != []
    encoded = base64.b64encode(b"body " + github().encode())
    assert engine().worker().scan(kind(encoded))[0].decode == ("base64",)


CHOSEN = [number for number, r in enumerate(rules()) if not r.keywords and not r.trigger]


@functools.cache
def few() -> Engine:
    """Without keyword rules but as companions, and for use without decoding."""
    lot = {rules()[number].id: rules()[number] for number in CHOSEN[:: len(CHOSEN) // 150]}
    named = {one.id: one for one in rules()}
    for one in (waiting := list(lot.values())):  # companions, and theirs
        beside = [named[companion.rule] for companion in one.requires if companion.rule and companion.rule not in lot]
        lot |= {other.id: other for other in beside}
        waiting += beside
    return Engine.build(list(lot.values()), trial=True)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts.filter(lambda t: len(t) < 3000))
def test_the_engine_finds_what_a_slow_scan_of_every_rule_finds(data: bytes) -> None:
    small = few()
    alone = [number for number, one in enumerate(small.rules) if not one.keywords]  # near assignments only
    expected = oracle(small, data, alone)
    found = small.worker()
    text = Text(data, BlockCost(len(data), None))
    ends = found.hits(data).ends
    found.examine(text, Hits({number: ends[number] for number in alone if number in ends}, []), BlockPart(0, len(data)))
    assert spans([m for m, _ in resolve(text.out)]) == spans(expected)


def test_every_planted_example_is_found_at_any_offset() -> None:
    rng = random.Random(4)
    noise = "".join(f"2026-01-02 level=info id={rng.randrange(10**9)} took={rng.random():.3f}\n" for _ in range(400))
    search = engine().worker()
    for subject in rules()[:: len(rules()) // 120]:
        text = expand(subject.examples[0], rng.randrange(1000))
        alone = {m.secret for m in search.scan(f"\n{text}\n".encode())}
        at = noise.find("\n", rng.randrange(len(noise) - 200)) + 1
        inside = {m.secret for m in search.scan(f"{noise[:at]}{text}\n{noise[at:]}".encode())}
        assert alone, subject.id
        assert alone <= inside, subject.id


def test_a_valid_checksum_settles_what_looks_like_a_placeholder() -> None:
    body = "exampleX" + expand("{alnum:22}", 1)
    token = "ghp_" + body + base62_crc32(body.encode())
    (match,) = engine().worker().scan(f"auth {token}".encode())
    assert (match.rule.id, match.confidence) == ("github-pat", "high")
    assert not engine().worker().scan(f"auth {token[:-1]}{'0' if token[-1] != '0' else '1'}".encode())


# --- blocks


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_consecutive_blocks_report_each_match_once(encoding: str) -> None:
    rng = random.Random(2)
    parts = []
    for number in range(120):
        parts.append(f"level=info n={rng.randrange(10**6)} ok\n" * rng.randrange(1, 6))
        parts.append(rng.choice((f"auth {github(number)}\n", f"password={expand('{alnum:16}', number)}\n")))
    data = "".join(parts).encode(encoding)
    search = engine().worker()
    whole = [(m.secret, m.start) for m in search.scan(data)]
    assert len(whole) == 120
    for seed in range(10):
        cuts = random.Random(seed)
        got, at = [], 0
        while at < len(data):
            limit = data.find(b"\n", min(len(data) - 1, at + cuts.randrange(200, 3000))) + 1 or len(data)
            low, high = max(0, at - 512), min(len(data), limit + 512)
            found = search.scan(data[low:high], fresh=at - low, limit=limit - low)
            got += [(m.secret, m.start + low) for m in found]
            at = limit
        assert got == whole


# --- overlaps


def test_the_more_specific_rule_wins_a_span() -> None:
    generic = rule(r"key=(?P<secret>\w{8,})", id="generic", priority=10)
    vendor = rule(r"(?P<secret>acme_\w{8})", id="vendor")
    (match,) = worker(generic, vendor).scan(b"key=acme_k3j9x2m4")
    assert match.rule.id == "vendor"
    decisions = worker(generic, vendor).explain(b"key=acme_k3j9x2m4")
    assert {(d.rule.id, d.stage) for d in decisions} == {("vendor", "accepted"), ("generic", "overlap")}
    assert len(worker(generic, vendor).scan(b"key=acme_k3j9x2m4 key=q8w1z6v0")) == 2


# --- decoding


def encodings() -> dict[str, Callable[[bytes], bytes]]:
    return {
        "base64": base64.b64encode,
        "hex": lambda t: t.hex().encode(),
        "gzip": lambda t: base64.b64encode(gzip.compress(t, mtime=0)),
    }


@pytest.mark.parametrize("how", encodings())
@pytest.mark.parametrize("lead", range(3))
def test_encoded_secrets_are_found_in_any_alignment(how: str, lead: int) -> None:
    text = b"#" * lead + b" token " + github().encode() + b" end of it"
    encoded = encodings()[how](text)
    data = b'{"body":"' + encoded + b'"}'
    (match,) = [m for m in engine().worker().scan(data) if m.rule.id == "github-pat"]
    assert match.secret == github().encode()
    assert match.decode == (how,)
    assert 9 <= match.start < match.end <= 9 + len(encoded)


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "\ufeff{}",
        "user: é\r\ntoken: {}\r\n",
        "auth {} ok",
        "token “{}”",
        "\ufeffпароль={}слово",
        "用{}登录 ok\r\n",
    ],
)
def test_secrets_in_utf_16_are_found(order: str, text: str) -> None:
    data = text.format(github()).encode(f"utf-16-{order}")
    (match,) = [m for m in engine().worker().scan(data) if m.rule.id == "github-pat"]
    assert (match.secret, match.decode) == (github().encode(), ("utf16",))
    assert data[match.start : match.end].replace(b"\0", b"") == match.secret


def test_what_is_found_plain_is_found_in_utf_16() -> None:
    search, missing = engine().worker(), []
    for number, one in enumerate(rules()[::5]):
        if one.decode is None and one.examples:
            text = f"# {expand(one.examples[0], number)}\r\n"
            plain = {m.secret for m in search.scan(text.encode())}
            wide = {m.secret for m in search.scan(text.encode("utf-16-le"))}
            missing += [one.id] if plain - wide else []
    assert not missing


@pytest.mark.parametrize(
    "command",
    [
        "powershell.exe -NoP -enc {}",
        "pwsh -EncodedCommand '{}'",
        'CommandLine: "powershell -e {}"',
        "powershell /Encod  {}",
        '{{"argv":["pwsh","-ec","{}"]}}',
    ],
)
@pytest.mark.parametrize("begin", ["$h", "# für\r\n$h", "Invoke-Command -ArgumentList"])
def test_a_secret_in_an_encoded_command_of_powershell_is_found(command: str, begin: str) -> None:
    script = f'{begin} = @{{Authorization = "token {github()}"}}; Invoke-RestMethod https://api.example.org -Headers $h'
    data = command.format(base64.b64encode(script.encode("utf-16-le")).decode()).encode()
    (match,) = [m for m in engine().worker().scan(data) if m.rule.id == "github-pat"]
    assert (match.secret, match.decode) == (github().encode(), ("base64", "utf16"))


@pytest.mark.parametrize("depth", range(1, 5))
def test_nested_encodings_are_undone_to_depth_three(depth: int) -> None:
    inner = base64.b64encode(gzip.compress(f"x {github()} y".encode(), mtime=0))  # depth 1
    for _ in range(depth - 1):
        inner = base64.b64encode(gzip.compress(b"{" + inner + b"}", mtime=0))
    found = engine().worker().scan(b"body=" + inner + b" ")
    assert [m.decode for m in found if m.rule.id == "github-pat"] == ([("gzip",) * depth] if depth <= 3 else [])


def test_nested_bombs_end_at_the_budget_of_the_block() -> None:
    inner = b"\n".join(
        base64.b64encode(gzip.compress(b"%d" % n + bytes(1 << 16) + github(n).encode(), mtime=0)) for n in range(40)
    )
    for _ in range(2):
        inner = base64.b64encode(gzip.compress(inner * 30, mtime=0))
    data = b"body=" + inner + b" "
    found = engine().worker().search(data)
    assert found.unsearched == [Unsearched(5, 5 + len(inner.rstrip(b"=")), "undecoded")]
    assert found.hidden == [(5, 5 + len(inner.rstrip(b"=")))]


def test_what_many_regions_hold_is_found_in_each() -> None:
    encoded = base64.b64encode(b"x token " + github().encode() + b" end of it")
    data = b" ".join([b"body=" + encoded] * 50)
    found = engine().worker().search(data)
    assert len(found.matches) == len({m.start for m in found.matches}) == 50
    assert len(found.hidden) == 50


def test_what_decoders_in_any_order_come_to_is_told_once() -> None:
    line = b"CONAN_PASSWORD&quot;\\u003d%22k3J9x2M4q8W1%22 secret&quot;\\u003d%22z7P6c5V4b3N2%22"
    search, work = engine().worker(), BlockCost(len(line), None)
    decided = search.decide(line, work)
    places = Counter((d.start, d.end, d.rule.id, len(d.decode)) for d, _ in decided if d.match is not None)
    assert places
    assert max(places.values()) == 1, places


@pytest.mark.parametrize(
    ("decode", "found"),
    [
        (None, {"", "base64", "hex", "gzip"}),
        ((), {""}),
        (("base64", "escape"), {"", "base64"}),
        (("gzip",), {"", "gzip"}),
    ],
)
def test_a_rule_says_which_decoders_its_findings_may_come_through(
    decode: tuple[str, ...] | None, found: set[str]
) -> None:
    subject = worker(rule(r"\b(?P<secret>tok_[a-z0-9]{12})\b", severity="critical", decode=decode))
    text = b"token tok_k3j9x2m4q8w1 end of it"
    ways = {"": text, **{how: encodings()[how](text) for how in ("base64", "hex", "gzip")}}
    assert {how for how, data in ways.items() if subject.scan(b'{"body":"' + data + b'"}')} == found


def test_a_refused_decoder_is_explained() -> None:
    subject = worker(SIMPLE, rule(r"\b(?P<secret>tok_[a-z0-9]{12})\b", decode=()))
    data = base64.b64encode(b"token tok_k3j9x2m4q8w1 end of it")
    refused = [d for d in subject.explain(b"body=" + data) if not d.accepted]
    assert [(d.rule.id, d.stage, d.decode) for d in refused] == [("r", "decode", ("base64",))]


def test_a_rule_that_is_not_for_a_decoder_takes_no_span_from_one_that_is() -> None:
    pattern = r"\b(?P<secret>tok_[a-z0-9]{12})\b"
    subject = worker(rule(pattern, id="first", priority=200, decode=()), rule(pattern, id="second"))
    data = base64.b64encode(b"token tok_4f1l7q9z2x8c in here")
    assert [match.rule.id for match in subject.scan(data)] == ["second"]


def test_what_begins_in_a_span_of_a_better_rule_is_explained_as_it_is_found() -> None:
    better = rule(r"\b(?P<secret>tok_[a-z0-9]{12}-key)\b", id="better", priority=200)
    named = rule(r"key[\"\] ]{0,3}= (?P<secret>[\w-]{16,20})", id="named")
    subject = worker(better, named)
    data = b'key = tok_4f1l7q9z2x8c-key"] = 9s8d7f6g5h4j3k2l'
    found = [(match.rule.id, match.start) for match in subject.scan(data)]
    assert found == [("better", 6), ("named", 31)]
    assert [(d.rule.id, d.start) for d in subject.explain(data) if d.accepted] == found


def test_percent_encoded_credentials_are_decoded() -> None:
    password = expand("{alnum:4}-{alnum:4}/{alnum:3}+{alnum:2}")
    uri = f"postgres://app:{quote(password, safe='')}@db.acme.io:5432/app"
    plain = engine().worker().scan(uri.encode())
    nested = engine().worker().scan(f"GET /cb?u={quote(uri, safe='')}&n=1 HTTP/1.1".encode())
    assert {m.secret for m in plain} == {m.secret for m in nested} == {password.encode()}


# --- errors


def test_every_refused_rule_is_named_with_file_and_reason() -> None:
    with pytest.raises(RuleError) as error:
        Engine.build([SIMPLE, rule(r"(?P<secret>(?:[a-z]{1,900}-){900})", id="huge", source="packs/a.toml")])
    assert error.value.problems
    assert all("packs/a.toml: huge: pattern" in problem for problem in error.value.problems)
    shipped = replace(rule(r"(?P<secret>(?:[a-z]{1,900}-){900})", id="large"), family="vcs", keywords=("large_key",))
    with pytest.raises(RuleError) as error:
        Engine.build([shipped, rule(r"(?P<secret>(?:[a-z]{1,900}-){900})", id="huge", source="own.toml")])
    (problem,) = error.value.problems  # of shipped ones the engine gets parts only
    assert problem.startswith("own.toml: huge: pattern")
    with pytest.raises(RuleError, match=r"own.toml: r: checksum: no check is called 'nope'"):
        Engine.build([rule("(?P<secret>abc)", checksum="nope")])
    with pytest.raises(RuleError, match="no rules"):
        Engine.build([])


# --- hostile input: twice the size, about twice the steps


def many(size: int) -> bytes:
    # A hundred distinct ones suffice: each occurrence is decided anew.
    made = [f"k={github(n)}\n" for n in range(100)]
    return "".join(made[n % 100] for n in range(size // 43)).encode()


def repeated(piece: bytes) -> Callable[[int], bytes]:
    return lambda size: piece * (size // len(piece))


def nested(size: int) -> bytes:
    text = github().encode()
    for _ in range(6):
        text = base64.b64encode(text)
    return repeated(text + b" ")(size)


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "secrets": many,
    "base64": lambda size: base64.b64encode(random.Random(1).randbytes(size * 3 // 4)),
    "base64 of prefixes": repeated(base64.b64encode(b"ghp_AK")),
    "hex of prefixes": repeated(b"6768705f"),
    "nested": nested,
    "gzip heads": repeated(b"H4sI" + b"A" * 24),
    "bombs": repeated(base64.b64encode(gzip.compress(b"ghp_" * 300_000, mtime=0)) + b"\n"),
    "password=": repeated(b"password="),
    "password: x": repeated(b"password= \"'` "),
    "api_key=": repeated(b"api_key="),
    "token": repeated(b"token"),
    "token:": repeated(b"token: "),
    "eyJ": repeated(b"eyJ"),
    "eyJ.": repeated(b"eyJhbGciOiJI."),
    "BEGIN": repeated(b"-----BEGIN PRIVATE KEY-----\n"),
    "%2F": repeated(b"%2F"),
    "%3D": repeated(b"password%3D"),
    "%25": repeated(b"%25"),
    r"\u003d": repeated(b"secret\\u003d"),
    "backslashes": repeated(b"password" + b"\\" * 9 + b"="),
    "entities": repeated(b"secret&quot;"),
    "://": repeated(b"a://aa:bbbb@c"),
    "cookie": repeated(b"cookie:sid=aaaa;"),
    "machine": repeated(b"machine a login b "),
    "AKIA": repeated(b"AKIA"),
    "NUL": repeated(b"\0"),
}


# Of these Hyperscan tells nothing.
QUIET = {"eyJ", "%2F", "%25", "NUL", "token"}


def steps(monkeypatch: pytest.MonkeyPatch, data: bytes) -> dict[str, int]:
    """What a scan of `data` comes to, counted: whatever could take time by itself."""
    subject = engine()
    counts = dict.fromkeys(("ends told", "RE2 calls", "bytes RE2 passes", "verdicts", "bytes decoded"), 0)
    judges: dict[int, Judge] = {}

    def counted(number: int) -> Judge:
        if number in judges:
            return judges[number]
        judge = judges[number] = copy.copy(subject._judges.setdefault(number, Judge(subject.rules[number])))
        search, verdict = judge.search, judge.verdict

        def count_search(anchor: object, text: Buffer, low: int, high: int) -> Sequence[tuple[int, int]]:
            spans = search(anchor, text, low, high)
            counts["RE2 calls"] += 1
            counts["bytes RE2 passes"] += (high if spans[0][1] < 0 else spans[0][1]) - low
            return spans

        def count_verdict(*args: Any) -> Verdict:
            counts["verdicts"] += 1
            return verdict(*args)

        monkeypatch.setattr(judge, "search", count_search)
        monkeypatch.setattr(judge, "verdict", count_verdict)
        return judge

    def told(ends: Ends, base: int = 0) -> Callable[..., None]:
        on_match = handler(ends, base)

        def count(*args: Any) -> None:
            counts["ends told"] += 1
            on_match(*args)

        return count

    handler = Ends.handler
    work = BlockCost(len(data), None)
    with monkeypatch.context() as patch:
        patch.setattr(subject, "judge", counted)
        patch.setattr(Ends, "handler", told)
        search = subject.worker()
        search.decide(data, work)
    counts["bytes decoded"] = DecodeBudget(len(data)).left - work.budget.left
    return counts


@pytest.mark.parametrize("name", HOSTILE)
def test_twice_the_input_takes_about_twice_the_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, size = HOSTILE[name], 1 << 15
    small, large = steps(monkeypatch, make(size)), steps(monkeypatch, make(2 * size))
    assert bool(sum(large.values())) == (name not in QUIET)
    for what, count in large.items():
        assert count <= 2.2 * small[what] + (1 << 14 if "bytes" in what else 64), (what, small, large)


def test_a_line_of_nested_bombs_is_decoded_up_to_its_budget_and_no_value_in_it_twice() -> None:
    """Such a line once took a minute and a half. What it may cost is told by its own length."""
    line = b"body=" + bomb() + b"\n"
    assert len(line) <= 913
    search, work = engine().worker(), BlockCost(len(line), None)
    search.decide(line, work)
    budget = DECODED_LEAST + DECODED_MOST * len(line)
    assert 0 < budget - work.budget.left <= budget
    assert work.candidates < 10_000
    assert work.judged < 20


def test_ten_thousand_secrets_in_a_megabyte_are_all_found() -> None:
    data = "".join(f"k={github(n)} {'.' * 58}\n" for n in range(10_000)).encode()
    assert len(engine().worker().scan(data)) == 10_000


def test_a_ten_megabyte_line_of_base64_is_no_finding_and_holds_one_if_planted() -> None:
    noise = random.Random(3).randbytes(7_500_000)
    assert not engine().worker().scan(base64.b64encode(noise))
    at = 3_000_000
    planted = noise[:at] + b" " + github().encode() + b" " + noise[at:]
    assert [m.secret for m in engine().worker().scan(base64.b64encode(planted))] == [github().encode()]


def test_what_was_seen_in_a_label_is_found_elsewhere_in_the_same_block() -> None:
    rule = Rule(id="acme", name="Acme", pattern=r"(?P<secret>[0-9a-f]{12})\b", severity="high", trigger=r"[0-9a-f]{12}")
    worker = Engine.build([rule]).worker()
    text = b"x [acme:3f9a5b7c1d2e] y 3f9a5b7c1d2e z [other:3f9a5b7c1d2e]\n"
    assert [match.start for match in worker.scan(text)] == [text.index(b" y ") + 3, text.index(b"[other:") + 7]


# --- cuts


def test_what_waits_for_a_companion_is_told_once_that_has_come() -> None:
    pair = rule(
        r"secret (?P<secret>[a-z]{12})",
        requires=(Requires(pattern="host=", within=40), Requires(pattern="no", optional=True)),
    )
    lone = rule(r"token (?P<secret>[a-z]{12})", id="lone")
    search = worker(pair, lone)
    text = b"secret kqzvwxmtrbnp\ntoken kqzvwxmtrbnp\n"
    assert spans(search.scan(text)) == [("lone", 26, 38)]
    whole = text + b"host=a\n"
    assert spans(search.scan(whole, len(text))) == [("r", 7, 19)]
    assert pair.awaits == 40
    assert spans(search.scan(whole, len(text), len(text))) == [("r", 7, 19)]
    assert spans(search.scan(whole + bytes(60), len(whole) + 60)) == []


@pytest.mark.parametrize(
    "form", ["SERVICE_API_TOKEN=%s", 'api_key = "%s"', "X-Api-Key: %s", "ACME_KEY=%s", "shared_key: %s"]
)
@pytest.mark.parametrize("sign", ["+", "/", "-", "_"])
def test_the_first_character_of_base64_belongs_to_the_value(form: str, sign: str) -> None:
    value = sign + values(1, seed=4)[0][1:]
    (match,) = engine().worker().scan((form % value).encode() + b"\n")
    assert match.secret.decode() == value
