from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import orjson
import pytest

from detectors.match import score
from detectors.match.doubt import AHEAD, BACK, doubt, kinds, surroundings, together
from detectors.rules.template import expand
from tests.detectors.texts import engine

LABELLED = Path(__file__).parents[3] / "benchmarks" / "labelled.jsonl"
CODE = "    if (ok) {{\n        read(stream, size);\n{line}\n        close(stream);\n    }}\n"


def around(line: str, mark: str = "@@", text: str = CODE) -> dict[str, float]:
    """The surroundings of `mark` in a line of code."""
    whole = expand(text.replace("{line}", line), 1).encode()
    at = whole.index(mark.encode())
    value = whole[at : at + len(mark)]
    return surroundings(value, whole[max(0, at - BACK) : at], whole[at + len(mark) :][:AHEAD])


@pytest.mark.parametrize(
    ("line", "feature"),
    [
        ('  assert.equal("@@", hmac.sha256(key, data, true))', "digest on its line"),
        ("  global_salt = '@@';", "salt or public"),
        ('  login(user, "@@");', "user on its line"),
        ('  const char *key = "@@";', "declared"),
        ("  token: @@", "setting"),
    ],
)
def test_what_stands_around_is_told(line: str, feature: str) -> None:
    assert feature in around(line)
    assert feature not in around("  @@")


@pytest.mark.parametrize(
    ("line", "mark", "feature"),
    [
        ("  pwd = dlglogin;", "dlglogin", "bare identifier"),
        ("  pwd = dlglogin;", "dlglogin", "bare in code"),
        ("  pwd = login; free(login);", "login", "repeated, bare"),
    ],
)
def test_what_the_value_is_there(line: str, mark: str, feature: str) -> None:
    assert feature in around(line, mark)


def test_a_table_of_lines_alike() -> None:
    rows = "\n".join(f'const string RAP_{name}_REQ = "{value}";' for name, value in zip("abcde", "vwxyz", strict=True))
    found = around("", '"x"', rows)
    assert found["lines alike"] == 1.0
    assert found["lines open alike"] == 1.0
    assert found["code"] == 1.0


@pytest.mark.parametrize("text", ["password=@@", "\n\npassword=@@\n", "a;\n2026-03-04T05:06:07Z INFO password=@@\nb;"])
def test_nothing_is_doubted_alone_or_in_a_log(text: str) -> None:
    assert around("", text=text) == {}
    assert doubt("high", b"@@", text.partition("@@")[0].encode(), b"", ()) == ("high", "")


@pytest.mark.parametrize("head", ["  SQL (26.9ms)  INSERT", "2026-11-30 12:00:01 INSERT", '{"time": 1, "sql": "INSERT'])
def test_the_head_of_a_long_line_says_that_it_is_of_a_log(head: str) -> None:
    columns = " INTO users VALUES ($1, $2, $3)" * 9
    text = f'BEGIN\n{head}{columns} ["token", "@@"]\nCOMMIT\n'
    assert around("", text=text) == {}
    assert around("", text=text.replace(head, "run INSERT"))


def test_events_are_a_log_wherever_their_time_stands() -> None:
    key = '"actor": {"key": "@@", "name": "Ada"}'
    for text in (f'{{"a": 1, {key}}}\n{{"b": 2}}\n', f'{{"b": 2}}\n{{ {key}, "a": 1'):
        assert around("", text=text) == {}
    for text in (f'[\n{{"a": 1, {key}}},\n{{"b": 2}}\n]', 'f () {\n}\n{ login("@@"); }'):
        assert around("", text=text)


def test_it_lowers_and_never_raises() -> None:
    value, secret = b"zb16" + b"b16w", expand("{alnum:20}", 3).encode()
    before = b'const string RAP_GET_REQ = "zW";\nconst string RAP_PASSWORD_REQ = "'
    after = b'";\nconst string RAP_LIST_REQ = "B516B";\nconst string RAP_X_REQ = "zX";\n'
    left, why = doubt("high", value, before, after, ())
    assert left != "high"
    assert why.startswith("around it 0.")
    assert doubt("low", value, before, after, ()) == ("low", "")
    config = b"host: db1\nuser: app\npassword: "
    assert doubt("high", secret, config, b"\nport: 5432\n", kinds("generic-password")) == ("high", "")
    assert doubt("medium", secret, config, b"\nport: 5432\n", kinds("generic-password")) == ("medium", "")


