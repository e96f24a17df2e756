from __future__ import annotations

from collections import Counter
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.match import score as module
from detectors.match.filters import words
from detectors.match.score import confidence, different, enough, entropy, features, randomness, score, surprise
from detectors.rules.template import expand
from tests.tables import each

LABELLED = Path(__file__).parents[3] / "benchmarks" / "labelled.jsonl"


def told(value: str, before: str = 'password = "', after: str = '"') -> str | None:
    return score(value.encode(), before.encode(), after.encode()).confidence


@each(
    "template", ["{alnum:16}", "{hex:32}", "{lownum:24}", "{base64:40}", "{ascii:16}", "{alnum:5}!{alnum:4}#{digit:2}"]
)
def test_random_values_are_told(template: str) -> None:
    values = [expand(template, seed) for seed in range(100)]
    assert sum(told(value) is not None for value in values) >= 98
    assert sum(told(value) == "high" for value in values) >= 85


@each(
    ("value", "before", "after"),
    [
        ("required", 'password: "', '"'),
        ("getPasswordFromUser", "password = ", "("),
        ("Mot de passe", '"password": "', '"'),
        ("Wachtwoord", "label.password = ", ""),
        ("user_password_field", 'password = "', '"'),
        ("settings.tokenProvider", "token: ", ","),
    ],
)
def test_words_names_and_translations_are_no_secrets(value: str, before: str, after: str) -> None:
    assert told(value, before, after) is None


def test_letters_of_words_surprise_less_than_random_ones() -> None:
    assert surprise(b"authentication")[0] < 0 < surprise(b"kzqvwpxjhb")[0]
    assert surprise(b"")[0] == 0
    assert surprise(b"ab12cd34")[1] == 0  # too short to tell anything


@each("template", ["{hex:32}", "{hex:16}", "{lownum:20}", "{alnum:40}", "{digit:24}", "{upnum:16}"])
def test_randomness_knows_alphabet_and_length(template: str) -> None:
    values = [randomness(expand(template, seed).encode()) for seed in range(200)]
    assert sum(value > -3 for value in values) >= 190
    assert abs(sum(values) / len(values)) < 1


def test_what_repeats_is_far_from_random() -> None:
    assert randomness(b"abababababababab") < -3
    assert randomness(b"aaaaaaaaaaaa") < -3
    assert randomness(b"") == 0 or randomness(b"") > -3


def test_the_parts_are_those_of_the_sum_and_the_reason_names_the_largest() -> None:
    told_of = score(b"k3J9x2M4q8W1", b'password = "', b'"')
    names = set(features(b"k3J9x2M4q8W1", b'password = "', b'"'))
    assert {name for name, _ in told_of.parts} <= names
    largest = max(told_of.parts, key=lambda part: abs(part[1]))
    assert told_of.reason().startswith(f"score {told_of.probability:.2f}: {largest[0]} ")


def test_confidence_is_calibrated_on_packages_it_was_not_trained_on() -> None:
    """Of the findings of scored rules that a person looked at: high means 95 of 100, medium 70."""
    table = orjson.loads(Path(module.__file__).with_name("score.json").read_bytes())
    held: Counter[str | None] = Counter()
    whole: Counter[str | None] = Counter()
    for row in map(orjson.loads, LABELLED.read_bytes().splitlines()):
        if row["part"] == "check" and row["scored"]:
            total = table["bias"] + sum(table["weights"].get(k, 0) * v for k, v in row["features"].items())
            level = module.Score(total, ()).confidence
            whole[level] += 1
            held[level] += row["secret"]
    assert whole["high"] > 40
    assert held["high"] >= 0.95 * whole["high"]
    assert held["medium"] >= 0.7 * whole["medium"]


def test_the_confidence_without_its_parts_is_that_of_the_score() -> None:
    values = [
        expand(form, seed).encode()
        for form in ("{alnum:9}", "{lower:8}", "{lower:6}{digit:2}", "{hex:9}")
        for seed in range(50)
    ]
    asked = [(value, before, b"") for value in values for before in (b"password=", b'token: "', b"label.key(")]
    told = [score(*one).confidence for one in asked]
    assert [confidence(*one) for one in asked] == told
    assert set(told) == {"high", "medium", "low", None}


def test_no_entropy_is_asked_for_where_it_could_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    monkeypatch.setattr(module, "entropy", lambda value: asked.append(value) or entropy(value))
    values = [expand("{alnum:32}", seed).encode() for seed in range(50)]
    assert {confidence(value, b'api_key="', b'"') for value in values} == {"high"}
    assert not asked
    weighed = [score(value, b'api_key="', b'"').parts for value in values]
    assert asked
    assert any(name == "repetitive" for parts in weighed for name, _ in parts)


@given(
    st.one_of(st.binary(min_size=1, max_size=40), st.text("aab1", min_size=1, max_size=40).map(str.encode)),
    st.floats(0, 6),
)
def test_so_many_different_characters_have_that_entropy(value: bytes, bits: float) -> None:
    assert different(value) < enough(len(value), bits) or entropy(value) > bits


def test_the_letters_of_a_value_are_weighed_once_whoever_asks() -> None:
    surprise.cache_clear()
    assert words(b"Kq7_vXw2pZ", b'password = "') is None
    confidence(b"Kq7_vXw2pZ", b'password = "', b'"')
    assert words(b"kqvxwzpj", b'get("') is None
    confidence(b"kqvxwzpj", b'get("', b'"')
    assert surprise.cache_info().misses == 2
    assert surprise.cache_info().hits


