from __future__ import annotations

import pytest

from detectors.rules.template import expand
from monitor.common.user_name import named, user_name


@pytest.mark.parametrize("name", ["", "a b", "a" * 65, "<b>", "a\nb", "x'y", expand("ghp_{alnum:30}{crc32}", "name")])
def test_what_is_no_name_stands_in_no_history(name: str) -> None:
    assert not named(name)
    with pytest.raises(ValueError) as refused:
        user_name(name)
    assert not name or name not in str(refused.value)


def test_one_person_has_one_name() -> None:
    assert user_name(" Ana@Example.org ") == "ana@example.org"
    assert named("ana@example.org")
    assert not named("Ana@example.org")


# A Cyrillic letter; the Kelvin sign and the long s, which Unicode folds into k and s; a full-width a; an accent.
@pytest.mark.parametrize("name", ["\u0430na", "mar\u212a", "mo\u017fe", "\uff41na", "ana\u0301", "Анна"])
def test_a_name_that_looks_like_another_is_none(name: str) -> None:
    assert not named(name)
    with pytest.raises(ValueError, match="letters a-z"):
        user_name(name)
