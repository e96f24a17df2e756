from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote, quote_plus

import pytest

from detectors.compile.codecs import codecs, ends_here
from detectors.rules.rule import Rule
from tests.detectors.texts import engine, examples, rules
from tests.detectors.texts import worker as worker_of


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"hooks\.acme\.com/services/(?P<secret>[A-Z0-9]{12})", "hooks.acme.com%2Fservices%2FT7K2Q9X4M1Z8"),
        (r"\.acme\.io/(?P<secret>[a-f0-9]{32})", "wss%3A%2F%2Fn1.acme.io%2F9f27c1d05be84a36b1c07ad4e25f8396"),
        (r"\b(?P<secret>ACM1[A-Za-z0-9+/]{20}=)", "key ACM1k3j9%2Fx2m4q8w1z7v5b6n%3D"),
    ],
)
def test_what_percent_encoding_hides_of_a_vendors_format_is_seen(pattern: str, text: str) -> None:
    rule = Rule(id="r", name="Rule", pattern=pattern, severity="critical", family="test")
    worker = worker_of(rule)
    assert [match.decode for match in worker.scan(f"GET /x?u={text}&n=1 200".encode())] == [("percent",)]
    assert worker.scan(f"GET /x?u={text[:-4]}&n=1 200".encode()) == []
    never = worker_of(replace(rule, decode=("base64",)))
    assert never.scan(f"GET /x?u={text}&n=1 200".encode()) == []


def test_plain_logs_have_no_trigger() -> None:
    text = b'2026-01-02 INFO GET /static/app.js?v=9f8a HTTP/1.1 200 "Mozilla/5.0" session=9f8a7c6d5e4f3a2b took=3ms\n'
    found = [trigger for _, trigger in codecs(rules()) if re.search(trigger, text)]
    assert not found


def test_each_alignment_of_a_literal_is_looked_for() -> None:
    rule = Rule(id="r", name="Rule", pattern=r"(?P<secret>acme_[a-z0-9]{12})", severity="critical")
    always = codecs([])
    made = [one for one in codecs([rule]) if one not in always]
    assert sorted(codec.phase for codec, _ in made if codec.name == "base64") == [0, 2, 3]
    assert [trigger for codec, trigger in made if codec.name == "hex"] == [b"(?i)" + b"acme_".hex().encode()]
    lesser = [one for one in codecs([replace(rule, severity="medium")]) if one not in always]
    assert not {codec.name for codec, _ in lesser} & {"base64", "hex"}, "of critical and high rules only"


@pytest.mark.parametrize("before", ["=pass", "%20bearer", "&psk", "=totp%20seed", "=auth_pass", "login%20as"])
def test_words_that_a_secret_follows_are_seen_before_an_encoded_blank(before: str) -> None:
    worker = worker_of(Rule(id="r", name="R", pattern=r" (?P<secret>acme_[a-z0-9]{6})", severity="high"))
    assert worker.scan(f"GET /x?q{before}%20acme_k3j9x2&n=1 200".encode())
    assert not worker.scan(b"GET /x?q=compass%20acme_k3j9x2&n=1 200")


@pytest.mark.parametrize(
    ("literal", "looked"),
    [("acm1_", True), ("acm1:v=", True), ("acm1 key: ", False), ('acm1"', False), ("it's", False), ("one:", False)],
)
def test_in_percent_encoded_text_nothing_is_looked_for_that_would_be_encoded_itself(literal: str, looked: bool) -> None:
    rule = Rule(id="r", name="Rule", pattern=f"{literal}(?P<secret>[A-Za-z0-9+/]{{20}}=)", severity="high")
    assert (re.escape(literal).encode() in {trigger for _, trigger in codecs([rule])}) is looked


ASKS = r"""
password:\n
F password\n
| user | password |\n
"user","password"\n
id,login,password,email\n
"client_secret": (\n
<key>ApiKey</key>\n
<password>\n
  ["apiKey"]=>\n
  ["pw":protected]=>\n
>>> print(password)\n
- ParameterKey: bindPwd\n
name: APP_DB_PASSWD\n
USER reporting\n
| user | api_key      |\n
id;api_key;active\n
F Access Key\n
your new api key is:\n
secret = "abcdefgh" .\n
Content-Disposition: form-data; name="x"\n
"""