@pytest.mark.parametrize(
    "value",
    [
        *("violet-anvil-river-89", "Silent.Meadow.Orchid.7!", "Berlin_2024", "Acme-1723", "sunny_490"),
        *("GreenAnchor-663", "RustyPepperMaple42!", "Kestrel65-koc"),
    ],
)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("DB_PASSWORD=", ""),
        ("the password is ", ""),
        ('name: DB_PASSWORD\n  value: "', '"'),
        ("wachtwoord: ", ""),
        ("Пароль: ", ""),
    ],
)
def test_words_with_a_number_are_a_password_behind_its_name(value: str, before: str, after: str) -> None:
    assert told(value, before, after) is not None


@each(
    "value",
    ["orders-db-primary-2", "my-service-account-12", "Error_1205", "violet-anvil-river", "ErrorCode-404", "field_123"],
)
def test_words_of_which_names_of_things_are_made_are_none(value: str) -> None:
    assert told(value, "DB_PASSWORD=", "") is None


def test_words_with_a_number_are_a_secret_where_they_are_called_one_and_start_as_no_name_of_a_thing() -> None:
    assert told("GreenAnchor-663", "secret = ", "") is not None
    assert told("violet-anvil-river-89", "secret = ", "") is None


def test_the_element_before_a_string_names_it() -> None:
    assert told("GreenAnchor-663", "<key>Password</key><string>", "</string>") is not None
    assert told("GreenAnchor-663", "<key>Title</key><string>", "</string>") is None


def test_a_password_in_clear_text_is_no_text_about_one() -> None:
    assert told("Winter2402!", '<add key="ClearTextPassword" value="', '"/>') is not None
    assert told("Winter2402!", '<add key="PasswordText" value="', '"/>') is None


def test_a_token_that_resets_a_password_is_a_secret() -> None:
    value = expand("{hex:40}", 1)
    assert told(value, "GET /reset?reset_token=", "") is not None
    assert told(value, "GET /reset?reset_text=", "") is None


def test_words_with_a_number_are_nothing_without_the_name_of_a_password() -> None:
    assert told("violet-anvil-river-89", "bucket=", "") is None


@each(
    "name",
    [
        *("GF_SECURITY_ADMIN_PASSWORD", "plain_text_password", "context.password", "profile_pass"),
        *("LANGFUSE_SECRET_KEY", "filestackApiKey", "messagebird_token", "TYPEFORM_TOKEN", "SIGNATURIT_KEY"),
    ],
)
def test_parts_of_other_words_do_not_make_a_name_speak_about_a_secret(name: str) -> None:
    assert "name about it" not in features(b"k3j9X2m4q8", f"{name}=".encode(), b"")


def test_the_end_of_a_sentence_is_no_code() -> None:
    assert "goes on as code" not in features(b"k3j9X2m4q8", b"the password is ", b". Then")
    assert "goes on as code" in features(b"k3j9X2m4q8", b"the password is ", b".length")


@each("name", ["message_key", "fileToken", "LABEL_SECRET", "errorPassword", "description_token"])
def test_a_word_of_its_own_before_the_credential_still_speaks_about_it(name: str) -> None:
    assert "name about it" in features(b"k3j9X2m4q8", f"{name}=".encode(), b"")


@each("after", ["' === req.apiKey", "'.equals(password)", "\\' != token"])
def test_a_name_before_a_value_that_is_compared_with_another_behind_it_is_not_its_own(after: str) -> None:
    value = expand("{hex:32}", 1).encode()
    framed = score(value, b'{"level":"info","msg":"\'', after.encode())
    assert "name about it" not in dict(framed.parts)
    assert framed.confidence == score(value, b"'", after.encode()).confidence == "high"
    assert "name about it" in dict(score(value, b'{"level":"info","msg":"\'', b"' and more").parts)


@each(
    ("before", "after"),
    [
        ('if (password.equals("', '")) {'),
        ('"contrase\u00f1a": "', '",'),
        ('\u015fifre = "', '"'),
        ('<wsse:Password Type="PasswordText">', "</wsse:Password>"),
        ("my $kennwort = q{", "};"),
        ('Dim DB_PASS As String = "', '"'),
        ("'--password', default='", "')"),
    ],
)
def test_the_name_of_a_password_is_found_in_other_languages_and_before_what_is_done_with_it(
    before: str, after: str
) -> None:
    value = expand("{pick:Hotel|Orchid|Falcon}_{digit:4}", 1).encode()
    assert confidence(value, before.encode(), after.encode()) is not None


def test_what_comes_behind_a_map_is_handed_over_beside_it() -> None:
    value = expand("{hex:64}", 1).encode()
    assert confidence(value, b"jwt.sign({ id: user.id }, '", b"', { expiresIn") is not None


def test_signs_at_the_end_of_the_line_above_compare_nothing() -> None:
    assert "compared" not in features(b"k3J9x2M4qL8z", b"seed: cGFkZGVkIHRleHQ==\npw=", b"")
    assert "compared" in features(b"k3J9x2M4qL8z", b"\nif pw == '", b"'")
