from __future__ import annotations

import hashlib

import pytest

from detectors.author.check import FORMS, TORN
from detectors.match.doubt import doubt
from detectors.match.plain import amid_data, aside, expression, plainly, unsure
from detectors.rules.template import expand


@pytest.mark.parametrize(
    ("value", "before", "after"),
    [
        ("conn.pw", "connect(\n  mysql_user=user,\n  mysql_password=", ",\n  db=1,\n)\n"),
        ("connection.password", "run();\nx.update(ansible_password=", ")\n\n  return x;\n"),
        ("url.password)", "run();\npassword = {quote(", '}",\n  port,\n'),
        ("root_pass", 'env = {\n  "MYSQL_ROOT_PASSWORD": ', ",\n  1,\n}"),
        ("gtk_entry_new", "f();\nsmtp_pass_entry = ", " ();\ng();\n"),
        ("zaporka", "<b>protokol://korisnik:", "@www.primjer.org:port/x</b>\n"),
        ("hes\u0142o", "<b>protokol://wuziwar:", "@www.heksempl.org/x</b>\n"),
        ("GLANCE_DBPASS", "mysql+pymysql://glance:", "@controller/glance\n"),
        ("secret</conninfo>", "<conninfo>user=app password=", "\n"),
        ("entry", "    get the value of the file identified by '", "'\n"),
        ("func(cfg", '{"SASL.Password",\n  ', " *Config) {\n"),
        ("ensure_we_are_in_a_dir", "COOKIE=x\n\n", "() {\n  # one\n"),
        (", ".join(f"0x{n:02x}" for n in range(0, 256, 17)), "key := []byte{", "}\n"),
        (", ".join(f"0x{n * n % 251:02x}" for n in range(5, 37)), "static key alice_public = {", "};\n"),
        ("8000?d1234", "http://127.0.0.1:", "@acme.test   -- call\n"),
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


MD5 = hashlib.md5(b"password", usedforsecurity=False).hexdigest()
UUENCODED = "".join(chr(33 + n * 11 % 62) for n in range(60))
IDS = "\n".join(f"  {name} = '{{uuid}}'" for name in ("A", "B", "C"))


@pytest.mark.parametrize(
    ("value", "before", "after", "why"),
    [
        (
            hashlib.md5(b"password", usedforsecurity=False).hexdigest(),
            "'password' => '",
            "',",
            "a digest of a common word",
        ),
        ("eyJ{alnum:20}.test", '"access_token": "', '",', "the beginning of a token"),
        ("/PW:=FYM", f"{UUENCODED}\n{UUENCODED[:20]}", f"{UUENCODED[:32]}\n{UUENCODED}\n", "a line of encoded data"),
        ("vova{digit:4}", "one,two2,three,four,passw0rd,", ",five,six,seven,eight", "a word of a list"),
        ("read8pass", "a.password = ", ' ("Enter it: ");', "a call"),
        ("{uuid}", f"{IDS}\n  CREDENTIAL_ = '", "'\n", "one of a table of ids"),
        ("{alnum:12}4", "BAD_PASSWORD = '", "'\n", "a wrong one, by its name"),
        ("{hex:40}", 'return h("div",{key:"', '",class:"a"})', "the key of an element"),
        ("".join(f"#a{sign}B~" for sign in "!$%&*+?@^|;:" * 2), 'tokenData:"', '"', "encoded data"),
        ("{b64(the sample nonce)}", 'key = "', '"', "base64 of a text"),
        ('{b64([{"Name": "Ed"}])}', '"SecretBinary":"', '"', "base64 of a text"),
        ("{b64({CRYPT}$6$one$two)}", "userPassword:: ", "\n", "base64 of a text"),
        ("{b64(user_name:my_password)}", 'String credentials = "', '";\n', "base64 of a text"),
        ("{hex:40}", 'return (0,l.h)(l.xr,{key:"', '",onClick:f})', "the key of an element"),
        ("{hex:64}", '"allowedSigningKeys": "', '"\n', "one of a list of keys"),
        ("{base64:43}=", 'encryptedHmacKey="', '" x', "encrypted, by its name"),
        ("{base64:43}=", '"wrapped_key": "', '"', "encrypted, by its name"),
        ("CURVE_DP_P256_R1", "calc_secret:", ":x\n", "the name of a constant"),
        ("{b64(another-token)}", "credential=", "\n", "base64 of a text"),
        ("{hex:64}", 'hpkePublicKeyBytesHex = "', '"\n', "a public key, by its name"),
        ("{base64:43}=", '{{"key_id":"{digit:18}","key":"', '"}}', "a public key, by its id"),
        ("{base64:43}=", '{{"key": "', '", "key_id": "{digit:18}"}}', "a public key, by its id"),
        ("{b64(privateKey)}", '"privateKey": "', '"', "base64 of a text"),
        ("{uuid}", 'a=64,Pw="', '",Ow=T.MAIN,Mw=1', "a name of minified code"),
        ("{hex:7}", "Fix the password of users ([`", "`](https://code.acme.test/x/commit/{hex:40}))", "a commit"),
        ("{b64(samples42)}.{b64(samples42)}.{b64(other)}", 'token: "', '"', "its parts repeat"),
        ("MZB@3%&),)64D/,", "".join(map(chr, range(33, 91))) * 2, "#@B+-./*" * 9, "a line of encoded data"),
        ("{hex:64}", '"signing_key_block_list": "', '"\n', "one of a list of keys"),
        ("{lower:5}{digit:12}", "<clientToken>", "</clientToken>", "it marks a request or an account"),
        ("{alnum:44}", '"tokenMint": "', '",\n', "it marks a request or an account"),
        ("{uuid}", "<D:href>opaquelocktoken:", "</D:href>", "it marks a request or an account"),
        ("#a~R!XX^$npq", "tokenData:'", "` 7}!b", "a table of a parser"),
        ("{alnum:10}..{alnum:4}", '"token": "', '"', "its middle is left out"),
        ("fB{alnum:8}", "password \\-> \\", "\\fP(hmac", "markup"),
        ("SSH@Lab-X{digit:4}#", "Password:\n", "\n", "a prompt"),
        (
            MD5[:12],
            f'User-Name = "{MD5[:12]}"\nUser-Password = "',
            '"\n',
            "an address of hardware, which is its user's name as well",
        ),
        (bytes((240 + n + n // 4) % 256 for n in range(16)).hex(), "KEY=", "\n", "bytes in a sequence"),
    ],
)
def test_what_all_see_is_told_quietly(value: str, before: str, after: str, why: str) -> None:
    value, before, after = (expand(text, 1) if "{" in text else text for text in (value, before, after))
    assert plainly(value.encode(), before.encode(), after.encode()) == why
    assert doubt("high", value.encode(), before.encode(), after.encode(), ()) == ("low", why)


@pytest.mark.parametrize(
    ("value", "before", "after"),
    [
        ("{alnum:16}", 'password = "', '"\n'),
        ("{uuid}", "one = 1\ntwo = 2\nCLIENT_SECRET = '", "'\n"),
        ("{b64(gardenHouse77)}", "password: ", "\n"),
        ("{b64(alice:gardenhouse)}", "Authorization: Basic ", "\n"),
        ("{alnum:12}", "WARN invalid password '", "' for user deploy"),
        ("{hex:32}", "A_PASSWORD={hex:40}\nB_PASSWORD=", "\nC_PASSWORD={hex:40}\n"),
        ("{alnum:20}", "  token_for_key: ", "\n"),
        ("{hex:32}", "KEY=", "\n"),
        ("{hex:12}", 'User-Name = "bob"\nUser-Password = "', '"\n'),
        ("deploy@Garden{digit:2}#", 'password = "', '"\n'),
    ],
)
def test_what_may_be_a_secret_is_not_so_plain(value: str, before: str, after: str) -> None:
    value, before, after = (expand(text, 1) for text in (value, before, after))
    assert plainly(value.encode(), before.encode(), after.encode()) == ""


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
        ("path=fixture.socket", "  password=pw,\n  ", ",\n  x=y,\n"),
        ("command", "if redis_password:\n    ", ' += ["--password"]\n'),
        (", ".join(f"0x{n:02x}" for n in (*range(1, 256, 34), *range(254, 0, -34))), "byte[] key = {", "};\n"),
        ("font", "    /* in order to create\n     * one identified by '", "'\n"),
        (", ".join(["0xff"] * 8 + ["0xc9", "0x0f"]), "static key group1_key[] = {", "};\n"),
        (", ".join(f"0x{n:02x}" for n in (6, 14, 43, 52, 1, 9, 77, 33, 8, 90)), "filler_key[] = {", "};\n"),
        (", ".join(f"0x{n:02x}" for n in b'"<DOXYGEN_VHDL>"'), "tokenImage[] = {", ", 0};\n"),
        ("userPwd", "jdbc:mariadb://h/x?user=userName&password=", "\n"),
        ("mydatabaseuser", "postgresql_password('", "', x)"),
        ("bad", "nats://bad:", "@localhost:4222"),
        ("top%20secret", "postgres://username:", "@db1.test/x"),
        ("pass1%40bar%3Apass2", "http://foo:", "@baz/x"),
        ("p@ss(word)", '"user:', "@tcp([::1]:80)/dbname"),
        ("%3A%40c", "http://:", "@d:2/"),
        ("passwor%6", "http://username:", "@server/resource"),
        ("**%ADMINPW%", "SET password = '", "' WHERE"),
        ("whatever\u201d;", "password=", "\n"),
        ("Prevents", "redis_password: ", " external clients without the password\n"),
        ("redis_password)", "if x is None or len(", " == 0:\n"),
        ("redis_username=None):", "def f(address, redis_password, ", "\n"),
        ("eJko6IiUcEm69ehQfaak", 'cookie: "a=1; clicktracking-session=', "; b=2"),
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
