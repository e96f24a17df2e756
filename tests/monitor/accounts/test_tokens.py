from __future__ import annotations

import hashlib

from monitor.accounts.tokens import PREFIX, fresh, stored


def test_a_value_is_random_and_known_by_its_hash() -> None:
    value, other = fresh(), fresh()
    assert value != other
    assert stored(value) == hashlib.sha256(value.encode()).hexdigest()
    for wrong in ("", PREFIX, value[1:], f"{value}x", f"{value[:-1]}é", value.upper()):
        assert stored(wrong) == ""
