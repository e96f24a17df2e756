from __future__ import annotations

import json
from typing import Any

import pytest

from monitor.common.inbound import UnusableError
from monitor.gitlab.hook import GitLabHook
from monitor.gitlab.source import GitLabConfig

HOOK = GitLabHook()
JOB = {"object_kind": "build", "build_id": 71, "project_id": 7, "build_status": "success"}


def owner(name: str = "ci", **settings: Any) -> GitLabConfig:
    given = {"project": "acme/web", "token": "env:T", "webhook_secret": "env:HOOK", **settings}
    return GitLabConfig.model_validate({"name": name, "type": "gitlab-ci", **given})


def told(payload: object, *owners: GitLabConfig) -> Any:
    return HOOK.parse({}, bytearray(json.dumps(payload).encode()), owners or (owner(),))


def test_the_secret_is_what_comes_along() -> None:
    assert len(HOOK.secrets(owner())) == 1
    assert HOOK.secrets(owner(webhook_secret=None)) == ()
    assert HOOK.well_formed({"X-Gitlab-Token": "x"}, 0.0)
    assert not HOOK.well_formed({}, 0.0)
    assert not HOOK.well_formed({"X-Gitlab-Token": "x" * 2000}, 0.0)
    assert HOOK.signed("geheim-ü".encode(), {"X-Gitlab-Token": "geheim-ü"}, b"")
    assert not HOOK.signed(b"secret", {"X-Gitlab-Token": "secret2"}, b"")
    assert not HOOK.probe(bytearray())


def test_a_job_that_has_ended_is_work_for_its_source_once() -> None:
    announced = told(JOB)
    assert (announced.status, announced.delivery.repo, announced.delivery.number) == (202, "7", 71)
    assert told({**JOB, "build_name": "again"}).delivery.id == announced.delivery.id
    assert told({**JOB, "build_id": 72}).delivery.id != announced.delivery.id
    assert told(JOB, owner("other")).delivery.id != announced.delivery.id
    other = {**JOB, "project": {"path_with_namespace": "acme/api"}}
    assert told(other, owner(), owner("api", project=(), group="acme")).delivery.source == "api"


@pytest.mark.parametrize("changes", [{"object_kind": "push"}, {"build_status": "running"}, {"build_status": ["x"]}])
def test_what_is_of_no_use_is_taken_and_left(changes: dict[str, Any]) -> None:
    announced = told({**JOB, **changes})
    assert (announced.status, announced.delivery) == (202, None)


@pytest.mark.parametrize(
    "payload", [[], {"object_kind": "build"}, {**JOB, "build_id": "71"}, {**JOB, "project_id": True}]
)
def test_what_cannot_be_used_is_refused(payload: object) -> None:
    with pytest.raises(UnusableError):
        told(payload)
