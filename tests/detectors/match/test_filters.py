from __future__ import annotations

import math
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.match import filters
from detectors.match.filters import (
    entropy,
    looks_like_hash,
    masked_before,
    placeholder,
    words,
)
from detectors.rules.template import expand
from tests.tables import each


def test_entropy_of_known_texts() -> None:
    assert entropy(b"") == 0
    assert entropy(b"aaaa") == 0
    assert entropy(b"ab") == 1
    assert entropy(bytes(range(256))) == 8


@given(st.binary(min_size=1, max_size=80))
def test_entropy_is_within_its_bounds_and_blind_to_order(value: bytes) -> None:
    bits = entropy(value)
    assert 0 <= bits <= math.log2(len(value)) + 1e-9
    assert entropy(bytes(sorted(value))) == pytest.approx(bits)


@each(
    "value",
    [
        "yourpass", "$$REDIS_PASSWORD", "database:",
        "changeme", "your_api_key_here", "my-secret-token", "xxxxxxxxxxxx", "********", "example-key-123",
        "aaaaaaaaaaaa", "abcabcabcabcabc", "0123456789abcd", "abcdefghijklmnop", "zyxwvutsrqponm", "<token>",
        "${DB_PASSWORD}", "{{ secret }}", "$PASSWORD", "%s", "%(password)s", "os.environ['X']", "process.env.KEY",
        "#{secret}", "[password]", "[REDACTED]", "{auth_token}'", "KAFKA_CLIENT_KEY_PASSWORD", "%PASSWORD%", "%PW2_X%",
        "TuClave123", "YourSafePassword9!", "ton-secret-key", "una-clave-muy-larga-32", "dein-geheimnis-2024",
        "clave_segura", "api_key_anda",
        "00000000-0000-0000", "sk_redacted_1", "a%20secret", "your%5Fapi%5Fkey", "arn:aws:iam::1:x",
        "op://vault/item", "00112233445566778899aabbccddeeff", "a1b2c3d4e5f6g7h8", "1a2b3c4d5e6f", "9z8y7x6w5v",
        "AABBCCDDEEFF0011", "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "12345678-1234-1234-1234-123456789abc",
        "P@ssw0rd", "Password123!", "pa$$w0rd1", "000102030405060708090A0B0C0D0E0F", "1f1e1d1c1b1a191817161514",
        "qwerty123", "testpass", "TODO", "please-set-this-value", "fill_me_in", "foo", "s3cr3t", "hunter2",
        "__PASSWORD__", "random_password.db.result", "user.rootPasswd", "supersecret", "changeit", "empty",
        "token-value-79", "@@PASSWORD@@",
        "CKUP_PASS%", ":db_token", " + jwt_pwd + ", "file:///etc/shop/auth_token",
        "store_password}", "required", "Null", "not_set", "plaintext", "env:DB_PASSWORD", "env.DB_PASSWORD",
        "getPassword()",
        "password}", "/run/secrets/db_password", "./secrets/db.txt", "ENC(k3j9X2m4q8W1z6)", "ssm:/shop/db",
        "\u5f3a\u968f\u673a\u5bc6\u7801", "notasecret",
        "glpat-mock-token-7k3", "%HTTPPORT#", "&lt;your password&gt;", "$::password", "yourpasswordhere",
        "@DB_TOKEN@", "secret123test", "password-demo1", "getpass.getpass(", "req.body.password", "String",
        "cluster.store_phrase}", "*password*", "ValueFrom:", "OTHER_ENCRYPTION_KEY=",
    ],
)  # fmt: skip
def test_stand_ins_are_recognised(value: str) -> None:
    assert placeholder(value.encode())


@each("plain", ["changeme", "<your-password>", "not my real password", "${DB_PASSWORD}"])
def test_a_stand_in_in_base64_is_one(plain: str) -> None:
    assert "in base64" in (placeholder(expand(f"{{b64({plain})}}").encode()) or "")
    assert not placeholder(expand("{b64({alnum:14})}", 3).encode())


