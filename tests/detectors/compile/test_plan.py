from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from detectors import cache
from detectors.compile import anchors, codecs, plan
from detectors.match.engine import Engine
from detectors.rules.rule import Rule, RuleError
from detectors.rules.template import expand
from detectors.rules.triggers import ASSIGNED
from tests.detectors.texts import engine, rules, shared


def rule(pattern: str, **fields: object) -> Rule:
    return Rule(**{"id": "r", "name": "Rule", "pattern": pattern, "severity": "high", "source": "own.toml", **fields})  # type: ignore[arg-type]


SIMPLE = rule(r"\b(?P<secret>tok_[a-z0-9]{12})\b", id="simple")


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.hsdb"))


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with one rule in it, without decoders, which take nearly all of the time and are nothing to a cache."""
    monkeypatch.setattr(plan, "codecs", lambda rules: [])
    Engine.build([SIMPLE], tmp_path)
    assert files(tmp_path)
    return tmp_path


@functools.cache
def planned() -> tuple[plan.Plan, plan.Expressions, plan.Expressions]:
    """Of the default rules."""
    return plan.make(rules())


def test_every_rule_is_reached_by_a_trigger_or_a_hint() -> None:
    made, expressions, near = planned()
    ids = {number for _, number in expressions}
    assert ids == set(range(len(made.rules) + len(made.codecs)))
    assert {number for _, number in near} == set(range(len(made.near)))
    reached = {number for numbers in (*made.rules, *made.near) for number in numbers}
    assert reached == set(range(len(rules())))
    assert made.assigned


def test_what_means_the_same_to_a_decoder_has_one_id() -> None:
    made, expressions, _ = planned()
    assert len(made.codecs) == len(set(made.codecs))
    texts = {text for text, number in expressions if number >= len(made.rules)}
    assert len(texts) > 100 * len(made.codecs)


def test_what_is_decoded_is_looked_for_as_it_is() -> None:
    """Hex digits with any character between them are no hex, and a decoder trusts what it is asked about."""
    made, expressions, _ = planned()
    names = {number: codec.name for number, codec in enumerate(made.codecs, len(made.rules))}
    searched = plan.searched(rules(), made, expressions)
    changed = {
        (names.get(number, "rule"), form)
        for (text, number), (form, _) in zip(expressions, searched, strict=True)
        if text != form and not form.startswith(b"(?i:")
    }
    assert {name for name, _ in changed} == {"rule", "percent", "base64"}
    assert not [form for name, form in changed if name == "base64" and b"." in form]
    others = {number for number, name in names.items() if name not in ("percent", "base64")}
    exact = [(text, number) for text, number in expressions if number in others]
    assert {names[number] for _, number in exact} >= {"hex", "gzip", "lines", "utf16"}
    assert plan.searched(rules(), made, exact) == exact


@pytest.mark.parametrize(
    ("family", "trigger", "found"),
    [("custom", "kennwort[:=]", False), ("vcs", "kennwort[:=]", True), ("custom", None, True)],
)
def test_a_users_own_trigger_is_a_condition(
    family: str, trigger: str | None, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing looks at it again, so no part of it gives way. Of a pattern's own trigger some may: RE2 sees to it."""
    monkeypatch.setattr(anchors, "table", lambda: {"kennwort": "kennwor"})
    own = rule("(?:kennwort|other)[:=](?P<secret>[a-z0-9]{32})", family=family, trigger=trigger)
    made, expressions, _ = plan.make([own])
    database = plan._compile(plan.searched([own], made, expressions))
    ends: list[int] = []
    text = b"kennworz=" + expand("{lownum:32}").encode()
    database.scan(text, match_event_handler=lambda number, _from, end, *_: ends.append(end))
    assert bool(ends) == found
    worker = Engine.build([own], trial=True).worker()
    assert worker.scan(text) == []
    assert worker.scan(text.replace(b"z=", b"t="))


