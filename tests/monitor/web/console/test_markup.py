from __future__ import annotations

from monitor.web.console.markup import document, escape, link, table, tag


def test_a_text_is_no_markup_and_what_is_made_here_is_not_escaped_again() -> None:
    assert tag("p", "<b>", tag("b", "&")) == "<p>&lt;b&gt;<b>&amp;</b></p>"
    assert escape("a\n\x1b[31m\u202eb") == "a\n\\x1b[31m\\u202eb"
    assert document("</title>", "<script>").count("<script") == 0


def test_a_table_has_heads_above_or_at_the_left() -> None:
    assert table([("a", "1")]) == "<table><tr><th>a</th><td>1</td></tr></table>"
    assert table([("1", "2")], ("a", "b")).startswith("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td>")


def test_only_web_addresses_and_pages_of_ours_are_linked() -> None:
    assert link("/incidents/1", "<1>") == '<a href="/incidents/1">&lt;1&gt;</a>'
    assert link('/a"b', "x") == '<a href="/a&quot;b">x</a>'
    assert link("https://a/?b=1&c", "x") == '<a href="https://a/?b=1&amp;c" rel="noreferrer">x</a>'
    assert link("javascript:alert(1)", "x") == "x"
    assert link("//elsewhere.example/a", "x") == link("/\\elsewhere.example/a", "x") == "x"