def test_values_printed_in_specifications_are_recognised() -> None:
    # RFC 6749, section 2.3.1 and 5.1, put together here so that no such value lies in the repository.
    for value in ("gX1f" + "Bat3bV", "2Yotn" + "FZFEjr1zCsicMWpAA"):
        assert "printed" in (placeholder(value.encode()) or "")


@each("kind", ["alnum:20", "hex:40", "base64:44", "base64url:43", "lownum:24", "upnum:20", "ascii:16", "uuid"])
def test_random_values_are_no_stand_ins(kind: str) -> None:
    rejected = [v for v in (expand(f"{{{kind}}}", seed) for seed in range(500)) if placeholder(v.encode())]
    assert len(rejected) <= 1, rejected


ALPHABETS = {
    "decimal": string.digits,
    "hex": "0123456789abcdef",
    "base32": string.ascii_uppercase + "234567",
    "base36": string.digits + string.ascii_lowercase,
    "base58": "".join(sorted(set(string.digits + string.ascii_letters) - set("0OIl"))),
    "base62": string.digits + string.ascii_letters,
    "base64": string.digits + string.ascii_letters + "+/",
    "base64url": string.digits + string.ascii_letters + "-_",
}


@each("alphabet", ALPHABETS)
def test_long_random_values_are_no_stand_ins(alphabet: str) -> None:
    rng = random.Random(alphabet)
    lengths = [*range(20, 260), *range(260, 2048, 37), *range(2048, 16 << 10, 1021), 16 << 10]
    values = ["".join(rng.choices(ALPHABETS[alphabet], k=length)).encode() for length in lengths]
    rejected = [(len(value), why) for value in values if (why := placeholder(value))]
    assert len(rejected) <= 1, rejected


@pytest.mark.parametrize("length", [6, 40, 800, 16 << 10])
@pytest.mark.parametrize("text", ["a", "ab", "xX", "0", "abc", "deadc0de", "x" * 9 + "k3j9"])
def test_long_repeated_values_are_stand_ins(text: str, length: int) -> None:
    value = (text * length)[:length].encode()
    assert placeholder(value) or length < 3 * len(text)


@each(
    ("value", "before", "hash_"),
    [
        ("{uuid}", "request_id=", True),
        ("{uuid}", '"ClientToken": "', True),
        ("{uuid}", '"NextToken": "', True),
        ("{uuid}", "api_key=", False),
        ("{hex:40}", "commit ", True),
        ("{hex:64}", "sha256:", True),
        ("{hex:32}", "ETag: ", True),
        ("{alnum:44}", '"token_address": "', True),
        ("{hex:20}", "PUSHER_APP_KEY=", True),
        ("{hex:20}", "PUSHER_APP_SECRET=", False),
        ("{hex:32}", "ALGOLIA_SEARCH_KEY=", True),
        ("{hex:32}", "mixpanel_token: ", True),
        ("{hex:32}", "trace_id%3D", True),
        ("{hex:64}", "api_key=", False),
        ("{hex:41}", "commit ", False),
        ("sk_{base64url:40}", "key=", False),
        ("{alnum:32}", "shodan_project_id=", True),
        ("{alnum:32}", "'shodanTeamId': '", True),
        ("{base64:43}=", 'PLIVO_CHANNEL = "', True),
        ("{hex:20}", "etsy.build: ", True),
        ("{base64:43}=", '"mailgun_public_key": "/', True),
        ("{uuid}", "heroku request ", True),
        ("{uuid}", "vault_secret_id=", False),
        ("{uuid}", "heroku request key ", False),
        ("{alnum:32}", "shodan_idea=", False),
        ("{alnum:32}", 'login(shodan_user, "', False),
        ("{alnum:16}", "https://app_user:", False),
        ("{alnum:16}", 'app_user: "', True),
        ("{digit:12}", "token=", True),
        ("4827{digit:4}", 'password = "', False),
        ("20240317", 'password = "', True),
        ("17{digit:8}", "password=", True),
        ("{digit:9}", "password_min=", True),
        ("{hex:32}", "INSERT INTO u (name, password) VALUES ('bob', '", True),
        ("{alnum:32}", "INSERT INTO u (name, password) VALUES ('bob', '", False),
        ("{hex:32}", "INSERT INTO u (name, token) VALUES ('bob', '", False),
        ("{hex:40}", "id,password,role\n1,", True),
        ("{hex:40}", "id,token\n1,", False),
        ("{hex:24}", 'users = {"bob": "', True),
        ("acct_{alnum:16}", "accounts = {'prod': '", True),
        ("{alnum:10}!q", 'users = {"bob": "', False),
        ("{hex:24}", 'passwords = {"bob": "', False),
        ("{alnum:32}", "sha256:", False),
        ("{uuid}", 'const string GUID_FORCE_CHANGE_PASSWORD   = "', True),
        ("{uuid}", 'Key="{', True),
        ("{uuid}", '{"secret": "', False),
        ("{hex:40}", "uses: acme/sonarcloud-c-cpp@", True),
        ("{hex:40}", "https://app:", False),
    ],
)
def test_digests_and_identifiers(value: str, before: str, hash_: bool) -> None:
    assert bool(looks_like_hash(expand(value, 3).encode(), before.encode())) is hash_


