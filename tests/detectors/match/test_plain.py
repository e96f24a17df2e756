from __future__ import annotations

import pytest

from detectors.author.check import FORMS, TORN
from detectors.match.plain import amid_data, aside, expression, unsure
from detectors.rules.template import expand


@pytest.mark.parametrize(
    ("value", "before", "after"),
    [
        ("conn.pw", "connect(\n  mysql_user=user,\n  mysql_password=", ",\n  db=1,\n)\n"),
        ("connection.password", "run();\nx.update(ansible_password=", ")\n\n  return x;\n"),
        ("url.password)", "run();\npassword = {quote(", '}",\n  port,\n'),
        ("root_pass", 'env = {\n  "MYSQL_ROOT_PASSWORD": ', ",\n  1,\n}"),
        ("zaporka", "<b>protokol://korisnik:", "@www.primjer.org:port/x</b>\n"),
        ("GLANCE_DBPASS", "mysql+pymysql://glance:", "@controller/glance\n"),
        ("func(cfg", '{"SASL.Password",\n  ', " *Config) {\n"),
        ("ensure_we_are_in_a_dir", "COOKIE=x\n\n", "() {\n  # one\n"),
        ("parole", 'msgstr ""\n"protokols://lietotajs:', '@www.example.org:"\n"ports/x"\n'),
    ],
)
def test_code_and_templates_are_told_quietly_whatever_the_rule(value: str, before: str, after: str) -> None:
    assert expression(value.encode(), before.encode(), after.encode())


@pytest.mark.parametrize(
    ("value", "before", "after"),
    [
        ("{alnum:20}", "a();\nMYSQL_PASSWORD = ", ";\nb();\n"),
        ("summer_house", "DB=x\nMYSQL_PASSWORD=", "\nPORT=1\n"),
        ("summer_house", 'a();\npassword = "', '";\nb();\n'),
        (", ".join(f"0x{n * n % 251:02x}" for n in range(5, 37)), "static key alice_private = {{", "}};\n"),
        ("{alnum:12}", "x IDENTIFIED BY '", "';\n"),
        ("{alnum:12}", "grant all on x.* to app@db1 identified by '", "';\n"),
        ("summerhouse", "amqp://app:", "@db1.test:5672/x\n"),
    ],
)
def test_values_are_no_code(value: str, before: str, after: str) -> None:
    assert not expression(expand(value, 1).encode(), before.encode(), after.encode())


@pytest.mark.parametrize(
    ("value", "before", "after"),
    [
        ("pass;option", "imap://user:", "@host/path"),
        ("my%3Apass", "mysql://app:", "@db1.test/x"),
        ("%60%7B%7D", "http://x:", "@h/"),
        ("fool", "http://hello:", "@example.com"),
        ("RANDOM_PASSPHRASE", "openssl enc -k ", " -md sha256"),
        ("keyPrefix:", "password: process.env.PW,\n", " process.env.PREFIX,"),
        ("Optional[str]", "  port: int = 1,\n  db_password: ", " = None,\n  x: int = 1,\n"),
        ("userPwd", "jdbc:mariadb://h/x?user=userName&password=", "\n"),
        ("mydatabaseuser", "postgresql_password('", "', x)"),
        ("bad", "nats://bad:", "@localhost:4222"),
        ("top%20secret", "postgres://username:", "@db1.test/x"),
        ("p@ss(word)", '"user:', "@tcp([::1]:80)/dbname"),
        ("%3A%40c", "http://:", "@d:2/"),
        ("redis_password)", "if x is None or len(", " == 0:\n"),
    ],
)
def test_stand_ins_and_names_are_told_quietly_whatever_the_rule(value: str, before: str, after: str) -> None:
    assert expression(value.encode(), before.encode(), after.encode())


@pytest.mark.parametrize(
    ("value", "before", "after"),
    [
        ("banana", "ftp://monkey:", "@ftp.acme.test/file"),
        ("pass{digit:4}", "mysql://app:", "@db1.test/x"),
        ("summer;house", "imap://app:", "@mail.acme.test/x"),
        ("summer", "redis_password: ", "\nport: 1\n"),
        ("garden(house)", "redis_password: ", "\nport: 1\n"),
        ("{alnum:8}%40x", "http://app:", "@acme.test/x"),
        ("summer%20house", "postgres://orders:", "@db1.test/x"),
        ("{alnum:24}", "cookie: user_session=", "; b=2"),
    ],
)
def test_weak_passwords_are_no_stand_ins(value: str, before: str, after: str) -> None:
    assert not expression(expand(value, 1).encode(), before.encode(), after.encode())


