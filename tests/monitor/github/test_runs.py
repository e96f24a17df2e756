from __future__ import annotations

from typing import Any

import pytest

from monitor.github.alerts import Malformed
from monitor.github.runs import SECTION, job, labels, path, repository, run, step_at
from tests.fakes.github_actions import FakeActions

REPO = "acme/web"


def bodies(**more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    fake = FakeActions()
    made = fake.add_run(REPO, created=1.8e9)
    return fake.body_of_run(made), fake.body_of_job(fake.add_job(made, "", **more))


def test_what_an_incident_says_of_a_job() -> None:
    of, ended = bodies(name="test / unit")
    read, over = run(of, REPO), job(ended, REPO)
    assert over is not None
    assert path(over, read) == "acme/web:actions/CI/test / unit"
    assert labels(over, read) == {
        "service": REPO, "repository": REPO, "workflow": "CI", "job": "test / unit", "run": "1000", "attempt": "1",
        "commit": "c" * 40, "branch": "main", "actor": "hubot", "event": "push",
    }  # fmt: skip
    assert "actor" not in labels(over, None)
    assert (over.key, over.url) == ("acme/web/1000/1/1", "https://github.test/acme/web/actions/runs/1000/job/1")


def test_one_that_goes_on_is_none_and_one_that_never_ran_is_silent() -> None:
    assert job(bodies(age=None)[1], REPO) is None
    for more, silent in (
        ({"runner": 0}, True), ({"conclusion": "skipped"}, True), ({"conclusion": "cancelled"}, False)
    ):  # fmt: skip
        ended = job(bodies(**more)[1], REPO)
        assert ended is not None
        assert ended.silent is silent


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", None), ("id", "7"), ("id", True), ("id", 0), ("id", 2**60), ("created_at", None), ("created_at", "soon")],
)
def test_what_cannot_be_named_is_malformed_and_only_its_field_is_said(field: str, value: object) -> None:
    with pytest.raises(Malformed, match=f"^{field}$"):
        run(bodies()[0] | {field: value}, REPO)


def test_fields_of_other_kinds_are_nothing() -> None:
    odd = dict.fromkeys(("name", "path", "head_branch", "head_sha", "event", "status", "actor", "triggering_actor"), 7)
    read = run(bodies()[0] | odd | {"updated_at": [], "run_started_at": None}, REPO)
    assert (read.workflow, read.branch, read.commit, read.actor, read.over) == ("", "", "", "", False)
    ended = job(bodies()[1] | {"steps": [None, {"name": 7}, {"started_at": "x", "name": "y"}], "html_url": "ftp"}, REPO)
    assert ended is not None
    assert (ended.steps, ended.url) == ([], None)
    assert [repository(body) for body in ({"full_name": REPO}, {"full_name": "a b/c"}, None)] == [REPO, None, None]


STEPS = ((100.0, "Set up job"), (102.0, "Build"), (105.0, "Run make test"), (105.0, "Lint"), (109.0, "Post Build"))


@pytest.mark.parametrize(
    ("title", "begun", "step"),
    [
        ("Run make", 102.4, "Build"),
        ("Run setup", 104.9, "Build"),  # a section within a step
        ("Run make test", 105.1, "Run make test"),
        ("Run lint", 105.9, "Run lint"),  # either of two: what the log itself says is true in any case
        ("Post job cleanup.", 109.0, "Post Build"),
        ("Run early", 99.0, "Run early"),
        ("Run make", None, "Run make"),
        ("", 100.2, "Set up job"),
        ("", 105.3, ""),
    ],
)
def test_a_section_is_of_the_step_that_was_under_way(title: str, begun: float | None, step: str) -> None:
    assert step_at(STEPS, title, begun) == step
    assert step_at((), title, begun) == title


def test_which_lines_begin_a_section() -> None:
    time = b"2026-11-30T16:00:00.1234567Z "
    lines = [
        b"##[group]Run npm test\r",
        b"##[group]Fetching",
        b"Post job cleanup.",
        b"Cleaning up orphan processes",
        b"echo ##[group]Run x",
        b"Run y",
    ]
    text = b"\n".join([*(time + line for line in lines), b"##[group]Run without its time"])
    assert SECTION.findall(text) == [b"Run npm test", b"Post job cleanup.", b"Cleaning up orphan processes"]
