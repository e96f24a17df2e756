"""A table whose header names a column of credentials: every row of it counts, and no other line."""

from __future__ import annotations

import math

import pytest

from detectors.match.cost import UNHURRIED, Pace
from detectors.match.engine import ScanResult
from detectors.match.tables import assigned, between_rows, cells
from tests.detectors.texts import engine, values

ROWS = 40
SECRETS = values(ROWS)


def search(text: str, **more: object) -> ScanResult:
    return engine().worker().search(text.encode(), **more)  # type: ignore[arg-type]


def told(text: str, **more: object) -> list[str]:
    return [match.secret.decode() for match in search(text, **more).matches]


def table(header: str, row: str, end: str = "\n") -> str:
    lines = (row % {"n": number, "it": secret} for number, secret in enumerate(SECRETS))
    return "".join(line + end for line in (header, *lines))


TABLES = {
    "last": table("user,password", "u1000%(n)s,%(it)s"),
    "first": table("password,user", "%(it)s,u1000%(n)s"),
    "in the midst": table("id,login,api_key,active", "%(n)s,u1000%(n)s,%(it)s,1"),
    "quoted": table('"user","login_password","role"', '"u%(n)s","%(it)s","admin"'),
    "quotes where needed": table("name,access token,note", 'u%(n)s,%(it)s,"a note, of ""two"" parts"'),
    "a break in a cell": table("name,note,secret", 'u%(n)s,"a\nnote",%(it)s'),
    "semicolons": table("id;user;passwd", "%(n)s;u1000%(n)s;%(it)s"),
    "semicolons and blanks": table("id; pass; role", "%(n)s; %(it)s; admin"),
    "a word before a short name": table("id;user pass;role", "%(n)s;%(it)s;admin"),
    "tabs": table("user\tclient_secret\trole", "u%(n)s\t%(it)s\tadmin", "\r\n"),
    "markdown": table("| user | password |\n|------|:---:|", "| u1000%(n)s | `%(it)s` |"),
    "psql": table(" id | password | login \n----+------+------", "  %(n)s | %(it)s | u1000%(n)s"),
    "a mark before it": table("\ufeffuser,password", "u%(n)s,%(it)s"),
    "amidst other text": "started\n" + table("user,token", "u%(n)s,%(it)s") + "\ndone, in 2 s\n",
}


@pytest.mark.parametrize("form", TABLES)
def test_each_row_is_found_once_where_it_stands_and_nothing_else(form: str) -> None:
    text = TABLES[form].encode()
    matches = search(TABLES[form]).matches
    assert [match.secret.decode() for match in matches] == SECRETS
    assert [text[match.start : match.end].decode() for match in matches] == SECRETS


@pytest.mark.parametrize(("name", "sign"), [("password", "="), ("api_key", "="), ("token", "=")])
def test_a_cell_is_judged_as_what_is_assigned_to_the_name_of_its_column(name: str, sign: str) -> None:
    rows = search(table(f"user,{name},role", "u%(n)s,%(it)s,x")).matches
    lines = search("".join(f'{name}{sign}"{secret}"\n' for secret in SECRETS)).matches
    assert [(m.secret, m.rule.id, m.confidence) for m in rows] == [(m.secret, m.rule.id, m.confidence) for m in lines]
    assert {match.decode for match in rows} == {("table",)}


