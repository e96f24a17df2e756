from __future__ import annotations

from typing import Any

from monitor.common.problems import check
from monitor.rotation.settings import RotationConfig, RotationPolicy

DAY = 86_400.0


def test_without_a_word_what_is_critical_is_due_every_quarter() -> None:
    [policy] = RotationConfig().policies
    assert (policy.every, policy.tags, policy.severity) == (90 * DAY, ("critical",), "high")


def test_a_policy_is_read_and_a_wrong_one_is_named() -> None:
    table: dict[str, Any] = {"remind": "7d", "policies": [{"every": "30d", "environments": ["production"]}]}
    found, problems = check(RotationConfig, table, "rotation")
    assert problems == []
    assert found is not None
    assert found.policies == (RotationPolicy.model_validate(table["policies"][0]),)
    for wrong, key in (
        ({"policies": [{"every": "1h"}]}, "rotation.policies[0].every"),
        ({"policies": [{"tags": ["x"]}]}, "rotation.policies[0].every"),
        ({"remind": 7}, "rotation.remind"),
        ({"weekly": True}, "rotation.weekly"),
    ):
        found, problems = check(RotationConfig, wrong, "rotation")
        assert found is None
        assert [problem.key for problem in problems] == [key]
