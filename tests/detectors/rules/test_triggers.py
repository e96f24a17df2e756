from __future__ import annotations

import functools

import hyperscan
import pytest

from detectors.rules.triggers import TRIGGERS

VALUE = "k3j9x2m4q8w1z7v5"


@functools.cache
def compiled(name: str) -> hyperscan.Database:
    texts = TRIGGERS[name]
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=[t.encode() for t in texts], ids=list(range(len(texts))), flags=[0] * len(texts))
    return database


def found(name: str, text: str) -> bool:
    hits: list[int] = []
    compiled(name).scan(text.encode(), match_event_handler=lambda number, *_: hits.append(number))
    return bool(hits)


@pytest.mark.parametrize(
    "text",
    [
        *(
            f"{key}{operator}{VALUE}"
            for key in ("token", "pwd", "api_key")
            for operator in ("=", ": ", " = ", "\t:\t", ">")
        ),
        *(f'"{key}": "{VALUE}"' for key in ("TOKEN", "pwd", "clientSecret", "api-key", "accessTokenValue", "pwdAdmin")),
        f'{{\\"token\\":\\"{VALUE}\\"}}',
        f"set_token('{VALUE}')",
        f"token ( '{VALUE}')".replace("( ", "("),
        f"DB_PWD_1={VALUE}",
        f"token_2: {VALUE}",
        f"passphrase=> {VALUE}",
        f"Authorization-Token: Bearer {VALUE}",
        f"service.key={VALUE}",
        f'token += "{VALUE}"',
        f"$pwd .= '{VALUE}'",
        f'secret ??= "{VALUE}"',
        f'var apiToken string = "{VALUE}"',
        f"client_secret string = `{VALUE}`",
    ],
)
def test_an_assigned_credential_is_seen_however_it_is_written(text: str) -> None:
    assert found("@assigned", text)


@pytest.mark.parametrize(
    "text",
    [
        f'"key": "{VALUE}"',
        f"key={VALUE}",
        f"api.key : {VALUE}",
        f"DB_PASS={VALUE}",
        f"token,{VALUE},",
        f"api_key: |\n  {VALUE}",
        f"<Secret>\r\n\t{VALUE}\n</Secret>",
        f"password: >-\\n    {VALUE}",
        f'acmeKey <- "{VALUE}"',
        f'builder().key("{VALUE}")',
        "ACME_KEY=k3j9x2m4.q8w1z7v5",
    ],
)
def test_a_long_value_of_any_key_is_seen(text: str) -> None:
    assert found("@assigned-key", text)


@pytest.mark.parametrize(
    "text",
    [
        f"tokens={VALUE}",
        f"token {VALUE}",
        "the token expired for user bob",
        "token=abc",
        "password reset requested",
        "secret rotation done in 3 s",
    ],
)
def test_what_only_speaks_of_one_is_not(text: str) -> None:
    assert not found("@assigned", text)


@pytest.mark.parametrize(
    "text",
    [
        f'setenv("VSCE_PAT", "{VALUE}")',
        f'acme_auth: str = "{VALUE}"',
        f'#define ACME_OAUTH "{VALUE}"',
        f'Acme(bearer="{VALUE}")',
        f'basicAuth = "{VALUE}"',
        f"acme-pat: {VALUE}",
    ],
)
def test_a_name_that_ends_in_the_kind_of_a_token_is_seen(text: str) -> None:
    assert found("@kind", text)


@pytest.mark.parametrize("text", [f"a_path={VALUE}", "the bearer of bad news", "oauth login failed", "PATH=/usr/bin"])
def test_a_word_that_holds_such_a_kind_is_not(text: str) -> None:
    assert not found("@kind", text)


@pytest.mark.parametrize("scheme", ["https://", r"redis:\/\/", "mongodb+srv://"])
def test_a_password_in_a_url_is_seen(scheme: str) -> None:
    assert found("@url", f"{scheme}app:{VALUE}@db.internal:5432/x")
    assert not found("@url", f"{scheme}db.internal:5432/{VALUE}")


@pytest.mark.parametrize(
    "text",
    [
        f"| API key | {VALUE} |",
        f"signing_key: !str {VALUE}",
        f"client secret -> {VALUE}",
        f"Access Key\n{VALUE}",
        f'"api_token": {{ "sensitive": true, "type": "string", "value": "{VALUE}',
        f"--storage-key {VALUE}",
        f"setMapsKey('{VALUE}')",
    ],
)
def test_a_long_value_is_seen_whatever_lies_between(text: str) -> None:
    assert found("@loose", text)


@pytest.mark.parametrize("text", ["| Password | {} |", "db_pass := {}", "wifi_psk {}", "Password\n{}"])
def test_a_password_is_seen_whatever_lies_between(text: str) -> None:
    assert found("@loose-password", text.format(VALUE[:6]))


@pytest.mark.parametrize("before", ["", "\n", "\t", "{", " "])
def test_a_short_name_is_seen_where_a_line_or_a_field_starts(before: str) -> None:
    assert found("@pass", f"{before and 'port: 22'}{before}pw:{VALUE[:8]}")


def test_a_sentence_between_the_two_hides_both() -> None:
    assert not found("@loose", f"the secret was rotated by {VALUE}")
    assert not found("@loose-password", "the password of bob expires in 3 days")


def test_every_expression_starts_with_a_literal_of_three_characters() -> None:
    for texts in TRIGGERS.values():
        for text in texts:
            head = text.removeprefix("^").removeprefix("(?i:").replace("\\", "")
            assert not set(head[:3]) & set("[(.*+?"), text
