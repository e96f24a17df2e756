"""What GitHub says of workflow runs and their jobs, in our words. Pure; reads defensively, as alerts are read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.common.outside import number, tables, text, when
from monitor.common.text import web_address
from monitor.github.alerts import Malformed
from monitor.github.links import REPOSITORY

__all__ = ["SECTION", "EndedJob", "Run", "job", "labels", "path", "repository", "run", "step_at", "unended"]

# A line of a log that begins a section, behind its time.
_STAMP, _ENDS = rb"\d{4}-\d\d-\d\dT[\d:.]+Z ", rb"Post job cleanup\.|Cleaning up orphan"
SECTION = re.compile(rb"(?m)^" + _STAMP + rb"(?:##\[group\](?=Run )|(?=" + _ENDS + rb"))([^\r\n]*)")
_SHA = re.compile(r"[0-9a-f]{40,64}")


@dataclass(frozen=True, slots=True)
class Run:
    """One workflow run as its latest attempt is. Times are GitHub's, in seconds since the epoch."""

    repo: str
    id: int
    attempt: int
    workflow: str
    branch: str
    commit: str
    event: str
    actor: str
    status: str
    created: float
    updated: float

    @property
    def over(self) -> bool:
        return self.status == "completed"

    @property
    def seen(self) -> tuple[int, float, str]:
        """What changes when a look at its jobs is due."""
        return self.attempt, self.updated, self.status


@dataclass(frozen=True, slots=True)
class EndedJob:
    """One job that has ended, of one attempt of a run. `steps`: begin (seconds since the epoch) and name, in order.
    `silent`: it never ran, so that it has no log."""

    repo: str
    id: int
    run: int
    attempt: int
    name: str
    ended: float
    url: str | None
    steps: Sequence[tuple[float, str]]
    silent: bool
    workflow: str = ""
    branch: str = ""
    commit: str = ""

    @property
    def key(self) -> str:
        """Its name among all of its server."""
        return f"{self.repo}/{self.run}/{self.attempt}/{self.id}".lower()


def run(body: Any, repo: str) -> Run:
    """Of a listing, or alone. Raises Malformed."""
    if not isinstance(body, dict):
        raise Malformed("not an object")
    created = when(body, "created_at")
    if created is None:
        raise Malformed("created_at")
    begun, updated = when(body, "run_started_at"), when(body, "updated_at")
    return Run(
        repo=repo,
        id=_number(body, "id"),
        attempt=1 if body.get("run_attempt") is None else _number(body, "run_attempt"),
        workflow=text(body, "name") or text(body, "path"),
        branch=text(body, "head_branch"),
        commit=_commit(body),
        event=text(body, "event"),
        actor=text(body, "triggering_actor", "login") or text(body, "actor", "login"),
        status=text(body, "status"),
        created=created,
        updated=max(created, begun or 0.0, updated or 0.0),
    )


def job(body: Any, repo: str) -> EndedJob | None:
    """None: it has not ended. Raises Malformed."""
    if not isinstance(body, dict):
        raise Malformed("not an object")
    if unended(body):
        return None
    ended = when(body, "completed_at") or when(body, "started_at")
    if ended is None:
        raise Malformed("completed_at")
    steps = tables(body, "steps")
    begun = [(when(one, "started_at"), text(one, "name")) for one in steps]
    return EndedJob(
        repo=repo,
        id=_number(body, "id"),
        run=_number(body, "run_id"),
        attempt=1 if body.get("run_attempt") is None else _number(body, "run_attempt"),
        name=text(body, "name"),
        ended=ended,
        url=web_address(body.get("html_url")),
        steps=sorted((at, name) for at, name in begun if at is not None and name),
        silent=body.get("conclusion") == "skipped" or (not steps and not body.get("runner_id")),
        workflow=text(body, "workflow_name"),
        branch=text(body, "head_branch"),
        commit=_commit(body),
    )


def unended(body: Mapping[str, Any]) -> bool:
    """Whether a job goes on, or has not begun."""
    return body.get("status") != "completed"


def path(ended: EndedJob, of: Run | None) -> str:
    """Where it is, as alerts show it."""
    return f"{ended.repo}:actions/{ended.workflow or (of and of.workflow) or 'workflow'}/{ended.name}"


def labels(ended: EndedJob, of: Run | None) -> dict[str, str]:
    """What an incident says of the job."""
    facts = {
        "service": ended.repo,
        "repository": ended.repo,
        "workflow": ended.workflow or (of.workflow if of else ""),
        "job": ended.name,
        "run": str(ended.run),
        "attempt": str(ended.attempt),
        "commit": ended.commit or (of.commit if of else ""),
        "branch": ended.branch or (of.branch if of else ""),
        "actor": of.actor if of else "",
        "event": of.event if of else "",
    }
    return {name: text for name, text in facts.items() if text}


def step_at(steps: Sequence[tuple[float, str]], title: str, begun: float | None) -> str:
    """The name of the step that a section of this title, begun at this time, is of.

    GitHub's times of steps are whole seconds. Where several begin in one, the title tells them apart, or is all there
    is to say; a section of a step's own (a composite action's) is of the step in which it begins.
    """
    if begun is None or not steps:
        return title
    last = sum(at <= int(begun) for at, _ in steps)
    alike = [name for at, name in steps[:last] if at == steps[last - 1][0]]
    return alike[0] if len(alike) == 1 else title


def repository(body: Any) -> str | None:
    """The full name of a repository of a listing."""
    name = text(body, "full_name")
    return name if REPOSITORY.fullmatch(name) else None


def _number(body: Mapping[str, Any], name: str) -> int:
    value = number(body, name)
    if not value:
        raise Malformed(name)
    return value


def _commit(body: Mapping[str, Any]) -> str:
    sha = text(body, "head_sha")
    return sha if _SHA.fullmatch(sha) else ""
