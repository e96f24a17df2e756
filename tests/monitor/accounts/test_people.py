from __future__ import annotations

import pytest

from detectors.rules.template import expand
from monitor.accounts.people import higher, named, user_name


def test_of_several_roles_the_one_that_may_most() -> None:
    assert higher("viewer", None, "admin", "responder") == "admin"
    assert higher(None) is None


@pytest.mark.parametrize("name", ["", "a b", "a" * 65, "<b>", "a\nb", "x'y", expand("ghp_{alnum:30}{crc32}", "name")])
def test_what_is_no_name_stands_in_no_history(name: str) -> None:
    assert not named(name)
    with pytest.raises(ValueError) as refused:
        user_name(name)
    assert not name or name not in str(refused.value)


def test_names_to_sign_in_by_are_small_and_of_ascii() -> None:
    assert user_name(" Ana@Example.org ") == "ana@example.org"
    assert named("Анна")
    with pytest.raises(ValueError):
        user_name("Анна")