@each(
    "value",
    [
        "null", "None", "true", "required", "password", "user.password", "config.db.password", "getPassword",
        "SECRET_NAME", "_raw_input", "_PasswordType", "/etc/app/key.pem", "https://acme.io/x", "app/db/password",
        "server.key", "10.2.0.9:80", "2026-01-02", "12:30:15",
        "C@2111cfd3", "hmac-sha256:" + "0f" * 32, "self.token", "new Secret",
        "password=", "Ed25519", "RS256", "secp256k1", "AES-256-GCM",
    ],
)  # fmt: skip
def test_words_names_paths_and_calls_are_no_values(value: str) -> None:
    assert words(value.encode())


@each(
    "before",
    [
        *("$skipToken=", "  secure: ", "<password>{", "https://docs.acme.test/spreadsheet/ccc?key="),
        *('"NextToken": "', "page_token=", "continuationToken: ", "secretArn: ", "key_id=", "api_key_id%3D"),
        *("aws:secretsmanager:eu-1:123:secret:", '"alias/aws/secretsmanager": "', '"output_token": "'),
        *('"ContinuationToken": "+', 'sync_token="-', 'class="_password_x1 ', "Cache restored from key: ", "did:key:"),
        f'"AWS::EC2::{"Resource" * 5}Token": "',
    ],
)
def test_names_of_pages_and_identifiers_are_no_names_of_secrets(before: str) -> None:
    assert words(b"k3j9X2m4q8W1z6", before.encode())
    assert not words(b"k3j9X2m4q8W1z6", b"secret_key=")


@each(
    "before",
    [
        '"passwordPolicy": "', "SECRET_FILE=", "api_key_header = ", "tokenUri: ", "PublicKeyToken=", "public_key = '",
        "cache_key=", "idempotency-key: ", "char *secret_names[] = ", '<meta name="csrf-token" content="',
        "authenticity_token%3D", "GOSU_GPG_KEY=", "Sec-WebSocket-Key: ", "password_salt: ",
        "encryptedPassword: ", "DB_PASSWORD_ENCRYPTED=", 'password_enc = "',
        'passwordIv = "', "SECRET_NONCE=", '"token_fingerprint": "', "apiKeyHash=", "dedupeKey=", "shard key: ",
        'applicationServerKey: "', "answer_key: ", 'name="csrf_token"\n\n', 'name="csrf_token"\\r\\n\\r\\n',
        'variable "secret_version" {\n  type = string\n  default = "',
        'PASSWORD_STORAGE_SCHEME = "', '"password_hash_algo":"', 'ACCOUNT_KEY_ID: str = "', "unrecognized token: ",
        "pwd.getpwnam('", 'new PublicKey("', "new PublicKey(\\n  \\\"", 'SHA1_EMPTY_PASSWORD = "',
        "SHA1 of given password: ",
        "Next page token: ", '"mintKey": "', "the routing key is ", "Primary key was ", "Acquired lock for key ",
        '"cache_key": {"type": "string", "value": "', "fencing token is ", "continuation token ", "csrf token ",
        "cache key \u2192 ", "routing key \u2014 ", "| primary key | ", "wrapped_key: ", "sealed_secret=",
    ],
)  # fmt: skip
def test_names_that_speak_about_a_credential_are_no_names_of_one(before: str) -> None:
    assert words(b"k3j9X2m4q8W1z6", before.encode())


