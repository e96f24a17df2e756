from __future__ import annotations

import pytest

from monitor.cli.suppression_file import SuppressionFileError, read, write
from monitor.store.suppressions import Wanted

KEY = b"k" * 32
NOW = 1_800_000_000.0
PRINT = "ab" * 32
GOOD = f'\n[[suppressions]]\nfingerprint = "{PRINT}"\nuntil = 2099-01-01T00:00:00Z\nreason = "known"\n'


@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_written_is_read(as_json: bool) -> None:
    wanted = [Wanted(PRINT, 'of the "sandbox"\u202e \\ \x7f \n é 😀', NOW + 1), Wanted("cd" * 32, "other", NOW + 9)]
    text = write(wanted, KEY, as_json=as_json)
    assert read(text.encode(), KEY, now=NOW) == (wanted, 0)
    assert "\u202e" not in text
    assert "\x7f" not in text
    assert read(text.encode(), KEY, now=NOW + 5) == (wanted[1:], 1)
    assert read(write([], KEY, as_json=as_json).encode(), KEY, now=NOW) == ([], 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + GOOD.replace(PRINT, "12"), r"suppressions\[2\]: fingerprint: must be 64 hex digits"),
        (GOOD.replace("T00:00:00Z", ""), r"suppressions\[1\]: until: must be a date and time with a zone"),
        (GOOD.replace("2099-01-01T00:00:00Z", '"soon"'), "until: must be a date"),
        (GOOD.replace("reason", "because"), "unknown key 'because'"),
        (GOOD.replace('"known"', '" "'), "reason: must say why"),
        ("suppressions = 3", "must be an array"),
        ("suppressions = [3]", "must be a table"),
        ("supressions = []", "unknown key 'supressions'"),
        ("=", "neither TOML nor JSON"),
    ],
)
def test_a_mistake_is_named(text: str, said: str) -> None:
    with pytest.raises(SuppressionFileError, match=said):
        read((write([], KEY) + text).encode(), KEY, now=NOW)


@pytest.mark.parametrize("text", ["{key} = 1", "[{key}]\n[{key}]"])
def test_no_mistake_shows_what_may_be_a_secret(text: str) -> None:
    key = "glpat-" + "x1Yz" * 5
    with pytest.raises(SuppressionFileError) as raised:
        read((write([], KEY) + text.replace("{key}", key)).encode(), KEY, now=NOW)
    assert key[:8] not in str(raised.value)


@pytest.mark.parametrize(
    ("data", "said"), [(GOOD.encode(), "another fingerprint key"), (b"\xff", "neither"), (b"{", "neither")]
)
def test_what_is_no_file_of_ours_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(SuppressionFileError, match=said):
        read(data, KEY, now=NOW)
    with pytest.raises(SuppressionFileError, match="another fingerprint key"):
        read(write([], b"o" * 32).encode(), KEY, now=NOW)
