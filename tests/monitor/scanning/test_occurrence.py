from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from detectors.match.engine import Engine
from detectors.rules.template import expand
from monitor.domain.model import Block, Finding
from monitor.scanning.scanner import Scanner
from tests.detectors import texts

WANTED = ("github-pat", "aws-access-key-id", "postgresql")


@pytest.fixture(scope="module")
def scanner() -> Iterator[Scanner]:
    rules = [rule for rule in texts.rules() if rule.id.startswith(WANTED) or rule.id == "slack-bot-token"]
    scanner = Scanner(Engine.build(rules), b"k" * 32)
    yield scanner
    scanner.close()


def token(seed: int = 1) -> str:
    return expand("ghp_{alnum:30}{crc32}", seed)


async def one(scanner: Scanner, text: str | bytes, **keys: Any) -> Finding:
    data = text.encode() if isinstance(text, str) else text
    keys = {"source": "s", "path": "/var/log/shop/app.log", "generation": "g", "offset": 0, "time": 1.8e9} | keys
    found = await scanner.scan([Block(data=memoryview(data), **keys)])
    return found[0]


async def test_the_line_is_shown_with_every_secret_in_it_masked(scanner: Scanner) -> None:
    text = f"earlier\n2026-11-02T13:58:12Z user=ana old={token(1)} new={token(2)} done\nlater\n"
    found = await one(scanner, text)
    assert found.context is not None
    assert found.context.startswith(f"2026-11-02T13:58:12Z user=ana old={found.masked} new=…")
    assert found.context.endswith("done")
    assert token(1) not in found.context
    assert token(2)[4:12] not in found.context
    assert (found.logged_at, found.service) == (1793627892.0, "shop")


async def test_more_may_be_known_of_its_place_and_is_masked_as_any_text(scanner: Scanner) -> None:
    found = await one(
        scanner,
        f"first\ntoken={token(1)}\n",
        offset=100,
        attributes={"job": "build"},
        attributes_at=lambda offset: {"step": f"at {offset}: {token(2)}"},
    )
    assert found.labels["job"] == "build"
    assert found.labels["step"] == f"at 112: {token(2)[:8]}…[40]"


@pytest.mark.parametrize("before", ["", "plain ", "größe: ", "€ \udcff "])
async def test_columns_count_characters(scanner: Scanner, before: str) -> None:
    found = await one(scanner, f"earlier\n{before}{token()} rest\n".encode("utf-8", "surrogateescape"))
    assert found.column == len(before) + 1


@pytest.mark.parametrize("order", ["le", "be"])
async def test_a_line_in_utf_16_is_shown_as_what_it_says(scanner: Scanner, order: str) -> None:
    packed = base64.b64encode(f"user ana, token {token(3)} of it".encode()).decode()
    line = f"2026-11-02T13:58:12Z “größe” old={token(1)} new={token(2)} дело {packed}"
    found = await one(scanner, f"earlier\r\n{line}\r\nlater\r\n".encode(f"utf-16-{order}"))
    assert found.decode == ("utf16",)
    assert found.column == line.index(token(1)) + 1
    assert found.context == f"2026-11-02T13:58:12Z “größe” old={found.masked} new=… дело …"
    assert found.logged_at == 1793627892.0


async def test_encoded_text_that_held_one_is_hidden_whole(scanner: Scanner) -> None:
    packed = base64.b64encode(f'{{"user":"ana","token":"{token(3)}","more":"{"x" * 40}"}}'.encode()).decode()
    found = await one(scanner, f"payload {packed} end\n")
    assert found.decode
    assert found.context is not None
    assert not any(packed[at : at + 8] in found.context for at in range(len(packed) - 8))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
async def test_the_end_of_a_line_is_no_part_of_it(scanner: Scanner, end: str) -> None:
    found = await one(scanner, f"earlier{end}a {token()} b{end}later{end}")
    assert found.context == f"a {found.masked} b"


@pytest.mark.parametrize("order", ["le", "be"])
async def test_a_character_of_which_the_block_has_only_a_half_is_not_shown(scanner: Scanner, order: str) -> None:
    text = f"a {token()} b\n".encode(f"utf-16-{order}")
    found = await one(scanner, text[: text.index(b"\n") + 1])
    assert found.context == f"a {found.masked} b"


async def test_far_into_a_long_line_its_text_is_shown_but_not_where_a_secret_may_be_cut_off(scanner: Scanner) -> None:
    far = "w " * 9_000
    found = await one(scanner, f"{far}k={token()} z {far}", offset=100)
    assert found.context == f"{'w ' * 39}k={found.masked} z {'w ' * 38}w".strip()
    assert found.column is None, "nobody knows where the line begins"
    for text in (f"w k={token()} z {far}", f"{far}k={token()} z w"):
        found = await one(scanner, text, offset=100)
        assert found.context is not None
        assert found.context.startswith("…") != found.context.endswith("…")


async def test_a_column_counts_on_from_that_of_the_block(scanner: Scanner) -> None:
    found = await one(scanner, f"é {token()}\n", offset=100, line=3, column=7)
    assert (found.line, found.column) == (3, 9)
    found = await one(scanner, f"é\né {token()}\n", offset=100, line=3, column=7)
    assert (found.line, found.column) == (4, 3)


async def test_what_stands_there_a_second_time_in_a_place_no_rule_knows_is_not_shown(scanner: Scanner) -> None:
    found = await one(scanner, f"a {token()} b x{token()}y\n")
    assert found.context == f"a {found.masked} b …"


async def test_ends_of_a_line_that_is_not_whole_in_the_block_are_not_shown(scanner: Scanner) -> None:
    cut = token(4)[:20]
    found = await one(scanner, f"{cut} x={token(5)} y={cut}", offset=100)
    assert found.context is not None
    assert cut not in found.context
    assert found.context.startswith("…")
    assert found.context.endswith("…")


async def test_control_and_direction_characters_are_taken_out_and_it_is_short(scanner: Scanner) -> None:
    found = await one(scanner, f"\u202e\x1b[31m{'w ' * 500}k={token()} {'v ' * 500}\x07\u2066\n")
    assert found.context is not None
    assert found.context.isprintable()
    assert len(found.context) <= 240
    near = await one(scanner, f"\x1b[31m \u202e k={token()} \u2066\x07 z\n")
    assert near.context is not None
    assert near.context.isprintable()


async def test_of_many_in_one_block_only_the_first_show_their_line(scanner: Scanner) -> None:
    text = "".join(f"k={token(n)} at {n}\n" for n in range(250))
    found = await scanner.scan([Block("s", "/p", "g", 0, text.encode(), 1.8e9)])
    assert [finding.context is not None for finding in found] == [True] * 200 + [False] * 50


async def test_a_connection_string_names_who_and_where_but_not_the_password(scanner: Scanner) -> None:
    password = expand("{alnum:24}", 9)
    found = await one(scanner, f"url=postgres://shop:{password}@db-1.example:5432/orders?x=1\n")
    assert found.labels.items() >= {"user": "shop", "host": "db-1.example:5432", "database": "orders"}.items()
    assert password not in repr(found)
    # Its preview looks like a password there, and is none.
    assert found.context == f"url=postgres://shop:{found.masked}@db-1.example:5432/orders?x=1"
    same = await one(scanner, f"url=postgres://{password}:{password}@db-1.example/orders\n")
    assert password not in repr(same)