@each("before", ["password_hash = generate_password_hash('", "CREATE USER kim WITH ENCRYPTED PASSWORD '"])
def test_what_a_digest_is_made_of_is_still_clear(before: str) -> None:
    assert not words(b"k3j9X2m4q8W1z6", before.encode())


@each(
    "before",
    [
        '"authenticity_token"=>"x", "api_token"=>"',
        "https://username:",
        "password=",
        "PRIVATE_KEY: ",
        "KEY_PRIV=",
        "AUTH_SALT=",
        "key_pass='",
        "token_v2 = ",
        "IllegalArgumentException: Illegal token: ",
    ],
)
def test_names_of_credentials_are_taken_for_such(before: str) -> None:
    assert not words(b"k3j9X2m4q8W1z6", before.encode())


@each("value", ["[B@5e9f23b4", "secrets/sa-2024.json", "?Bitte Passwort\x00eingeben 42"])
def test_objects_and_paths_are_no_values(value: str) -> None:
    assert words(value.encode())


@each("value", ["Winter@2024", "K\u00f6ln!42x", "k3 9X2m 4q8", "blue42 river!7"])
def test_passwords_that_people_choose_are_values(value: str) -> None:
    assert not words(value.encode())


@each("value", ["Kestrel85-shi", "qnent416JR", "Falcon10.tel", "LetOCql"])
def test_what_looks_like_a_name_is_a_value_behind_that_of_a_password(value: str) -> None:
    assert not words(value.encode(), b"user=admin password='")
    assert words(value.encode(), b"user=admin component='")
    assert words(b"database", b"password='")


def test_letters_that_spell_no_word_are_a_variable_without_quotes() -> None:
    assert words(b"LetOCql", b"password=")


def test_bytes_that_no_text_has_are_no_value() -> None:
    assert words(b"^UUP\xff3k\x819")
    assert words(b"k3j9\x80\xbfX2")
    assert not words("Pässwört42!".encode())


def test_random_parts_make_no_path_or_dotted_name() -> None:
    for template in ("sl.{alnum:40}", "{alnum:14}/{alnum:14}/{alnum:14}", "{alpha:3}A{alnum:20}.{alnum:30}"):
        values = [expand(template, seed).encode() for seed in range(200)]
        assert sum(words(value) is not None for value in values) <= 10, template
    assert words(b"com.acme.security.v2.TokenProvider2")
    assert words(b"/srv/app1/releases/20240102030405/Config2.java")


def test_the_tag_of_an_image_is_no_password() -> None:
    assert looks_like_hash(b"1.19-alpine", b"docker-pullable://nginx:")
    assert not looks_like_hash(b"1.19-alpine", b"https://nginx:")


def test_random_values_are_no_words() -> None:
    rng = random.Random(5)
    alphabet = string.ascii_letters + string.digits + "!#$%*+-=?@^~(.:"
    values = ["".join(rng.choices(alphabet, k=16)) for _ in range(500)]
    assert sum(words(value.encode()) is not None for value in values) <= 5


def test_what_mask_wrote_is_no_secret_whole_or_in_part() -> None:
    text = b'password="[generic-password:0123456789ab]" rest'
    for value in (b"[generic-password:0123456789ab]", b"generic-password", b"0123456789ab", b"0123456789ab]"):
        assert masked_before(text, text.index(value), len(value)) == "generic-password"
    assert masked_before(text, text.index(b"rest"), 4) is None
    assert masked_before(b"[generic-password:0123456789]", 1, 16) is None


