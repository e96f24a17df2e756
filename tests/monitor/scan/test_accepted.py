from __future__ import annotations

import random
import string
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from detectors.rules.template import expand
from monitor.domain.model import Finding
from monitor.scan.accepted import (
    FILE,
    LEAST,
    AcceptedEntry,
    AcceptedError,
    Accepting,
    Book,
    above,
    fresh,
    hashed,
    read,
    strength,
    unique,
    write,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
DAY = 86400.0
TOKEN = expand("ghp_{alnum:30}{crc32}", 1)


def finding(rule: str = "github-pat", path: str = "a/b.py", line: int = 7, fingerprint: str = "f" * 64) -> Finding:
    return Finding(
        id="0" * 32, rule=rule, name="x", severity="high", confidence="high", fingerprint=fingerprint, masked="x",
        source="", path=path, generation="", offset=0, time=0.0, line=line,
    )  # fmt: skip


def accepted(book: Book, secret: str = TOKEN, where: str = "a/b.py:7", **changes: Any) -> AcceptedEntry:
    found = Accepting(where, book).entry(replace(finding(), **changes), "ghp_", secret.encode())
    assert found is not None
    return replace(found, reason='a "reason"\n', author="Ann <a@b>", until=NOW + DAY)


def test_a_value_is_accepted_wherever_it_is_and_however_it_is_written(tmp_path: Path) -> None:
    book = fresh()
    write(tmp_path / FILE, book.salt, [accepted(book)])
    text = (tmp_path / FILE).read_text()
    assert TOKEN[6:12] not in text
    there = read(text.encode(), NOW)
    assert there.accepts("github-pat", "elsewhere", TOKEN.encode())
    assert there.accepts("another-rule", "x!y", f' "{TOKEN}" '.encode())
    assert not there.accepts("github-pat", "a/b.py", expand("ghp_{alnum:30}{crc32}", 2).encode())
    assert there.entries[0].reason == 'a "reason"\n'
    pem = expand("{pem:RSA PRIVATE KEY}", 1)
    write(tmp_path / FILE, book.salt, [accepted(book, pem)])
    there = read((tmp_path / FILE).read_bytes(), NOW)
    assert len(there.entries) == 2
    assert there.accepts("private-key", "x", pem.replace("\n", "\\n").encode())


def test_what_could_be_guessed_is_accepted_by_rule_and_path_only(tmp_path: Path) -> None:
    book = fresh()
    entry = accepted(book, "hunter22", rule="generic-password")
    assert (entry.scrypt, entry.path) == ("", "a/b.py")
    write(tmp_path / FILE, book.salt, [entry])
    there = read((tmp_path / FILE).read_bytes(), NOW)
    assert there.accepts("generic-password", "a/b.py", b"anything")
    assert not there.accepts("generic-password", "a/c.py", b"hunter22")
    assert not there.accepts("github-pat", "a/b.py", b"hunter22")


def test_an_entry_ends_and_a_rule_may_get_another_name(tmp_path: Path) -> None:
    book = fresh()
    write(tmp_path / FILE, book.salt, [accepted(book)])
    late = read((tmp_path / FILE).read_bytes(), NOW + 2 * DAY)
    assert (late.over, late.accepts("github-pat", "a/b.py", TOKEN.encode())) == (1, False)
    from detectors.rules.gone import GONE

    old, now = next((old, gone.heir) for old, gone in GONE.items() if gone.heir)
    there = Book(book.salt, (AcceptedEntry(old, "", "p", "r", "a", NOW + DAY),))
    assert there.accepts(str(now), "p", b"x")


def test_another_salt_is_another_hash_and_a_hash_is_slow() -> None:
    one, other = fresh(), fresh()
    assert one.salt != other.salt
    assert hashed(one.salt, b"x") != hashed(other.salt, b"x")
    assert hashed(one.salt, b"x") == hashed(one.salt, b"x")


def test_a_file_that_names_all_quick_hashes_costs_no_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    slow: list[bytes] = []
    monkeypatch.setattr("monitor.scan.accepted.hashlib.scrypt", lambda value, **_: slow.append(value) or b"\1" * 16)
    names = [f"{n:03x}-{'0' * 32}" for n in range(4096)]
    mine = hashed("0" * 32, b"mine")
    book = Book("0" * 32, tuple(AcceptedEntry("r", one, "", "r", "a", NOW) for one in [*names, mine]), _left=20)
    slow.clear()
    assert book.accepts("r", "p", b"mine")
    assert not any(book.accepts("r", "p", str(n).encode()) for n in range(1000))
    assert len(slow) == 20
    assert book.accepts("r", "p", b"mine")
    late = expand("ghp_{alnum:30}{crc32}", 9).encode()
    assert not book.accepts("r", "p", late)  # fails closed


def test_of_other_values_hardly_any_is_hashed_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book("0" * 32, (AcceptedEntry("r", hashed("0" * 32, b"x"), "", "r", "a", NOW),))
    slow: list[bytes] = []
    monkeypatch.setattr("monitor.scan.accepted.hashlib.scrypt", lambda value, **_: slow.append(value) or b"")
    for n in range(2000):
        assert not book.accepts("r", "p", str(n).encode())
        assert not book.accepts("r", "p", str(n).encode())
    assert len(slow) < 10


@pytest.mark.parametrize(
    ("wanted", "whether"),
    [("a/b.py:7", True), ("a/b.py", True), ("ffff", True), ("fff", False), ("a/b.py:8", False), ("b.py", False)],
)
def test_what_is_meant(wanted: str, whether: bool) -> None:
    assert (Accepting(wanted, fresh()).entry(finding(), "", b"x") is not None) is whether


def test_paths_count_from_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "r/.git").mkdir(parents=True)
    (tmp_path / "r/sub").mkdir()
    (tmp_path / FILE).touch()
    assert above(str(tmp_path / "r/sub")) is None  # a repository ends the search
    (tmp_path / "r" / FILE).touch()
    assert above(str(tmp_path / "r/sub/x.py")) == tmp_path / "r" / FILE
    assert above(str(tmp_path)) == tmp_path / FILE
    (tmp_path / "loose/deep").mkdir(parents=True)
    assert above(str(tmp_path / "loose/deep")) is None  # in no repository: whoever may write above has no say
    (tmp_path / "loose/deep" / FILE).touch()
    assert above(str(tmp_path / "loose/deep/x")) == tmp_path / "loose/deep" / FILE
    monkeypatch.chdir(tmp_path / "r/sub")
    book = Book("0" * 32, (AcceptedEntry("r", "", "sub/x.py", "r", "a", NOW),), root=str(tmp_path / "r"))
    assert book.accepts("r", "x.py", b"")
    assert book.accepts("r", "../sub/x.py", b"")
    assert not book.accepts("r", "../x.py", b"")


