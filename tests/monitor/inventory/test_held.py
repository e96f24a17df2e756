"""What a manager holds never shows its value."""

from __future__ import annotations

from monitor.inventory.held import HeldSecret


def test_no_value_and_no_digest_in_a_traceback_or_a_log() -> None:
    held = HeldSecret("DATABASE_PASSWORD", b"kept from sight", digest="3a7bd3", environment="production")
    assert "DATABASE_PASSWORD" in repr(held)
    assert "production" in repr(held)
    assert "kept" not in repr(held)
    assert "3a7bd3" not in repr(held)