@each("template", ["{lower:8}", "{lower:10}", "{alpha:8}", "{lower:5}_{lower:6}", "{upper:8}"])
def test_random_letters_are_no_words(template: str) -> None:
    values = [expand(template, seed).encode() for seed in range(300)]
    assert sum(words(value) is None for value in values) >= 270


@each(
    "value",
    [
        "oauth2ClientSecret", "bdc1DischargeTotal", "HIH4000/humidity", "Ed25519PrivateKey",
        "snmpV3CredentialsId", "vault:v1:k3j9X2m4q8W1", "ENC[AES256_GCM,data:k3j9", "{cipher}4f1c2a",
        "AgBq" + "k3J9x2M4" * 16, "gAAAAABl" + "k3J9x2M4" * 12,
        "0x00800000", "0x7EC2DBB6F4DBF434", "#c46c6c", "lt:2016-12-08T22:02:00Z", "/usr/sbin/pct", "md5" + "0f" * 16,
        "encrypted:F/bj" + "k3J9x2M4" * 4, "$SMD5$2O$4O.rSAmhE4Fg0", "amzn1.account.AF6RHO7",
        "SCRAM-SHA-256$4096:k3j9", "MIIBIjANBgkqhkiG9w0BAQ", "AAAAB3NzaC1yc2EAAAADAQABAAAB",
    ],
)  # fmt: skip
def test_names_with_numbers_constants_and_public_keys_are_no_values(value: str) -> None:
    assert words(value.encode())


@each(
    "value",
    [
        "^3.806.0", "v1beta1", "[a-zA-Z0-9_]+", "a-zA-Z0-9/_+=.@-",
        "$2b$12$abcdefghijklmnopqrstuv", "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19",
        "20240102T030405", "1:4.13+dfsg1-1+deb12u1", "20190101000000Z", "0x0200U", "prime256v1",
        "sha256sum",
        "Argon2i", "t/32-client_secret_jwt.t", "HMACSHA2+256:AAAnEA:k3j9X2m4==:q8W1z6", "digest:MD5:" + "0f" * 16,
        "client_01" + "HXRMBQ9B" * 3, "BMg" + "k3J9x2M4" * 10 + "q8W1",
    ],
)  # fmt: skip
def test_translations_versions_hashes_and_expressions_are_no_values(value: str) -> None:
    assert words(value.encode())


@each(
    ("value", "before"),
    [
        ("0b0000100", "SECRET = "), ("UUID=6a38ee5-7235-44e7", "token='"),
        ("sha256:" + "5bc9e159" * 8, "token: "), ("0x" + "e09dfa3f" * 5, 'tokenAddress: "'),
        ("utf-16le", "password.encode('"), ("md5$seasalt$" + "1e9bf2bf" * 4, '"password": "'),
        ("9554F04D" * 5, "- Release GPG key: "), ("3d" * 32, 'verifyKey: "'), ("Zq8Lw2" * 5, "X-CSRF-Token: "),
        ("vault_jqt_pass", 'smtp_password: "{{ '), ("JQT_PASS:", "if password == "),
        ("5a46c9aa" * 8, "Repository Key: "), ("5a46c9aa" * 8, "Root Key:       "),
        ("kJ3x9Zq8Lw2T", 'encoded_encrypted_key =\n                "'), ("1bf6d358" * 4, "const iv = Buffer.from('"),
        ("kJ3x9Zq8Lw2T", "Password hash:\t"), ("ibc/6F34E1BD", '"token_out_denom":"'), ("cn=Kzq9x", "secretary: "),
        ("kJ3x9Zq8Lw2T", 'credential_id_1 = "'), ("server9cred", "certificate_credentials_t "),
        ("kJ3x9Zq8Lw2T", "publicKey: util.decodeBase64('"),
        ("kJ3x9Zq8Lw2T", 'tenant_key": "'),
        ("Bug#4052", "passwd: "), ("335544748L", "password_too_long = "),
        ("5a46c9aa" * 4, "/etc/passwd: "),
        ("HmacSHA256", 'SECRET_METHOD = "'), ("SSHA512", "password = '"), ("pbkdf2+sha256", "password: "),
        ("_0x3f9a1c", "password:"),
        ("_pkcs12pass", 'setting the password to "'), ("s3SecretAccessKey", 'additional_secrets=["'),
        ("303b300906052b0e03021a05000414" + "5a" * 20, "ID key : "),
        ("A256GCMKW", "secret = generate('"), ("xsalsa20poly1305", 'secretbox = "'),
    ],
)  # fmt: skip
def test_what_only_looks_like_a_value_is_none(value: str, before: str) -> None:
    assert words(value.encode(), before.encode())


