from __future__ import annotations

from monitor.excerpt import around


def shown(text: str, secret: str, *hidden: str, near: int = 64) -> tuple[str, str]:
    data = text.encode()
    spans = sorted((data.index(part.encode()), data.index(part.encode()) + len(part)) for part in hidden)
    start = data.index(secret.encode())
    line_start = data.rfind(b"\n", 0, start) + 1
    return around(memoryview(data), (start, start + len(secret)), spans, line_start, near)


def test_only_the_line_and_only_so_much_of_it() -> None:
    assert shown("before\nuser=ana key=SECRET ok\nafter", "SECRET") == ("user=ana key=", " ok")
    assert shown("a b c d key=SECRET e f g h", "SECRET", near=6) == ("d key=", " e f g")


def test_what_is_or_may_be_a_secret_is_hidden_with_what_is_glued_to_it() -> None:
    assert shown("a=OTHER b=SECRET c=xOTHER2y d", "SECRET", "OTHER", "OTHER2") == ("a=… b=", " c=… d")
    assert shown("a=OTHER b=SECRET tail", "SECRET", "OTHER", "SECRET") == ("a=… b=", " tail")
    assert shown("abcSECRETdef ok", "SECRET") == ("…", "… ok")
    assert shown("key=SECRET\\nOTHER more", "SECRET", near=9)[1] == "… m"
