from __future__ import annotations

import base64
import json
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.fingerprint import b64decode, fingerprint, mask, normalise
from detectors.rules.template import expand
from tests.detectors.texts import engine

KEY = b"k" * 32
PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\"'`\\"), min_size=1)


def test_it_is_hmac_sha256_of_the_value() -> None:
    # RFC 4231, test case 2.
    assert (
        fingerprint(b"Jefe", b"what do ya want for nothing?")
        == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )
    assert fingerprint(KEY, b"a") != fingerprint(b"other", b"a")


@pytest.mark.parametrize("label", ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"])
def test_a_pem_is_the_same_however_its_lines_are_broken(label: str) -> None:
    pem = expand(f"{{pem:{label}}}", 1)
    forms = {
        pem, pem + "\n", pem.replace("\n", "\r\n"), pem.replace("\n", r"\n"), pem.replace("\n", r"\\n"),
        pem.replace("\n", r"\\\\n"), pem.replace("\n", r"\r\n"), pem.replace("\n", r"\u000a"), pem.replace("\n", "%0A"),
        pem.replace("\n", " "), f'"{pem}"', pem.replace("\n", "\n    "), pem.replace("/", r"\/").replace("\n", r"\n"),
        json.dumps(json.dumps(pem))[3:-3], pem.replace("\n", "&#10;"),
    }  # fmt: skip
    assert len({fingerprint(KEY, form.encode()) for form in forms}) == 1
    other = expand(f"{{pem:{label}}}", 2)
    assert fingerprint(KEY, other.encode()) != fingerprint(KEY, pem.encode())


def test_the_engine_gives_the_same_fingerprint_for_every_form_of_a_key() -> None:
    pem = expand("{pem:PRIVATE KEY}", 1)
    search = engine().worker()
    seen = set()
    for text in (
        pem,
        json.dumps({"key": pem}),
        json.dumps({"log": json.dumps({"key": pem})}),
        "\n".join(f"<14>1 2026-03-04T05:06:07Z h a 1 - - {line}" for line in pem.splitlines()),
        "key: " + base64.b64encode(pem.encode()).decode(),
    ):
        (match,) = [m for m in search.scan(text.encode()) if m.secret.startswith(b"-----BEGIN")]
        seen.add(fingerprint(KEY, match.secret))
    assert seen == {fingerprint(KEY, pem.encode())}


def test_a_password_in_a_uri_is_the_password_itself() -> None:
    search = engine().worker()
    for written in ("p%40ss%2FXk93-jd82", "p%40ss%2fXk93-jd82", "p%40ss%2FXk93%2Djd82"):
        (match,) = search.scan(f"postgres://app:{written}@db.acme.io/app".encode())
        assert match.secret == unquote_to_bytes(written)


@given(PRINTABLE)
def test_quotes_and_space_around_a_value_do_not_matter(value: str) -> None:
    plain = fingerprint(KEY, value.encode())
    for written in (f'"{value}"', f" {value}\n", f"'{value}'", f"`{value}`"):
        assert fingerprint(KEY, written.encode()) == plain


@given(st.text(min_size=1).filter(lambda t: t == t.strip().strip("\"'`").strip() and "\\" not in t and t.isprintable()))
def test_a_json_escaped_value_is_the_value(value: str) -> None:
    escaped = json.dumps(value)[1:-1]
    assert normalise(escaped.encode()) == normalise(value.encode()) == value.encode()


@given(st.binary(max_size=200))
def test_normalising_takes_any_bytes(value: bytes) -> None:
    assert isinstance(normalise(value), bytes)


def test_a_backslash_that_is_no_escape_stays() -> None:
    assert normalise(rb"DOMAIN\user9") == rb"DOMAIN\user9"


@given(st.binary(min_size=1, max_size=300), st.lists(st.text(max_size=8), max_size=3))
def test_a_preview_shows_a_quarter_at_most_on_one_line_of_ascii(value: bytes, prefixes: list[str]) -> None:
    prefixes = [*prefixes, value[:6].decode("ascii", "replace")]
    shown, _, length = mask(value, tuple(prefixes)).partition("…[")
    assert shown.isascii()
    assert shown.isprintable() or not shown
    assert length == f"{len(value)}]"
    assert len(shown) <= len(value) / 4


def test_previews() -> None:
    token = "ghp_" + "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zA1bC2"
    assert mask(token.encode(), ("ghp_",)) == "ghp_aB3d…[40]"
    assert mask(token.encode()) == "ghp_…[40]"
    assert mask(b"secret") == "s…[6]"
    assert mask(b"abc") == "…[3]"
    pem = expand("{pem:RSA PRIVATE KEY}", 1).encode()
    assert mask(pem) == f"-----BEGIN RSA PRIVATE KEY-----…[{len(pem)}]"


@given(st.binary(max_size=60))
def test_base64_of_either_alphabet_with_or_without_padding(raw: bytes) -> None:
    for text in (base64.b64encode(raw), base64.urlsafe_b64encode(raw)):
        assert b64decode(text) == raw
        assert b64decode(text.rstrip(b"=")) == raw


@pytest.mark.parametrize("text", [b"a", b"ab!d", b"abcde", b"\xff\xff\xff\xff", b"ab cd"])
def test_what_is_not_base64_is_none(text: bytes) -> None:
    assert b64decode(text) is None


def test_a_putty_key_is_one_whatever_its_comment() -> None:
    head = b"PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nComment: %b\nPublic-Lines: 1\nAAAA\n"
    key = head + b"Private-Lines: 1\n%b\nPrivate-MAC: 00"
    one, other = key % (b"work", b"QUJD"), key % (b"me@home", b"QUJD")
    assert normalise(one) == normalise(other) == normalise(one.replace(b"\n", b"\\n"))
    assert normalise(one) != normalise(key % (b"work", b"QUJE"))
