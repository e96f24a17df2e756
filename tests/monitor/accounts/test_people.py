from __future__ import annotations

from monitor.accounts.people import higher


def test_of_several_roles_the_one_that_may_most() -> None:
    assert higher("viewer", None, "admin", "responder") == "admin"
    assert higher(None) is None
