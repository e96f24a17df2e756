from __future__ import annotations

from typing import Any

import pytest

from monitor.access.forms.doppler import readings
from monitor.access.forms.fields import MalformedError


def record(**changes: Any) -> dict[str, Any]:
    return {
        "id": "l1",
        "type": "security.secret_read",
        "created_at": "2026-10-05T12:00:00.000Z",
        "user": {"kind": "service_account", "slug": "gateway"},
        "session": {"ip": "10.0.0.1"},
        "metadata": {"secrets": [{"p": "shop", "e": "prd", "c": "prd", "s": "JWT_SECRET"}, {"p": "shop", "s": "DB"}]},
        **changes,
    }


def test_one_record_tells_of_each_secret_that_was_read() -> None:
    found = list(readings(record()))
    assert [one.secret for one in found] == ["shop/prd/JWT_SECRET", "shop/DB"]
    assert len({one.id for one in found}) == 2
    assert {(one.principal, one.address) for one in found} == {("service_account:gateway", "10.0.0.1")}


def test_other_types_and_other_records() -> None:
    assert list(readings(record(type="secrets.updated"))) == []
    for wrong in ({"text": "x"}, record(created_at=None), record(metadata={"secrets": [{"p": "x"}]})):
        with pytest.raises(MalformedError):
            list(readings(wrong))
