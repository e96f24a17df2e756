from __future__ import annotations

from monitor.rotation.reasons import RotationReason


def test_each_reason_has_its_words() -> None:
    assert [reason.value for reason in RotationReason] == ["dependency", "shared", "departure", "policy"]
    assert len({reason.words for reason in RotationReason}) == len(RotationReason)