def test_a_literal_of_any_bytes_is_kept_in_the_cache(tmp_path: Path) -> None:
    spanish = rule(r"contrase\xc3\xb1a ?[=:] ?(?P<secret>[A-Za-z0-9+/]{32})")
    made, kept = (plan.compiled([spanish], tmp_path)[0] for _ in range(2))
    assert kept.plan.codecs == made.plan.codecs
    assert Engine.build([spanish], tmp_path).worker().scan(f"contraseña = {expand('{lownum:32}')}".encode())


def test_without_keywords_there_is_no_second_database() -> None:
    made, _, near = plan.make([SIMPLE])
    assert (made.assigned, made.near, near) == ([], [], [])
    assert plan.compiled([SIMPLE], None)[0].near is None


@pytest.mark.parametrize(("literals", "padded"), [(4_900, False), (8_500, True), (9_200, False)])
def test_what_a_dense_table_misses_is_made_up_for(literals: int, padded: bool) -> None:
    words = tuple(f"w{number:05}" for number in range(literals))
    _, expressions, _ = plan.make([rule(r"\bw(?P<secret>tok_[a-z0-9]{12})\b", keywords=words, anywhere=words)])
    assert (len(expressions) > literals + 1_300) is padded


def test_one_rule_of_thousands_of_words_has_a_plan() -> None:
    words = "|".join(f"{chr(97 + number % 26)}word{number}" for number in range(10000, 16100))
    made, expressions, _ = plan.make([rule(rf"(?:{words})(?P<secret>[a-z0-9]{{12}})")])
    assert len(expressions) > 6000
    assert {number for _, number in expressions} <= set(range(len(made.rules) + len(made.codecs)))


def test_a_check_that_there_is_none_of_is_named() -> None:
    with pytest.raises(RuleError, match=r"own\.toml: r: checksum: no check is called 'nope'; there are "):
        plan.make([rule("(?P<secret>x{9})", checksum="nope")])


def test_a_plan_from_the_cache_is_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _, _ = planned()
    engine()  # which is in the cache from then on
    monkeypatch.setattr(plan, "make", lambda *_: pytest.fail("made again"))
    with shared() as folder:
        (kept,) = plan.compiled(rules(), folder)
    assert [list(map(list, it)) for it in (kept.plan.rules, kept.plan.near)] == [
        list(map(list, it)) for it in (made.rules, made.near)
    ]
    assert kept.plan.codecs == made.codecs
    assert kept.plan.assigned == made.assigned


def test_databases_from_the_cache_find_what_those_find_that_were_put_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "ASSIGNED", ASSIGNED[1:])  # few expressions
    chosen = [SIMPLE, OWN[1]]
    text = expand("x tok_{lownum:12} zorg_key = {alnum:24} {b64(a tok_{lownum:12} z)}", 5).encode()
    made = Engine.build(chosen, tmp_path)
    monkeypatch.setattr(plan, "_compile", partial(_only_a_probe, plan._compile))
    kept = Engine.build(chosen, tmp_path)
    assert kept.parts[0].database.info() == made.parts[0].database.info()
    assert kept.parts[0].near.info() == made.parts[0].near.info()
    found, expected = ([(m.rule.id, m.start, m.end) for m in one.worker().scan(text)] for one in (kept, made))
    assert found == expected
    assert [name for name, *_ in found] == ["simple", "acme-near", "simple"]


def _only_a_probe(compile_: Callable[..., Any], expressions: plan.Expressions, *others: Any) -> Any:
    assert len(expressions) == 1, "compiled again"  # that of a key, which says what machine it is
    return compile_(expressions, *others)


@pytest.mark.parametrize(
    "change",
    [
        {"pattern": r"(?P<secret>oth_[a-z0-9]{12})"},
        {"trigger": "tok_"},
        {"keywords": ("token",)},
        {"keywords": ("token",), "anywhere": ("token",)},
        {"severity": "low"},
        {"decode": ()},
        {"checksum": "github"},
        {"family": "vcs"},
    ],
    ids=str,
)
def test_a_rule_that_is_looked_for_otherwise_has_a_cache_of_its_own(change: dict[str, object]) -> None:
    base = replace(SIMPLE, keywords=change["keywords"]) if "anywhere" in change else SIMPLE  # type: ignore[arg-type]
    assert plan._key([replace(SIMPLE, **change)]) != plan._key([base])  # type: ignore[arg-type]
    assert plan._key([replace(SIMPLE, name="Other", entropy=3.0)]) == plan._key([SIMPLE])


