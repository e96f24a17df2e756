from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from monitor.gitlab.jobs import SECTION, job_of, unfolded

ROW: dict[str, Any] = {
    "id": 3, "name": "unit", "stage": "test", "status": "success", "ref": "v1", "tag": True,
    "started_at": "2026-11-30T16:00:00.000+02:00", "finished_at": "2026-11-30T16:01:00.500+02:00",
    "web_url": "javascript:alert(1)", "user": None, "pipeline": {"id": 9, "sha": "ab"},
}  # fmt: skip


def test_a_job_that_has_ended_and_has_run() -> None:
    job = job_of(ROW, 7, "acme/web", "gitlab.com")
    assert job is not None
    assert (job.key, job.path, job.url) == ("7/3", "acme/web:jobs/test/unit", None)
    assert job.ended == 1796047260.5
    assert job.labels == {
        "service": "acme/web", "repository": "acme/web", "job": "unit", "stage": "test", "pipeline": "9",
        "commit": "ab", "tag": "v1", "project_id": "7", "job_id": "3",
    }  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [{"status": "running"}, {"started_at": None}, {"finished_at": None}, {"finished_at": "2026-11-30"}, {"id": "3"}],
)
def test_any_other_is_none(changes: dict[str, Any]) -> None:
    assert job_of({**ROW, **changes}, 7, "acme/web", "gitlab.com") is None


def test_a_section_is_named_without_its_options() -> None:
    text = b"section_end:1:a\r\x1b[0Ksection_start:1796000000:step_script[collapsed=true]\r\x1b[0KRunning\n"
    assert [found[1] for found in SECTION.finditer(text)] == [b"step_script"]


async def test_a_line_that_was_written_in_parts_is_whole_however_it_comes() -> None:
    def head(mark: str) -> bytes:
        return f"2026-11-30T16:00:00.{rng.randrange(10**6):06}Z 00{mark}".encode()

    rng = random.Random(5)
    for _ in range(300):
        parts, whole = [], b""
        for part in range(rng.randrange(1, 9)):
            onward, text = bool(parts) and rng.random() < 0.5, b"<%d>" % part * rng.randrange(20)
            line = head("O+" if onward else "O ")
            if parts:
                end = rng.choice([b"\n", b"\r\n"])
                parts.append(end)
                whole += b"" if onward else end
            parts.append(line + text)
            whole += text if onward else line + text
        given = b"".join(parts) + rng.choice([b"", b"\n", b"\r"])

        async def pieces(data: bytes = given) -> AsyncIterator[bytes]:
            while data:
                size = rng.randrange(1, 40)
                yield data[:size]
                data = data[size:]

        got = b"".join([piece async for piece in unfolded(pieces())])
        assert got == whole + given[len(b"".join(parts)) :]