REFUSED = {
    "a message and its successor": f"bad user, password\nand so on: {SECRETS[0]}\n",
    "lines of another number of cells": f"user,password\nbob,{SECRETS[0]},x\n",
    "records of services": f"web-1  | wrong password\ndb-1  | {SECRETS[0]}\n",
    "records of one": f"web-1\tno password\nweb-1\t{SECRETS[0]}\n",
    "a call": f"connect(user, password)\n(bob, {SECRETS[0]})\n",
    "what stands in for values": "user,password\nbob,required\nkim,${{PASSWORD}}\neva,********\n",
    "another column": f"user,password\n{SECRETS[0]},\n{SECRETS[1]},\n",
    "behind its end": f"user,password\nbob,\n\nsee,{SECRETS[0]}\n",
    "a column about one": "user,password_changed,token_type\nbob,2026-01-02T03:04:05Z,bearer-opaque\n",
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_no_cell_of_such_a_column_is_none(why: str) -> None:
    assert told(REFUSED[why]) == []


def test_the_line_that_pam_writes_of_any_login_is_not_even_looked_at() -> None:
    line = b"Jun 14 15:16:02 combo sshd(pam_unix)[19937]: check pass; user unknown\n"
    told: list[int] = []
    for part, scratch, _ in engine().worker()._parts:
        part.database.scan(line * 9, match_event_handler=lambda number, *_: told.append(number), scratch=scratch)
    assert told == []


INSERTS = {
    "last": "INSERT INTO users (name, password) VALUES ('u1000%(n)s', '%(it)s');\n",
    "first": "INSERT INTO users (password, name) VALUES ('%(it)s', 'u1000%(n)s');\n",
    "in the midst": "insert into `apps` (`id`, `by`, `api_key`, `at`) values (%(n)s, 'u1000%(n)s', '%(it)s', now());\n",
    "quoted twice": """INSERT INTO users ("name", "db_password") VALUES ('O''Hara%(n)s, Kim', '%(it)s');\n""",
}


@pytest.mark.parametrize("form", INSERTS)
def test_the_list_of_columns_says_which_value_is_the_secret(form: str) -> None:
    assert told("".join(INSERTS[form] % {"n": n, "it": secret} for n, secret in enumerate(SECRETS))) == SECRETS


def test_every_row_of_a_statement_is_one() -> None:
    rows = ",\n".join(f"(7{n}, 'u1000{n}', '{secret}', NULL)" for n, secret in enumerate(SECRETS))
    assert told(f"INSERT INTO users (id, name, password, last) VALUES\n{rows};\n") == SECRETS


@pytest.mark.parametrize("pace", [UNHURRIED, Pace(turn=-1.0, piece=math.inf, least=256)])
def test_rows_go_on_below_a_header_that_stands_before_the_data(pace: Pace) -> None:
    text = TABLES["in the midst"]
    head, _, rest = text.partition("\n")
    assert told(rest, head=head.encode(), pace=pace) == SECRETS
    assert len(told(rest)) < ROWS
    assert told("x" + rest[7:], head=head.encode(), pace=pace) == SECRETS[1:]
    assert told("\n" + rest, head=head.encode(), pace=pace) == SECRETS
    assert told("a line, of a log, of 3 parts, or 4\n" * 9, head=head.encode()) == []


def test_in_halves_the_same_rows_are_found() -> None:
    text = table("user,password,role", "u%(n)s,%(it)s,admin")
    whole, halves = (search(text, pace=pace) for pace in (UNHURRIED, Pace(turn=-1.0, piece=math.inf, least=256)))
    assert [match.secret for match in whole.matches] == [match.secret for match in halves.matches]
    assert whole.hidden == halves.hidden


def test_a_match_counts_where_its_cell_ends() -> None:
    text = TABLES["last"]
    at = text.index(SECRETS[20])
    first, second = told(text, limit=at + len(SECRETS[20])), told(text, fresh=at + len(SECRETS[20]))
    assert (first, second) == (SECRETS[:21], SECRETS[21:])


def test_a_doubled_quote_is_one() -> None:
    data = b'user,password\nbob,"k3J9""x2M4q8W1z5"\n'
    ((codec, places),) = cells(data, [data.index(b"\n") + 1])
    assert codec.word == "password"
    text, marks = assigned(data, [(codec, place) for place in places])
    assert text == b"password='k3J9\"x2M4q8W1z5'\n"
    assert (marks[0][1], marks[-1][1]) == (data.index(b"k3J9"), len(data) - 2)


def test_lines_too_long_to_name_columns_are_left_alone() -> None:
    data = b"x," * 4000 + b"password\n" + b"y," * 4000 + b"k3J9x2M4q8W1z5\n"
    assert cells(data, [data.index(b"\n") + 1]) == []


def test_rows_go_on_over_a_place_where_nothing_else_stands_around_it() -> None:
    rows = b", ".join(b"(%d, 'O''Hara), (', NULL)" % number for number in range(1000))
    assert all(between_rows(rows, at) for at in range(0, len(rows) - 4096, 999))
    assert not between_rows(rows, len(rows))
    line = b"2026-11-02T10:00:00Z INFO moved [(1, 2), (3, 4), (5, 6), (7, 8)] in 12 ms, then all of it again\n"
    assert not any(between_rows(line * 200, at) for at in range(0, 16_000, 333))
