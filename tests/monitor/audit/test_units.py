from __future__ import annotations

from monitor.audit.units import settings, words


def test_settings_with_continued_lines_and_comments() -> None:
    text = "[Service]\n# A=b\nExecStart=/bin/a \\\n  --b\n;C=d\nUser = x\n"
    assert list(settings(text)) == [(3, "ExecStart", "/bin/a  --b"), (6, "User", "x")]


def test_words_are_names_and_values() -> None:
    assert words('A=1 "B=two words" c') == [("A", "1"), ("B", "two words")]
    assert words("A=1 'B=2") == [("A", "1"), ("'B", "2")]
