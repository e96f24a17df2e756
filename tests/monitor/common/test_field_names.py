from __future__ import annotations

from monitor.common.field_names import holds_secrets, identifier, is_field


def test_what_everybody_calls_a_secret_is_no_identifier() -> None:
    for name in ("password", "DB-PASS"[3:], "Api_Key", "client-secret", "accessToken", "token", "Authorization"):
        assert holds_secrets(name), name
        assert identifier(name) == "", "nobody is told to paste what hides all secrets of that name"
    for name in ("dedup_key", "page_token", "event.token", "key", "auth", "password_hint_id"):
        assert not holds_secrets(name), name
        assert identifier(name) == f'[rules] identifiers = ["{name}"]'


def test_a_name_is_a_word_that_is_no_secret_itself() -> None:
    assert all(map(is_field, ("a", "x-acme-auth", "a.b_c", "_x", "a" + "_b" * 31)))
    assert not any(map(is_field, ("", "a b", "1a", 'a"', "ü", "a" * 65, "kQ3x" * 9, 'a"]\npacks = []')))
    assert identifier("a b") == identifier("") == ""
