"""A ticket of Jira, by its recipe: whatever dies, news of an incident finds the ticket that it has."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.case import Case, text
from tests.acceptance.harness import Monitor, Planter, until
from tests.fakes.peer import table
from tests.fakes.recipes import FakeJira, recipe
from tests.fakes.server import Fault

CONFIG = """
[rules]
packs = ["vcs/github"]
[[sources]]
name = "app"
type = "file"
include = ["logs/*.log"]
start_at = "beginning"
"""


async def test_a_ticket_is_found_again_after_a_kill(tmp_path: Path) -> None:
    """The answer that names the first one is lost, so a second one is made, under the same id."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "app.log").write_bytes(Planter(1).lines(1))
    async with FakeJira("the credential of Jira") as jira:
        sink = table("sinks", "jira", "webhook", recipe("Jira", jira.url, "env:JIRA_LOGIN"))
        monitor, case = Monitor(tmp_path, CONFIG + sink, {"JIRA_LOGIN": jira.proof}), Case(tmp_path)
        jira.faults.append(Fault(reset=True, after=True))
        await monitor.start()
        kept = "SELECT receipt FROM receipts WHERE receipt LIKE '%SEC-2%'"
        await until(lambda: case.rows(kept), 120, lambda: f"no ticket is kept: {monitor.errors[-1500:]}")
        await monitor.kill()
        await text(monitor, "incidents", "resolve", case.id, "--as", "revoked")
        await monitor.start()
        states = lambda: [issue["state"] for issue in jira.issues.values()]  # noqa: E731
        await until(lambda: "done" in states(), 120, lambda: f"{jira.issues} {monitor.errors[-1500:]}")
        assert await monitor.terminate() == 0
        assert states() == ["open", "done"]
        assert len({request.headers["webhook-id"] for request in jira.requests[:2]}) == 1
        [comment] = jira.issues["SEC-2"]["comments"]
        assert "resolved as revoked" in comment
