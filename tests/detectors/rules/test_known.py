from __future__ import annotations

import pytest

from detectors.rules.known import known_id

KNOWN = {"github-pat", "jwt", "apify-api-token"}


def test_a_rule_is_known_by_the_id_that_it_has_or_had() -> None:
    assert known_id("jwt", KNOWN) == "jwt"
    assert known_id("apify-token", KNOWN) == "apify-api-token"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("github-patt", "no rule is called 'github-patt'; did you mean github-pat?"),
        ("nothing-like-it", "no rule is called 'nothing-like-it'"),
        ("a\x1b[1m", r"no rule is called 'a\\x1b[1m'"),
        ("generic-pat", "no rule is called 'generic-pat'; it went, and no other finds what it found"),
        ("metabase-secret-key", "'metabase-secret-key'; it went, and generic-secret finds what it found"),
        ("exposure-aws-rds-host", 'it is of the pack exposure: rules.packs = ["default", "exposure"]'),
    ],
)
def test_what_is_no_rule_is_said_with_what_was_meant(given: str, said: str) -> None:
    with pytest.raises(LookupError) as raised:
        known_id(given, KNOWN)
    assert said in str(raised.value)
