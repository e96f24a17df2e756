from __future__ import annotations

import pytest

from detectors.excerpt import around, narrowed


def shown(text: str, secret: str, *hidden: str, near: int = 64) -> tuple[str, str]:
    data = text.encode()
    spans = sorted((data.index(part.encode()), data.index(part.encode()) + len(part)) for part in hidden)
    start = data.index(secret.encode())
    line_start = data.rfind(b"\n", 0, start) + 1
    return around(memoryview(data), (start, start + len(secret)), spans, line_start, near)


def test_only_the_line_and_only_so_much_of_it() -> None:
    assert shown("before\nuser=ana key=SECRET ok\nafter", "SECRET") == ("user=ana key=", " ok")
    assert shown("a b c d key=SECRET e f g h", "SECRET", near=6) == ("d key=", " e f g")


def test_a_part_of_a_word_is_not_shown() -> None:
    assert shown("a b c dab key=SECRET edf ghi j", "SECRET", near=6) == ("… key=", " edf …")


def test_what_no_rule_knows_and_nobody_would_write_is_hidden() -> None:
    run = "u003dq0Vq0sJbWWiTrfBWGpAyZsQXrJabC5734OiYX"
    assert shown(f"x={run}&a=1 key=SECRET id={run}", "SECRET") == ("x=…&a=1 key=", " id=…")
    words = "internationalization_of_requests 1234567890123456789012"
    assert shown(f"{words} key=SECRET", "SECRET") == (f"{words} key=", "")
    uuid = "3f2b8c1e-9d41-4b6a-8f0e-2c5d7a9b1e34"
    assert shown(f"{uuid} key=SECRET", "SECRET") == (f"{uuid} key=", "")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("{'encryption_key': 'walnut-kettle-3173'} done", "{'encryption_key': '…'} done"),
        ('{"\\u5bc6\\u7801": "walnut kettle"} done', '{"密码": "…"} done'),
        ('{"contrase\\u00f1a": "walnut kettle"} done', '{"contraseña": "…"} done'),
        ("GET /in?has%C5%82o=walnut&n=1 done", "GET /in?hasło=…&n=1 done"),
        (
            "&amp;#x27;senha&amp;#x27;: &amp;#x27;walnut&amp;#x27; done",
            "&amp;#x27;senha&amp;#x27;: &amp;#x27;…&amp;#x27; done",
        ),
        ("&quot;password&quot;=&gt;&quot;walnut kettle&quot; done", "&quot;password&quot;=&gt;&quot;…&quot; done"),
        ('user="bob" password="Orchid" done', 'user="bob" password="…" done'),
        ("DB_USER=bob DB_PASSWORD=orchids done", "DB_USER=bob DB_PASSWORD=… done"),
        ('{"password":"my cat sleeps","a":1}', '{"password":"…","a":1}'),
        (r"{\"senha\": \"girassol\"}", r"{\"senha\": \"…\"}"),
        ("<password>Orchid</password>", "<password>…</password>"),
        ("backup --db-password Orchid --fast", "backup --db-password … --fast"),
        ("пароль: ромашка ok", "пароль: … ok"),
        ("password='Orchid", "password='…"),
        ("token=sunflower ok", "token=… ok"),
        ("{'api_key': 'correct horse battery'}", "{'api_key': '…'}"),
        ("密码：向日葵 ok", "密码：… ok"),
        ("a=1&password%3Dmy+cat+sleeps&b=2", "a=1&password%3D…&b=2"),
        ("password%253Dorchids ok", "password%253D… ok"),
        (r"password\u003d\u0022my orchids\u0022 ok", r"password\u003d\u0022…\u0022 ok"),
        ("password=&quot;my orchids&quot; ok", "password=&quot;…&quot; ok"),
        ("\x1b[36mpassword\x1b[0m=\x1b[33morchids\x1b[0m ok", "password=… ok"),
        (r"\u001b[36mpassword\u001b[0m=\u001b[33morchids\u001b[0m ok", "password=… ok"),
        ("#033[36mpassword#033[0m: #033[33m'my orchids'#033[0m ok", "password: '…' ok"),
        ("password authentication failed for user bob", "password authentication failed for user bob"),
        ("Enter password:", "Enter password:"),
    ],
)
def test_what_stands_behind_the_name_of_a_password_is_hidden_though_no_rule_finds_it(text: str, left: str) -> None:
    for line, place in ((f"{text} SECRET", 0), (f"SECRET {text}", 1)):
        assert shown(line, "SECRET")[place].strip() == left


@pytest.mark.parametrize("words", ["Orchid", "my cat sleeps all day", "orchids-and-roses"])
@pytest.mark.parametrize("name", ["password=", "passphrase: ", "secret => ", "API_KEY="])
def test_a_name_beyond_the_edge_still_tells_what_its_value_is(name: str, words: str) -> None:
    for quote in ('"', "'"):
        text = f"{name}{quote}{words}{quote} "
        for near in range(4, len(text) + 12):
            before, _ = shown(f"{text}SECRET", "SECRET", near=near)
            _, after = shown(f"SECRET {text}", "SECRET", near=near)
            assert not {*words.split()} & {*before.split(), *after.split()}
            assert not any(word in before + after for word in words.split("-") if len(word) > 4)


def test_what_is_or_may_be_a_secret_is_hidden_with_what_is_glued_to_it() -> None:
    assert shown("a=OTHER b=SECRET c=xOTHER2y d", "SECRET", "OTHER", "OTHER2") == ("a=… b=", " c=… d")
    assert shown("a=OTHER b=SECRET tail", "SECRET", "OTHER", "SECRET") == ("a=… b=", " tail")
    assert shown("abcSECRETdef ok", "SECRET") == ("…", "… ok")
    assert shown("key=SECRET\\nOTHER more", "SECRET", near=9)[1] == "… more"


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("odd", [0, 1])
def test_text_in_utf_16_is_shown_as_what_it_says(order: str, odd: int) -> None:
    text = "earlier\r\nПароль: SECRET “и” OTHER\r\nlater" * 9
    data = b"#" * odd + text.encode(f"utf-16-{order}")
    places = [odd + 2 * text.index(word, 200) for word in ("SECRET", "OTHER")]
    span, other = (places[0], places[0] + 12), (places[1] - 1, places[1] + 9)  # as seen in the other order
    plain, where, hidden = narrowed(memoryview(data), span, [span, other])
    assert plain[slice(*where)] == b"SECRET"
    line_start = plain.rfind(b"\n", 0, where[0]) + 1
    assert around(plain, where, hidden, line_start) == ("Пароль: ", " “и”…\r")
