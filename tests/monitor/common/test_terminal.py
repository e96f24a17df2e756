from __future__ import annotations

import re

import pytest

from monitor.common.terminal import OPENS, SEQUENCE

ESCAPES = (b"\x1b", rb"\u001b", rb"\\u001B", rb"\x1b", rb"\033", rb"\e", b"#033", b"^[")


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_sequence_is_left_out_however_it_is_written(escape: bytes) -> None:
    for parameters in (b"0m", b"36m", b"1;38;5;208m", b"38:2::1:2:3m", b"2K", b"?25l", b"12;40H"):
        assert SEQUENCE.sub(b"", b"a%b[%bb" % (escape, parameters)) == b"ab"
        assert any(re.search(opening, escape + b"[" + parameters) for opening in OPENS)
    for bell in (b"\x07", escape + b"\\"):
        link = b"%b]8;;https://docs.example/a%bhere%b]8;;%b" % (escape, bell, escape, bell)
        assert SEQUENCE.sub(b"", link) == b"here"


@pytest.mark.parametrize("text", [b"[INFO] a", b"x = [0]m", b"re[^[:space:]]", rb"C:\x1bfoo", b"#0334", b"a^[b"])
def test_what_opens_no_sequence_stays(text: bytes) -> None:
    assert SEQUENCE.sub(b"", text) == text
