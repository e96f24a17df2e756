from __future__ import annotations

from typing import Any

import pytest

from monitor.access.forms.fields import MalformedError
from monitor.access.forms.onepassword import readings


def record(**changes: Any) -> dict[str, Any]:
    return {
        "uuid": "u1",
        "timestamp": "2026-10-05T12:00:00Z",
        "used_version": 1,
        "vault_uuid": "vault1",
        "item_uuid": "item1",
        "action": "reveal",
        "user": {"uuid": "p1", "name": "Anna", "email": "anna@example.org"},
        "client": {"app_name": "1Password CLI", "app_version": "2.1", "ip_address": "10.0.0.1"},
        **changes,
    }


def test_an_item_that_somebody_saw() -> None:
    [found] = readings(record())
    assert (found.secret, found.principal, found.id) == ("vault1/item1", "anna@example.org", "u1")
    assert (found.address, found.agent) == ("10.0.0.1", "1Password CLI 2.1")
    [program] = readings(record(action="server-fetch", user={"uuid": "p2"}))
    assert program.principal == "p2"


def test_other_actions_and_other_records() -> None:
    assert list(readings(record(action="server-update"))) == []
    for wrong in ({"cursor": "x"}, record(timestamp="")):
        with pytest.raises(MalformedError):
            list(readings(wrong))