def test_a_name_that_ends_a_record_is_seen_where_rules_look_behind_names() -> None:
    asking = [rule for rule in rules() if rule.trigger == "@assigned"][:1]
    made = {trigger for codec, trigger in codecs(asking) if codec.name == "lines"}
    known = [re.compile(trigger) for trigger in made]
    assert len(made) > len([codec for codec, _ in codecs([]) if codec.name == "lines"]) == 1

    def ends(text: str) -> list[bytes]:
        return [text[: found.end()].encode()[-2:] for one in known for found in one.finditer(text.encode())]

    for line in ASKS.strip().split("\n"):
        text = f"2026-03-04T05:06:07Z stdout {line[:-2]}"
        assert ends(f"{text}\n"), line
        assert not any(map(ends_here, ends(f"{text}\nnext")))
        assert all(map(ends_here, ends(f'{{"log":"{json.dumps(text)[1:-1]}\\n","n":1}}')))
        assert ends(f'{{"log":"{json.dumps(text)[1:-1]}\\n","n":1}}'), line
    assert all(map(ends_here, ends('{"msg":"password:","n":1}') + ends('msg="token = (" n=1')))
    for text in (
        "invalid password\n2026",
        '{"token":"","type":"password","n":1}\n{',
        "2026 Failed password for root from 10.0.0.1\n2026",
        "tokens=812 max_tokens=9\n2026",
        "the token expired:\n",
    ):
        assert ends(text) == [], text


def test_a_value_is_seen_whose_user_stands_in_a_record_before() -> None:
    asking = [rule for rule in rules() if rule.trigger == "@assigned"][:1]
    known = [re.compile(trigger) for codec, trigger in codecs(asking) if codec.name == "lines"]
    for line in ("2026 stdout F PASS k3j9x2m4", '{"log":"Pass k3j9x2m4\\n"}', "x - - let adminPassword = 'k3j9';"):
        assert any(one.search(line.encode()) for one in known), line
    for line in ("2026 stdout F PASSED all of them", "password = 'abcdefghij'"):
        assert not any(one.search(line.encode()) for one in known), line


@pytest.mark.parametrize(
    "text",
    [
        *("IDENTIFIED BY x", "password\nx", "Access Key\nx", "a;api_key;b", "|secret|x", "*token* x", "token:\nx"),
        *("--storage-key x", "пароль x", "Пароль от базы x", "密码：x", "senha é x", "mot de passe : x"),
        *("bob:$2y$05$x", "https://k3j9x2m4q8w1k3j9x2m4@h", "https://k3j9x2m4:@host", "user bob\nPass x"),
        *("https://hooks.acme.test/x", "/webhooks/x", "zfs load-key a"),
    ],
)
def test_what_a_value_follows_is_seen_percent_encoded(text: str) -> None:
    known = [re.compile(trigger) for codec, trigger in codecs([]) if codec.name == "percent"]
    assert any(one.search(quote(text, safe="").encode()) for one in known)


@pytest.mark.parametrize(
    "text",
    ["red shoes, size 9; new", "https://shop.acme.test/a/b", "a|b", "tokens and keys", "a@b.test", "café au lait"],
)
def test_ordinary_text_has_nothing_of_it_percent_encoded(text: str) -> None:
    known = [re.compile(trigger) for codec, trigger in codecs([]) if codec.name == "percent"]
    assert not any(one.search(quote(text, safe="").encode()) for one in known)


def _quoted(text: str) -> str:
    return quote(text, safe="")


_WRITTEN: dict[str, Callable[[str], str]] = {
    "twice": lambda text: "/x?log=" + _quoted(_quoted(text)),
    "three times": lambda text: "/x?log=" + _quoted(_quoted(_quoted(text))),
    "a form": lambda text: "id=5&body=" + quote_plus(text) + "&n=1",
    "a form in a URL": lambda text: "/x?log=" + _quoted(quote_plus(text)),
    "PHP": lambda text: json.dumps({"message": text}).replace("/", "\\/"),
    "PHP in PHP": lambda text: json.dumps({"log": json.dumps({"m": text}).replace("/", "\\/")}).replace("/", "\\/"),
}


@pytest.mark.parametrize("written", _WRITTEN)
def test_of_what_rules_look_for_little_is_hidden_by(written: str) -> None:
    worker = engine().worker()
    plain = [(text, {match.rule.id for match in worker.scan(text)}) for text in examples(312)]
    lines = [(f"at 10:00 {_WRITTEN[written](text.decode())} done\n".encode(), ids) for text, ids in plain if ids]
    hidden = [ids for line, ids in lines if not ids & {match.rule.id for match in worker.scan(line)}]
    assert len(lines) > 300
    assert len(hidden) <= len(lines) // 50, hidden