def test_the_kinds_of_a_rule_are_those_of_its_name() -> None:
    assert kinds("generic-loose-secret") == ("rule generic", "rule loose")
    assert kinds("generic-password-quoted") == ("rule generic", "rule quoted")
    assert kinds("acme-loose-key") == ()


@pytest.mark.parametrize(
    ("value", "before", "rule", "why"),
    [
        ("{hex:32}", "'password' => '", "generic-password-quoted", "it has the form of a hash of a password"),
        ("xxJ1{alpha:8}A", 'password = "', "generic-password-quoted", "it has the form of a hash of a password"),
        ("{alnum:20}", "https://acme.test/badge.svg?token=", "generic-secret", "a parameter of an address"),
        ("{alnum:32}", "$key = '", "generic-secret", "nothing says what the key is for"),
        ("{alnum:32}", "mint_key = '", "generic-key", "nothing says what the key is for"),
        ("{alnum:32}", "x\n'", "generic-map-first", "nothing names it"),
    ],
)
def test_of_some_nobody_is_sure(value: str, before: str, rule: str, why: str) -> None:
    text = expand(value, 1).encode()
    left, reason = doubt("high", text, f"user: app\n{before}".encode(), b"'\nport: 1\n", kinds(rule))
    assert left != "high"
    assert reason == why or reason.startswith("around it")
    assert doubt("high", text, b"user: app\ndb_password: ", b"\nport: 1\n", kinds("generic-password"))[0] == (
        "medium" if "hash" in why else "high"
    )


def test_lines_that_say_nothing_make_nothing_quiet() -> None:
    value = expand("{alnum:9}%a", 1).encode()
    assert surroundings(value, b"<password>\n", b"\n</password>") == {"lines": 1.0}
    assert doubt("high", value, b"<password>\n", b"\n</password>", kinds("generic-loose-password"))[0] != "low"


def test_the_engine_tells_what_it_doubts_with_its_reason() -> None:
    table = "".join(f'const string RAP_{name}_REQ = "zb16{name}";\n' for name in ("ab", "bc", "cd"))
    text = f'{table}const string RAP_PASSWORD_SET_REQ = "{"zb16" + "b16w"}";\n{table}'.encode()
    decided = engine().worker().explain(text)
    told = [one for one in decided if one.accepted and one.rule.id == "generic-password-quoted"]
    assert told
    assert all(decision.match is not None and decision.match.confidence != "high" for decision in told)
    assert all("around it" in decision.reason for decision in told)


def test_confidence_is_calibrated_on_packages_it_was_not_trained_on() -> None:
    """Of scored findings in packages labelled later: how many of high and medium confidence are secrets."""
    table = orjson.loads(Path(score.__file__).with_name("score.json").read_bytes())["doubt"]
    held: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for row in map(orjson.loads, LABELLED.read_bytes().splitlines()):
        if row["part"] not in {"check", "unseen"} or not row.get("around"):
            continue
        weighed = {name: amount for name, amount in row["features"].items() if name != "repetitive"}
        features = together(weighed, score.weighing().total(weighed), row["around"], kinds(row["rule"]))
        odds = table["bias"] + sum(table["weights"].get(name, 0.0) * amount for name, amount in features.items())
        likely = 1 / (1 + math.exp(-odds))
        sure = "high" if likely >= table["thresholds"][0] else "medium" if likely >= table["thresholds"][1] else "low"
        whole[sure] += 1
        held[sure] += row["secret"]
    assert whole["high"] > 30
    assert held["high"] >= 0.85 * whole["high"]
    assert held["low"] < 0.5 * whole["low"]
