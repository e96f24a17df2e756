from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete

from detectors.rules.template import expand
from monitor.config.config import load
from monitor.site import open_store
from monitor.store.schema import steps
from tests.monitor.cli.test_incidents import finding

Command = Callable[..., subprocess.CompletedProcess[str]]
ONE, TWO = "1" * 16, "2" * 16


@pytest.fixture
def stored(config: Path) -> Path:
    """A critical incident with a run of the AWS runbook, and a low one without."""

    async def fill() -> None:
        settings = load(config)
        settings.state_dir.mkdir(exist_ok=True)
        async with await open_store(settings) as store:
            labels = {"access_key_id": "AKIA0EXAMPLE", "vendor": "aws"}
            await store.commit([finding(1, runbook="aws-key", labels=labels), finding(2, severity="low")])

    asyncio.run(fill())
    return config


def test_a_run_from_its_first_step_to_its_end_in_a_pipe(monitor: Command, stored: Path) -> None:
    said = monitor("incidents", "show", "1111").stdout
    assert "\nsteps        0 of 9 done; next: " in said, "as alerts say"
    assert f" runbook claim {ONE} revoke" in said
    [run] = json.loads(monitor("runbook", "list", "--format", "json").stdout)
    assert (run["incident"], run["book"], run["done"], run["total"], run["next"]) == (ONE, "aws-key", 0, 9, "revoke")

    answer = monitor("runbook", "claim", "1111", "revoke")
    assert answer.returncode == 0, answer.stderr
    assert f"{ONE} revoke claimed by " in answer.stdout
    again = monitor("runbook", "claim", "1111", "revoke")
    assert again.returncode == 1
    assert "claimed already" in again.stderr
    for step in ("revoke", "replace", "deploy", "audit", "actions", "document", "review", "prevent"):
        answer = monitor("runbook", "done", "1111", step, "--note", f"did {step}", "--format", "jsonl")
        assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["done"] == 8
    assert monitor("runbook", "skip", "1111", "notify").returncode == 1
    answer = monitor("runbook", "skip", "1111", "notify", "-m", "nobody is concerned", "--format", "json")
    ended = json.loads(answer.stdout)
    assert ended["done"] == ended["total"] == 9
    assert ended["ended"] is not None
    assert "no runbook is under way" in monitor("runbook", "list").stdout
    over = monitor("runbook", "list", "--all").stdout.splitlines()[1]
    assert over.split()[:5] == [ONE, "aws-key", "9", "of", "9"]
    assert "over since 20" in over
    [run] = json.loads(monitor("runbook", "list", "--all", "--format", "json").stdout)
    assert run["ended"] == ended["ended"]

    history = json.loads(monitor("incidents", "show", "1111", "--format", "json").stdout)["history"]
    assert [(event["action"], event["step"]) for event in history[:3]] == [
        ("opened", None),
        ("run_started", None),
        ("step_claimed", "revoke"),
    ]
    assert monitor("runbook", "reopen", "1111", "deploy").returncode == 0


def test_the_next_step_is_shown_with_its_query_filled_in(monitor: Command, stored: Path) -> None:
    for step in ("revoke", "replace", "deploy"):
        monitor("runbook", "done", "1111", step, "--note", "seen to")
    text = monitor("runbook", "show", "1111").stdout
    assert "contain first (severity critical); 3 of 9 done" in text
    assert "AttributeValue=AKIA0EXAMPLE --start-time 2023-11-14T22:13:21Z --end-time 20" in text
    row = json.loads(monitor("runbook", "show", "1111", "--format", "json").stdout)
    audit = next(step for step in row["steps"] if step["id"] == "audit")
    assert audit["queries"][0]["text"] == "aws iam get-access-key-last-used --access-key-id AKIA0EXAMPLE"


def test_a_run_is_started_by_hand_and_refusals_say_what_to_do(monitor: Command, stored: Path) -> None:
    answer = monitor("runbook", "show", "2222")
    assert answer.returncode == 1
    assert f"monitor runbook start {TWO}" in answer.stderr
    assert monitor("runbook", "done", "2222", "revoke").returncode == 1
    answer = monitor("runbook", "start", "2222", "--order", "replace", "--book", "nobody")
    assert "monitor runbook list --books" in answer.stderr
    assert "replace first" in monitor("runbook", "start", "2222", "--order", "replace").stdout
    answer = monitor("runbook", "done", "2222", "revoke")
    assert "revoke comes after deploy" in answer.stderr
    assert monitor("runbook", "done", "2222", "rewoke").returncode == 1
    assert monitor("runbook", "done", "9999", "revoke").returncode == 1


def test_a_secret_in_the_evidence_is_masked(monitor: Command, stored: Path) -> None:
    token = expand("ghp_{alnum:30}{crc32}", 7)
    answer = monitor("runbook", "done", "1111", "revoke", "--note", f"it was {token}")
    assert answer.returncode == 0, answer.stderr
    assert "masked" in answer.stderr
    shown = monitor("runbook", "show", "1111").stdout + monitor("incidents", "show", "1111").stdout
    assert "it was ghp_" in shown
    assert token not in shown
    assert token.encode() not in b"".join(path.read_bytes() for path in (stored.parent / "state").glob("state.db*"))


