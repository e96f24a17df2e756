"""What GitLab says of jobs, pipelines and projects, and how their logs are written. Pure."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from monitor.common.outside import number, text, when
from monitor.common.text import web_address
from monitor.sources.joblog import CiJob

__all__ = ["ENDED", "SECTION", "job_of", "key_of", "unfolded"]

ENDED = ("success", "failed", "canceled")  # a job that has one of these runs no more
# A section of a log, by its name; options and the carriage return that hides it from people stand behind.
SECTION = re.compile(rb"section_start:\d{1,12}:([A-Za-z0-9_.-]{1,200})")
# Where timestamps are on, a line that was written in parts goes on behind this.
_ONWARD = re.compile(rb"\r?\n\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z [0-9a-f]{2}[OE]\+")
_HEADER = 48  # bytes: more than such a mark has


def key_of(project: int, job: int) -> str:
    return f"{project}/{job}"


def job_of(row: Mapping[str, Any], project: int, repository: str, server: str) -> CiJob | None:
    """One that has ended and has run; None: any other, or not as documented."""
    job, ended = number(row, "id"), when(row, "finished_at")
    if row.get("status") not in ENDED or row.get("started_at") is None or not job or ended is None:
        return None
    name, stage = text(row, "name"), text(row, "stage")
    labels = {
        "service": repository,
        "repository": repository,
        "job": name,
        "stage": stage,
        "pipeline": str(number(row, "pipeline", "id") or ""),
        "commit": text(row, "pipeline", "sha"),
        "tag" if row.get("tag") is True else "branch": text(row, "ref"),
        "actor": text(row, "user", "username"),
        "project_id": str(project),
        "job_id": str(job),
    }
    return CiJob(
        key=key_of(project, job),
        server=server,
        path=f"{repository}:jobs/{stage}/{name}",
        ended=ended,
        labels={label: value for label, value in labels.items() if value},
        url=web_address(row.get("web_url")),
    )


async def unfolded(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """With lines whole that were written in parts: a secret may lie across two of them."""
    held = b""
    async for piece in pieces:
        data = held + piece
        newline = data.rfind(b"\n", max(0, len(data) - _HEADER))
        end = newline if newline >= 0 else len(data)
        end -= data[end - 1 : end] == b"\r"
        held = data[end:]
        if end > 0:
            yield _ONWARD.sub(b"", data[:end])
    if held:
        yield _ONWARD.sub(b"", held)