OWN = (
    rule(r"\b(?P<secret>acme_[a-z0-9]{12})\b", id="acme", severity="critical", keywords=(), placeholders=False),
    rule(r"zorg\w* = (?P<secret>[A-Za-z0-9]{24})", id="acme-near", keywords=("zorg",), priority=400),
    rule(r"password[=:] ?(?P<secret>\w{12,40})", id="acme-password", priority=300),
)


@pytest.fixture
def mixed(monkeypatch: pytest.MonkeyPatch) -> list[Rule]:
    """Own rules before, amid and after enough shipped ones."""
    monkeypatch.setattr(plan, "_APART", 5)
    monkeypatch.setattr(
        codecs, "_record_triggers", lambda: ()
    )  # half of what there is to compile, and none is asked for
    shipped = [one for one in rules() if one.family in ("vcs", "generic") and one.trigger in (None, "@assigned")][::7]
    shipped.append(next(one for one in rules() if set(one.keywords) - set(one.anywhere)))
    return [OWN[0], *shipped[:5], OWN[1], *shipped[5:], OWN[2]]


def test_own_rules_are_compiled_beside_the_shipped_ones_and_found_as_among_them(
    mixed: list[Rule], monkeypatch: pytest.MonkeyPatch
) -> None:
    with shared("mixed") as folder:
        beside = Engine.build(mixed, folder)
    monkeypatch.setattr(plan, "_APART", 1_000_000)
    with shared("among") as folder:
        among = Engine.build(mixed, folder)
    assert (len(beside.parts), len(among.parts)) == (2, 1)
    first, second = beside.parts
    assert (bool(first.plan.assigned), bool(second.plan.assigned)) == (True, False), "assignments are found once"
    assert second.near is not None
    own = [f"key acme_{{lownum:12}} {n}" for n in range(3)]
    own += [
        "zorg_key = {alnum:24}",
        "password={alnum:24}",
        '{{"acme": "{b64(acme_{lownum:12})}"}}',
        "x%3Dacme_{lownum:12}",
    ]
    own += ["{b64(key acme_{lownum:12} here)}", "password%3D{alnum:24}", "user,password\nbob,{alnum:24}"]
    templates = [*own, *(one.examples[0] for one in mixed if one.examples)]
    text = "\n\n".join(expand(template, 3) for template in templates).encode()
    found, expected = (
        [(m.rule.id, m.start, m.end, m.secret, m.decode) for m in made.worker().scan(text)] for made in (beside, among)
    )
    assert found == expected
    assert {one.id for one in OWN} <= {found_by for found_by, *_ in found}
    assert {("base64",), ("percent",)} <= {decoded for name, *_, decoded in found if name.startswith("acme")}


def test_where_no_shipped_rule_asks_for_assignments_ones_own_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_APART", 1)
    monkeypatch.setattr(plan, "ASSIGNED", ASSIGNED[1:])
    chosen = [replace(SIMPLE, family="vcs"), OWN[1]]
    subject = Engine.build(chosen)
    assert [bool(part.plan.assigned) for part in subject.parts] == [False, True]
    assert [match.rule.id for match in subject.worker().scan(expand("zorg_key = {alnum:24}").encode())] == ["acme-near"]


