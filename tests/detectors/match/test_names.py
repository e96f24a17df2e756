from __future__ import annotations

import random

import pytest

from detectors.match import names
from detectors.match.names import bare, identifies, named, one_of


@pytest.mark.parametrize(
    ("before", "name"),
    [
        ('"dedup_key": "', "dedup_key"),
        ("event.dedup_key=", "event.dedup_key"),
        ("<dedupKey>", "dedupKey"),
        ("--dedup-key ", "dedup-key"),
        ('{\\"dedup_key\\":\\"', "dedup_key"),
        ("dedup_key string = '", "dedup_key"),
        ("12 = ", ""),
        # What stands in the line of the value is its name, but what may stand between one in the line before and it.
        ("user = bob\npassword = ", "password"),
        ("api_key\nstring = ", "api_key"),
        ("api_key\n  as str: ", "api_key"),
        ("api_key:\n  - '", "api_key"),
        ("api_key:\n$ « ", "api_key"),
        ("login refused 密码=", "密码"),
        ("пароль：「", "пароль：「"),
        ("", ""),
    ],
)
def test_the_name_before_a_value(before: str, name: str) -> None:
    assert named(before.encode()).decode() == name


def test_the_line_of_a_value_tells_the_same_name_as_all_before_it() -> None:
    rng = random.Random(1)
    pieces = (*"\n\n =:\"'$@_-.é>", "key", "as ", "str", "string", "const", "text", "&", "As ", "12", "api_key")
    for _ in range(4000):
        before = "".join(rng.choices(pieces, k=rng.randrange(1, 12))).encode()
        assert named(before) == names._in(before)


def test_one_of_some_is_told_by_its_whole_name_or_the_last_part_of_it_in_any_case() -> None:
    names = frozenset({"dedup_key", "trace.token"})
    assert one_of(b"Event.DEDUP_KEY=", names) == "dedup_key"
    assert one_of(b"trace.token: ", names) == "trace.token"
    assert one_of(b"a.trace.token: ", names) == ""
    assert one_of(b"my_dedup_key=", names) == ""


def test_what_tells_things_apart_is_no_key_whatever_it_is_called() -> None:
    for word in ("aggregation", "dedup", "partition", "frobnication", "widget"):
        for name in (
            f"{word}Key",
            f"{word}_key",
            f"event.{word.upper()}_KEY",
            f"{word}key",
            f"x-{word}-key",
            "key",
            "sig",
        ):
            assert bare(name.encode()), name
    for word in ("user", "login", "account", "member"):  # whose it is
        for name in (f"{word}Key", f"event.{word.upper()}_KEY", f"{word}key"):
            assert bare(name.encode()), name
    for word in ("page", "continuation", "csrf", "dedup", "pipe", "service-request-channel-"):
        for name in (f"{word}Token", f"{word}_token", f"{word}token"):
            assert identifies(name.encode()), name
    for name in ("object_id", "correlationId", "SESSION_ID", "sid", "request-uuid", "cookie"):
        assert identifies(name.encode()), name


def test_what_opens_something_says_so() -> None:
    names = "apiKey API_KEY apikey aws.secretAccessKey signing_key rollbar_key new_relic_key"
    for name in (*names.split(), *"user_api_key user_pin mend_user_key x-user-key account_keys".split()):
        assert not bare(name.encode()), name
    opens = (
        "token accessToken refresh_token password secret_id token_id db_pass CI_JOB_TOKEN group_token sync_access_token"
        " channel_access_token page-access-token"
    )
    for name in (*opens.split(), ""):
        assert not identifies(name.encode()), name
        assert not bare(name.encode()), name