def test_of_many_runs_so_many_are_listed_and_the_rest_counted(monitor: Command, stored: Path) -> None:
    assert monitor("runbook", "start", "2222").returncode == 0
    first, second = json.loads(monitor("runbook", "list", "--format", "json").stdout)
    assert [run["incident"] for run in (first, second)] == [ONE, "2" * 16]  # by what is due next
    listed = monitor("runbook", "list", "--limit", "1").stdout.splitlines()
    assert [line.split()[0] for line in listed[1:]] == [ONE, "and"]
    assert listed[-1] == "and 1 more; --limit shows them"
    assert [
        run["incident"] for run in json.loads(monitor("runbook", "list", "--limit", "1", "--format", "json").stdout)
    ] == [ONE]


def test_a_run_of_which_no_step_is_for_its_incident_is_listed(monitor: Command, stored: Path) -> None:
    async def empty() -> None:
        async with await open_store(load(stored)) as store:
            await store.write(lambda tx: tx.connection.execute(delete(steps)))

    asyncio.run(empty())
    answer = monitor("runbook", "list")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[1].split() == [ONE, "aws-key", "0", "of", "0", "-", "-"]


def test_runbooks_are_listed_and_shown(monitor: Command, config: Path) -> None:
    names = [row["name"] for row in json.loads(monitor("runbook", "list", "--books", "--format", "json").stdout)]
    assert {"aws-key", "ai/openai"} <= set(names)
    assert "1. Revoke the exposed secret (within 15 minutes)" in monitor("runbook", "show", "aws-key").stdout
    row = json.loads(monitor("runbook", "show", "ai/openai", "--format", "json").stdout)
    assert len(row["steps"]) == 9


def test_a_name_that_is_neither_runbook_nor_incident_says_what_may_have_been_meant(
    monitor: Command, stored: Path
) -> None:
    answer = monitor("runbook", "show", "ai/opnai")
    assert answer.returncode == 1
    assert "did you mean ai/openai" in answer.stderr
    assert "monitor runbook list --books" in answer.stderr
    assert "there is no incident 'ffff'" in monitor("runbook", "show", "ffff").stderr


def test_the_actions_of_a_step_are_planned_and_the_step_is_claimed(monitor: Command, stored: Path) -> None:
    answer = monitor("runbook", "run", "1111", "revoke")
    assert answer.returncode == 1
    assert "has no action that is configured for github-pat" in answer.stderr
    assert f"monitor runbook show {ONE}" in answer.stderr
    stored.write_text(
        stored.read_text() + '[[actions]]\nname = "take-back"\ntype = "command"\nrules = ["github-pat"]\n'
        'command = ["/bin/true"]\nvalue = "none"\n'
    )
    answer = monitor("runbook", "run", "1111", "revoke", "--format", "json")
    assert answer.returncode == 0, answer.stderr
    [row] = json.loads(answer.stdout)
    assert (row["action"], row["state"], row["incident"]) == ("take-back", "planned", ONE)
    run = json.loads(monitor("runbook", "show", "1111", "--format", "json").stdout)
    assert run["steps"][0]["state"] == "claimed"
    again = monitor("runbook", "run", "1111", "revoke")
    assert again.returncode == 1, "planned once"
    assert monitor("runbook", "run", "1111", "deploy").returncode == 1
    assert monitor("runbook", "run", "2222", "revoke").returncode == 1


def test_lint_tells_mistakes_with_their_keys(monitor: Command, config: Path) -> None:
    answer = monitor("runbook", "lint")
    assert answer.returncode == 2
    folder = config.parent / "books"
    folder.mkdir()
    config.write_text(config.read_text() + '[runbook]\nfolder = "books"\n')
    (folder / "good.toml").write_text('title = "T"\nfirst_step = "F."\nwhere = "W"\n')
    answer = monitor("runbook", "lint")
    assert (answer.returncode, answer.stdout) == (0, "1 runbooks, all right\n")
    assert monitor("runbook", "list", "--books").stdout.splitlines()[1].startswith("good")
    bad = folder / "bad.toml"
    bad.write_text(
        'title = "T"\nfirst_step = "F."\nwhere = "W"\n[[step]]\nid = "revoke"\nneeds = ["prevent"]\n'
        '[[step]]\nid = "review"\nneeds = ["revoke"]\n'
    )
    answer = monitor("runbook", "lint", "--format", "json")
    assert answer.returncode == 1
    [problem] = json.loads(answer.stdout)
    assert problem["key"] == "step[0].needs"
    assert "revoke → prevent → review → revoke" in problem["message"]
    assert monitor("runbook", "lint", str(folder / "good.toml")).returncode == 0
    assert "none.toml: cannot be read: No such file or directory" in monitor("runbook", "lint", "none.toml").stdout
    bad.write_text(
        'title = "T"\nfirst_step = "F."\nwhere = "W"\n[[step]]\nid = "revoke"\nactions = ["nothing-such"]\n'
        'verify = { shows = "refused", probe = "githb" }\n'
    )
    problems = json.loads(monitor("runbook", "lint", "--format", "json").stdout)
    assert [problem["key"] for problem in problems] == ["step[0].verify.probe", "step[0].actions[0]"]
    assert 'did you mean "github"?' in problems[0]["message"]
