"""A comment, a header, a name or a host beside a secret says nothing about it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from functools import partial

import orjson
import pytest

from detectors.match.filters import placeholder
from detectors.match.parts import secret_part
from detectors.rules.rule import Rule
from detectors.rules.template import expand
from tests.detectors.texts import engine, rules

WORDS = ("your_email@example.com", "dummy-key", "changeme", "placeholder", "foobar", "test_key", "xxxx", "fake-1")
HOSTS = ("example.com", "your-company.example.org", "dummy-host.test", "changeme.test")
NAMES = ("your_user", "dummy-user", "placeholder", "foobar")


def replaced(pattern: str, words: tuple[str, ...], text: str) -> list[str]:
    """The text with each word in place of what the pattern's second group matches."""
    if re.search(pattern, text) is None:
        return []
    return [re.sub(pattern, lambda m, word=word: m[1] + word, text) for word in words]


def carried(make: Callable[[bytes, str], bytes], words: tuple[str, ...], text: str) -> list[str]:
    """The text with something else in its longest base64."""
    found = max(re.finditer(r"[A-Za-z0-9+/]{12,}={0,2}", text), key=lambda m: len(m[0]), default=None)
    if found is None:
        return []
    packed = found[0].encode()
    plain = base64.b64decode(packed + b"=" * (-len(packed) % 4))
    made = (base64.b64encode(make(plain, word)).decode() for word in words)
    return [text[: found.start()] + one + text[found.end() :] for one in made]


def of_user(plain: bytes, word: str) -> bytes:
    _, _, password = plain.partition(b":")
    return plain if len(password) < 6 else word.encode() + b":" + password  # then the user is the secret


def of_key(plain: bytes, word: str) -> bytes:
    return orjson.dumps(orjson.loads(plain) | {"n": word})


# What of a text is no secret, by the rules that it is found by.
FORMATS: dict[str, tuple[Callable[[Rule], bool], Callable[[str], list[str]], int]] = {
    "comment of PuTTY": (lambda r: r.id.startswith("putty-"), partial(replaced, r"(Comment: )([^\n\\]*)", WORDS), 2),
    "header of RFC 4716": (lambda r: r.id == "private-key-ssh2", partial(replaced, r"(Comment: )([^\n\\]*)", WORDS), 1),
    "header of OpenPGP": (lambda r: r.id == "private-key-pgp", partial(replaced, r"(Version: )([^\n\\]*)", WORDS), 1),
    "name of a vault": (lambda r: r.id == "ansible-vault-payload", partial(replaced, r"(AES256;)(\w+)", NAMES), 1),
    "host of a webhook": (
        lambda r: r.id in ("mattermost-webhook-url", "rocketchat-webhook-url"),
        partial(replaced, r"(https://)([\w.-]+)", HOSTS),
        1,
    ),
    "tenant of a webhook": (
        lambda r: r.id == "microsoft-teams-webhook-url",
        partial(replaced, r"(https://)(\w+)(?=\.webhook)", ("example", "dummy", "changeme", "placeholder")),
        1,
    ),
    "user of a URL": (
        lambda r: r.checksum == "uri-password",
        partial(replaced, r"(://)([\w.-]+)(?=:[^@/\s]+@)", NAMES),
        12,
    ),
    "user of Basic": (lambda r: r.checksum == "basic-auth", partial(carried, of_user, NAMES), 4),
    "name of a key": (lambda r: r.id == "grafana-legacy-api-key", partial(carried, of_key, WORDS), 1),
    "names of a service account": (
        lambda r: r.id == "gcp-service-account-key",
        partial(replaced, r'("(?:project_id|client_email|private_key_id)": ?")([^"]*)', WORDS),
        1,
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_words_of_placeholders_beside_a_secret_hide_no_finding(name: str) -> None:
    wanted, change, least = FORMATS[name]
    search, changed = engine().worker(), set()
    for rule in filter(wanted, rules()):
        for seed, template in enumerate(rule.examples):
            text = expand(template, seed)
            before = {match.secret[-24:] for match in search.scan(text.encode()) if match.rule.id == rule.id}
            for other in change(text) if before else ():
                found = search.scan(other.encode())
                same = before <= {match.secret[-24:] for match in found}
                assert same or rule.id in {match.rule.id for match in found}, (rule.id, other)
                changed.add(rule.id)
    assert len(changed) >= least


def test_a_stand_in_for_the_secret_part_is_one_whatever_stands_around_it() -> None:
    pem = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n%b\n-----END RSA PRIVATE KEY-----"
    assert placeholder(pem % b"your_key_here")
    assert placeholder(pem % (b"x" * 64))
    assert not placeholder(pem % base64.b64encode(bytes(range(7, 90))))
    assert placeholder(b"https://chat.acme.test/hooks/your_token_here")
    assert placeholder(base64.b64encode(b'{"k":"changeme_please_now","n":"prod"}  '))


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (b"k3J9x2M4q8W1", b"k3J9x2M4q8W1"),
        (b"https://chat.example.com/hooks/abc", b"hooks/abc"),
        (b"https://key@o1.example.com/42", b"key/42"),
        (b"https://example.com", b"https://example.com"),
        (b'{"n":"dummy","k":"abc","id":1}', b"abc"),
        (b'{"n":"dummy"}', b'{"n":"dummy"}'),
        (b'{"n":', b'{"n":'),
        (b'{"a', b'{"a'),
        (b"$ANSIBLE_VAULT;1.2;AES256;dummy-1\n6162", b"\n6162"),
        (b"-----BEGIN X-----\nComment: a \\\nexample\nQUJD\n-----END X-----", b"QUJD"),
        (b"-----BEGIN X-----\\nVersion: example\\n\\nQUJD\\n-----END X-----", b"QUJD"),
        (b"-----BEGIN X----- Comment: dummy " + b"QUJD" * 12 + b" -----END X-----", b"QUJD" * 12 + b" "),
        (b"----BEGIN X----\n<14>1 a - " + b"QUJD" * 8 + b"\n<14>1 a - QQ==\n<14>1 a - ----END", b"QUJD" * 8),
        (b"---- no key", b"---- no key"),
    ],
)  # fmt: skip
def test_the_secret_part_of_a_value(value: bytes, part: bytes) -> None:
    assert secret_part(value) == part