@pytest.mark.parametrize(
    ("value", "before", "after"),
    [
        ("banana", "ftp://monkey:", "@ftp.acme.test/file"),
        ("banana", "mysql://app:", "@db1.test/x"),
        ("top%20hat", "postgres://app:", "@db1.test/x"),
        ("orders_password", "create user app identified by '", "';\n"),
        ("{alnum:12}7", "https://app:", "@proxy.example.com:3128\n"),
        ("{alnum:12}7", "https://app:", "@proxy.example\n"),
    ],
)
def test_nobody_is_sure_of_words_alone_or_of_an_example(value: str, before: str, after: str) -> None:
    assert unsure(expand(value, 1).encode(), before.encode(), after.encode())


@pytest.mark.parametrize(
    ("value", "before", "after"),
    [
        ("{alnum:12}7", "https://app:", "@acme.test/x"),
        ("{alnum:12}7", "https://app:", "@example.company.test/x"),
        ("banana7", "mysql://app:", "@db1.test/x"),
        ("xqzkvwjpqx", "mysql://app:", "@db1.test/x"),
        ("{alpha:40}", "token ", "\n"),
    ],
)
def test_digits_and_random_letters_are_evidence(value: str, before: str, after: str) -> None:
    assert not unsure(expand(value, 1).encode(), before.encode(), after.encode())


LINE = expand("{base64:76}", 4)


@pytest.mark.parametrize(
    ("value", "before", "after"),
    [
        ("EAAA{alnum:40}", "{base64:60}7aB+", "+{base64:60}\n"),
        ("EAAA{alnum:40}", "x = '", "/{base64:60}7aB'\n"),
        (LINE, f"{expand('{base64:76}', 5)}\n", f"\n{expand('{base64:76}', 6)}\n"),
        (LINE[:50], f'"{expand("{base64:76}", 5)}" +\n"', f'{LINE[50:]}" +\n'),
        ("CG-" + "GATC" * 6, "GG-", "-ACGG"),
    ],
)
def test_a_piece_of_encoded_data_is_told_quietly(value: str, before: str, after: str) -> None:
    assert amid_data(expand(value, 1).encode(), expand(before, 2).encode(), expand(after, 3).encode())


@pytest.mark.parametrize("name", TORN)
def test_lines_of_data_that_are_records_each_are_told_quietly(name: str) -> None:
    def beside(below: str) -> bool:
        text = FORMS[name](expand("{base64:64}\nEAAA{base64:60}\n" + below, 3)).encode()
        at = text.index(b"EAAA")
        return bool(amid_data(text[at : at + 64], text[:at], text[at + 64 :]))

    assert beside("{base64:64}\n")
    assert beside("{base64:20}=\n"), "the last line is a shorter one"
    single = FORMS[name](expand("key:\nEAAA{base64:60}\nother: {base64:57}\n", 3)).encode()
    at = single.index(b"EAAA")
    assert not amid_data(single[at : at + 64], single[:at], single[at + 64 :])


@pytest.mark.parametrize(
    ("value", "before", "after"),
    [
        ("EAAA{alnum:40}", "token=", "\n"),
        ("EAAA{alnum:40}", "https://graph.acme.test/v1/some/longer/path/of/plain/words/", "/more\n"),
        ("{base64:76}", "key:\n", "\nother: {base64:76}\n"),
        ("{digit:24}", "key=", "\n"),
        ("{alnum:24}", "key=", "\n"),
    ],
)
def test_a_token_is_no_piece_of_data(value: str, before: str, after: str) -> None:
    assert not amid_data(expand(value, 1).encode(), expand(before, 2).encode(), expand(after, 3).encode())


def test_the_end_of_something_else_is_no_name() -> None:
    """As those who run tests and those who keep connections write their logs."""
    assert aside(b'"Output":"--- PASS: ') == aside(b"PASS: ") == "the verdict of a test"
    assert aside(b"DB_PASS: ") == aside(b"pass: ") == aside(b"PASS ") == ""
    above = b'#7: proposal 3 chosen, initiating IKE_AUTH\n"'
    assert aside(above) == aside(b"x\n" + above) == "the line above it is prose"
    for label in (
        b"Password\n",
        b"Admin password:\n  ",
        b"the password is:\n",
        b"Root password\n",
        b"a = 1\nsecret = ",
    ):
        assert aside(label) == "", label