def test_rules_on_trial_are_found_as_others_are_and_compiled_without_the_decoders_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = [OWN[0], SIMPLE, OWN[1]]
    monkeypatch.setattr(plan, "ASSIGNED", ASSIGNED[1:])  # few expressions
    monkeypatch.setattr(plan, "_common", plan._common.__wrapped__)
    texts = ["zorg_key = {alnum:24}", "key acme_{lownum:12}", "{b64(a tok_{lownum:12} z)}", "key%3Dacme%5F{lownum:12}"]
    text = "\n\n".join(expand(template, 3) for template in texts).encode()
    tried = Engine.build(chosen, trial=True)
    common, own = tried.parts
    assert (bool(common.plan.assigned), own.plan.assigned) == (True, [])
    assert len(own.plan.codecs) < len(common.plan.codecs)
    found, expected = (
        [(match.rule.id, match.start, match.end, match.decode) for match in one.worker().scan(text)]
        for one in (tried, Engine.build(chosen))
    )
    assert found == expected
    assert {decode for *_, decode in found} >= {(), ("base64",), ("percent",)}


def test_a_changed_rule_of_ones_own_compiles_no_shipped_one(
    mixed: list[Rule], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shared("mixed") as folder:
        Engine.build(mixed, folder)
        shutil.copytree(folder or tmp_path, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(plan, "_KEEP", 1)
    *older, kept = sorted(files(tmp_path), key=lambda file: file.stat().st_mtime_ns)
    for file in older:  # of runs before a change of the rules
        file.unlink()
    made: list[int] = []
    make = plan.make

    def counted(rules: Sequence[Rule], *others: Any) -> Any:
        made.append(len(rules))
        return make(rules, *others)

    monkeypatch.setattr(plan, "make", counted)
    for number in range(plan._KEEP + 2):
        Engine.build([*mixed, replace(OWN[0], id="more", pattern=rf"(?P<secret>more{number}_[a-z]{{12}})")], tmp_path)
    assert made == [len(OWN) + 1] * (plan._KEEP + 2)
    assert files(tmp_path) == [kept]


def test_a_cache_that_is_whole_is_used(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = files(built)
    assert kept
    before = [(f.stat().st_mtime_ns, f.stat().st_ino) for f in kept]
    monkeypatch.setattr(plan, "_dumped", lambda *_: pytest.fail("compiled again"))
    assert Engine.build([SIMPLE], built).worker().scan(b"tok_k3j9x2m4q8w1")
    assert [(f.stat().st_mtime_ns, f.stat().st_ino) for f in files(built)] == before


@pytest.mark.parametrize("harm", [lambda raw: b"", lambda raw: raw[:-1], lambda raw: raw[:-8] + bytes(8)])
def test_a_damaged_cache_is_made_anew(built: Path, harm: Callable[[bytes], bytes]) -> None:
    whole = {f.name: f.read_bytes() for f in files(built)}
    for file in files(built):
        file.write_bytes(harm(file.read_bytes()))
    assert Engine.build([SIMPLE], built).worker().scan(b"tok_k3j9x2m4q8w1")
    for file in files(built):
        assert len(file.read_bytes()) == len(whole[file.name])


def test_a_cache_of_other_rules_is_never_taken_for_ours(built: Path) -> None:
    foreign = files(built)
    other = rule(r"(?P<secret>oth_[a-z0-9]{12})", id="other")
    Engine.build([other], built)
    for file in files(built):
        if file not in foreign:
            file.write_bytes(foreign[0].read_bytes())  # whole, but of other rules
    found = Engine.build([other], built).worker()
    assert found.scan(b"oth_k3j9x2m4q8w1")
    assert not found.scan(b"tok_k3j9x2m4q8w1")


@pytest.mark.parametrize("body", [b"", b"[]\n", b"[1, [2]]\n", b"{}\nx", b"[0, [[], [[1]], [], []]]\n", b"not json"])
def test_a_whole_file_of_another_content_is_made_anew(built: Path, body: bytes) -> None:
    for file in files(built):
        key = bytes(cache.read(file) or b"")[:32]
        cache.write(file, key + body, keep=8)
    assert Engine.build([SIMPLE], built).worker().scan(b"tok_k3j9x2m4q8w1")


def test_an_unwritable_folder_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert Engine.build([SIMPLE], tmp_path / "file").worker().scan(b"tok_k3j9x2m4q8w1")