def test_many_digits_between_letters_make_no_name() -> None:
    assert words(b"hli331VOG95") is None
    assert words(b"oauth2ClientId")


def test_a_hash_is_known_by_the_star_before_it() -> None:
    value = expand("{HEX:40}", 1).encode()
    assert words(value, b"IDENTIFIED BY PASSWORD '*")
    assert words(value, b"IDENTIFIED BY PASSWORD '") is None


def test_a_value_that_ends_as_its_name_begins_stays_one() -> None:
    assert words(b"d7Kq2mZx", b"password=") is None
    assert words(b"k3d", b"word=") is None


def test_a_name_that_is_called_starts_with_a_letter() -> None:
    assert words(expand("{digit:1}QX({digit:1}wwBbbW").encode(), b"$password = '") is None


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(33, 122), st.integers(-1, 1), st.integers(1, 9)).map(
                lambda run: bytes(run[0] + run[1] * at for at in range(run[2]))
            ),
            st.binary(max_size=3),
        ),
        max_size=6,
    ).map(b"".join),
    st.binary(max_size=20),
)
def test_what_is_woven_is_so_by_each_step(value: bytes, other: bytes) -> None:
    for text in (value, bytes(one for pair in zip(value, value[::-1], strict=True) for one in pair), value + other):
        small = text.lower().translate(None, b"-_.:/ ")
        covered = set()
        for stride, step in ((1, -1), (1, 0), (1, 1), (2, -1), (2, 1)):
            alike = [small[at + stride] - small[at] == step for at in range(len(small) - stride)]
            for at in range(len(alike) - 2 * stride + 1):
                if all(alike[at : at + 2 * stride]):
                    covered.update(range(at, at + 3 * stride))
        assert filters._woven(text) is (len(covered) * 10 >= len(small) * 7)


def test_a_value_without_a_run_is_not_walked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "range", lambda *_: pytest.fail("walked through"), raising=False)
    assert not filters._woven(b"3x4y5zQw8Kp2mVt7Rb")


@each("value", ["{alnum:3}*{upper:3}(){digit:4}", "{upper:4}(a){digit:4}"])
def test_brackets_amid_a_value_make_no_call(value: str) -> None:
    assert words(expand(value, 1).encode(), b'password = "') is None


def test_bytes_are_nothing_that_a_name_is_asked_of() -> None:
    value = expand("{pick:Summer|Falcon}{digit:4}!", 1).encode()
    assert words(value, b'FromPassword([]byte("') is None
    assert words(b"summer_hints", b'find_by("') is not None


def test_a_password_told_of_a_user_is_no_id_of_the_user() -> None:
    value = expand("{lower:4}{digit:4}{alpha:3}", 1).encode()
    assert looks_like_hash(value, b"Generated password for user etl_user: ") is None
    assert looks_like_hash(value, b"created etl_user: ") is not None


def test_a_key_in_quotes_of_perl_is_no_digest() -> None:
    assert looks_like_hash(expand("{hex:32}", 1).encode(), b"our $API_KEY = q{") is None
