from __future__ import annotations

from monitor.domain.model import Block


def test_a_block_settles_up_to_its_limit_or_all_of_it() -> None:
    assert Block("s", "/p", "g", 0, b"12345", 0.0).end == 5
    assert Block("s", "/p", "g", 0, b"12345", 0.0, limit=3).end == 3
