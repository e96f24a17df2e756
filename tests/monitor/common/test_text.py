from __future__ import annotations

import tomllib
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.rules.template import expand
from monitor.common.text import (
    clean,
    clip,
    legible,
    one_line,
    printable,
    prose,
    quotable,
    token_like,
    toml_error,
    veiled,
    web_address,
)
from tests.tables import each

anything = st.text(st.characters(codec=None))


@given(anything)
def test_clean_and_printable_can_be_encoded_and_shown(text: str) -> None:
    clean(text).encode()
    shown = printable(text)
    shown.encode()
    assert shown.isprintable()
    if text.isprintable():
        assert shown == text


def test_a_path_is_read_as_a_file_of_patterns_is() -> None:
    assert legible("café/\udce9\udce9") == "café/\ufffd\ufffd"


def test_hostile_paths_are_made_visible() -> None:
    assert printable("a\x1b[31m\nb\u202e\udcff") == r"a\x1b[31m\nb\u202e\udcff"


@given(st.text(), st.integers(1, 50))
def test_clip_counts_utf16_units(text: str, limit: int) -> None:
    cut = clip(text, limit)
    assert len(cut.encode("utf-16-le", "surrogatepass")) // 2 <= limit
    if len(text.encode("utf-16-le", "surrogatepass")) // 2 <= limit:
        assert cut == text
    else:
        assert cut.endswith("…")
        assert text.startswith(cut[:-1])


def test_a_line_for_people_is_cut_and_marks_what_cannot_be_shown() -> None:
    assert one_line("a\x1bb\u202ec", mark="?") == "a?b?c"
    assert prose(" a\n\n b\x07 \n") == ["a", "b\\x07"]


@given(st.text(min_size=1, max_size=40), st.text(max_size=300), st.text(max_size=300))
def test_a_quote_never_holds_the_secret(secret: str, before: str, after: str) -> None:
    quoted = quotable(before + secret + after, secret)
    assert len(quoted) <= 200
    shown = "".join(c for c in secret if c.isprintable() and not c.isspace())
    assert not shown or shown not in quoted


def test_a_quote_is_one_short_line() -> None:
    assert quotable("a\nb\x1b[31m  c", "elsewhere") == "a b [31m c"
    assert quotable("x " * 500) == "x " * 99 + "x …"
    assert quotable(f"no such key {'x' * 500}") == "no such key …"
    assert quotable("part of SECRETVALUE shown", "secretvalue-and-more") == ""


@each(
    "address",
    [
        "javascript:alert(1)",
        "https://u:p@x.test/",
        "ftp://x.test",
        "https://",
        "https://x.test/\n",
        "https://[x/",
        5,
        None,
        "https://x.test/" + "x" * 3000,
    ],
)
def test_an_address_that_may_not_be_shown(address: object) -> None:
    assert web_address(address) is None


def test_an_address_that_may_be_shown() -> None:
    assert web_address("https://x.test/it's?a=1#b") == "https://x.test/it's?a=1#b"


TEMPLATES = (
    "ghp_{alnum:30}{crc32}",
    "glpat-{alnum:20}",
    "xoxb-{digit:12}-{digit:12}-{alnum:24}",
    "AIza{alnum:35}",
    "AKIA{base32:16}",
    "sk_live_{alnum:24}",
    "{hex:32}",
    "eyJ{alnum:20}.eyJ{alnum:20}.{alnum:40}",
)


@each("template, seed", product(TEMPLATES, range(20)))
def test_a_token_in_a_name_or_a_path_is_not_shown(template: str, seed: int) -> None:
    token = expand(template, seed)
    for text in (token, f"file:/etc/{token}", f"{token}.toml", f"no {token}, really"):
        assert token_like(text)
        shown = veiled(text)
        assert not any(token[i : i + 8] in shown for i in range(5, len(token) - 7))


@each(
    "name",
    [
        "chat",
        "slack-prod-eu-west-1.example",
        "GITHUB_TOKEN_2026_PRODUCTION",
        "/etc/exposure-monitor/pagerduty-key",
        "sk-learn-pipeline-production-2",
        "kubernetes_audit_log_node17",
        "3f2b8c1e-7d41-4c8e-9a5b-0d6e2f1a7c3b",
        "internationalisation",
        "12345678901234567890",
    ],
)
def test_an_ordinary_name_is_shown_as_it_is(name: str) -> None:
    assert not token_like(name)
    assert veiled(name) == name


@each(
    "text",
    (
        *("[{k}]\n[{k}]", "[a.{k}]\n[a.{k}]", "{k}.b = 1\n[{k}]", "[[{k}]]\n[{k}]", "{k} = {b = 1}\n[{k}.c]"),
        *("{k} = 1\n{k} = 2", "{k} = nothing", "{k}"),
    ),
)
def test_why_a_text_is_no_toml_names_its_place_and_nothing_of_it(text: str) -> None:
    for name in ("orchid", '"my (orchid) at"', "'say \"orchid\"'"):
        with pytest.raises(tomllib.TOMLDecodeError) as raised:
            tomllib.loads(text.replace("{k}", name))
        said = toml_error(raised.value)
        assert "orchid" not in said
        assert "(at " in said