WORDS = "table house green monkey river orange window silver garden planet winter summer coffee bottle".split()


@pytest.mark.parametrize(
    ("make", "least", "most"),
    [
        (lambda r: "-".join(r.choices(WORDS, k=4)), 20, LEAST),
        (lambda r: "".join(word.title() for word in r.choices(WORDS, k=4)) + "2024!", 20, LEAST),
        (lambda r: "".join(r.choices(string.digits, k=20)), 0, LEAST),
        (lambda r: r.choice(string.ascii_letters) * 40, 0, 1),
        (lambda r: "".join(r.choices(string.ascii_letters + string.digits, k=12)), 0, LEAST),
        (lambda r: "".join(r.choices(string.ascii_letters + string.digits, k=32)), LEAST, 200),
        (lambda r: "".join(r.choices("0123456789abcdef", k=40)), LEAST, 161),
    ],
)  # fmt: skip
def test_bits_are_rather_too_few(make: Callable[[random.Random], str], least: float, most: float) -> None:
    chance = random.Random(1)
    found = sorted(strength(make(chance).encode()) for _ in range(200))
    assert found[-1] < most
    assert found[100] >= least
    assert strength(TOKEN.encode(), "ghp_") > LEAST


HEAD = f'version = 1\nsalt = "{"0" * 32}"\n'
ROW = 'rule = "r"\nreason = "x"\nauthor = "a"\nuntil = 2027-01-01T00:00:00Z\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x", "not TOML"),
        ("version = 2", "version: must be 1"),
        ("version = 1", "salt: must be 32 hex digits"),
        (f"{HEAD}more = 1", "unknown key 'more'"),
        (f"{HEAD}suppressions = 1", "must be an array of tables"),
        (f"{HEAD}suppressions = [1]", r"suppressions\[1\]: must be a table"),
        (f"{HEAD}[[suppressions]]\n{ROW}", "one of scrypt and path"),
        (f"{HEAD}[[suppressions]]\n{ROW}path = 'p'\nscrypt = '{'0' * 32}'", "one of scrypt and path"),
        (f"{HEAD}[[suppressions]]\n{ROW}scrypt = 'zz'", "scrypt: must be as"),
        (f"{HEAD}[[suppressions]]\n{ROW}path = 1", "path: must be a text"),
        (f"{HEAD}[[suppressions]]\n{ROW}path = 'p'\nline = 1", "unknown key 'line'"),
        (f"{HEAD}[[suppressions]]\n{ROW.replace('x', ' ')}path = 'p'", "reason: must not be empty"),
        (f"{HEAD}[[suppressions]]\n{ROW.replace('T00:00:00Z', '')}path = 'p'", "until: must be a date and time"),
        ("#" * ((1 << 20) + 1), "larger than 1 MiB"),
    ],
)
def test_a_file_that_cannot_be_used_says_where(text: str, says: str) -> None:
    with pytest.raises(AcceptedError, match=says):
        read(text.encode(), NOW)


@pytest.mark.parametrize("text", ["{key} = 1", "[{key}]\n[{key}]", "[[suppressions]]\n{key} = 1"])
def test_no_mistake_shows_what_may_be_a_secret(text: str) -> None:
    key = "glpat-" + "x1Yz" * 5
    with pytest.raises(AcceptedError) as raised:
        read((HEAD + text.replace("{key}", key)).encode(), NOW)
    assert key[:8] not in str(raised.value)


def test_twice_the_same_is_one() -> None:
    book = fresh()
    one, other = accepted(book), accepted(book, path="c", where="c")
    assert unique([one, other]) == [other]
    assert len(unique([replace(one, scrypt="", path="p"), replace(one, scrypt="", path="q")])) == 2
