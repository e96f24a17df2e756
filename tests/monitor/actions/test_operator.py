"""Actions in real processes: approved, run once, seen through, and killed in their midst."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import AsyncMock

import pytest
import structlog
from aiohttp import web

from detectors.rules.template import expand
from monitor.actions.actor import Actor
from monitor.actions.command import ActionOutcome
from monitor.actions.config import ActionConfig
from monitor.actions.operator import Operator
from monitor.common.tasks import cancel
from monitor.domain.incidents import Incident
from monitor.routing.routes import Policy
from monitor.store import Store
from monitor.store.actions import ActionError
from monitor.verify.config import VerifyConfig
from tests.acceptance.harness import Monitor
from tests.acceptance.harness import until as waited
from tests.fakes.forks import Forks
from tests.fakes.github_actions import FakeActions
from tests.fakes.gitlab import TOKEN as GITLAB_TOKEN
from tests.fakes.gitlab import FakeGitLab
from tests.fakes.revoker import FakeRevoker
from tests.fakes.server import Fault
from tests.fakes.webhook import FakeWebhook
from tests.monitor.store.helpers import finding, fingerprint

if TYPE_CHECKING:
    from monitor.verify.asker import Asker

CONFIG = """
[[sources]]
name = "app"
type = "file"
include = ["logs/*.log"]
start_at = "beginning"
reconcile = "100ms"
[[sinks]]
name = "hook"
type = "webhook"
url = "env:HOOK_URL"
[rules]
packs = ["vcs/github"]
[verify]
providers = ["github"]
servers = {{ github = "{url}" }}
private = ["github"]
timeout = "2s"
[[actions]]
name = "revoke"
type = "github-revoke"
server = "{url}"
private = true
timeout = "60s"
{more}
"""
AUTOMATIC = """approvals = 0
automatic = ['severity="critical"', 'rule="github-pat"']
"""


async def until(condition: Callable[[], object]) -> None:
    await waited(condition, 120, lambda: "it did not come to pass")


class Scene:
    def __init__(self, root: Path, hook: FakeWebhook, issuer: FakeRevoker, more: str) -> None:
        self.root, self.hook = root, hook
        (root / "logs").mkdir()
        self.monitor = Monitor(root, CONFIG.format(url=issuer.url, more=more), {"HOOK_URL": f"{hook.url}/hook"})
        self.outputs: list[str] = []
        self.seen: set[bytes] = set()  # command lines and environments of our processes

    def plant(self, value: str) -> None:
        with (self.root / "logs/app.log").open("a") as log:
            log.write(f"refused token={value} here\n")

    async def incident(self) -> str:
        await until(lambda: self.hook.payloads)
        return str(self.hook.payloads[0]["incidents"][0]["id"])

    async def command(self, *arguments: str, stdin: str = "", user: str = "ada") -> tuple[int, str]:
        """What runs an action is a process of its own, whose command line and environment all may see."""
        given = (*arguments, "--config", str(self.monitor.config))
        environment = {**self.monitor.environment, "SUDO_USER": user}
        if arguments[:2] != ("action", "run"):
            run = partial(Forks.shared().run, *given, cwd=Path.cwd(), env=environment, stdin=stdin)
            done = await asyncio.to_thread(run)
            self.outputs.append(done.stdout + done.stderr)
            return done.returncode, self.outputs[-1]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "monitor", *given),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
        )
        watching = asyncio.create_task(self._watch(process.pid))
        output, _ = await process.communicate(stdin.encode())
        watching.cancel()
        assert process.returncode is not None
        self.outputs.append(output.decode())
        return process.returncode, output.decode()

    async def _watch(self, pid: int) -> None:
        while True:
            for name in ("cmdline", "environ"):
                try:
                    self.seen.add(Path(f"/proc/{pid}/{name}").read_bytes())
                except OSError:
                    return
            await asyncio.sleep(0.005)

    async def runs(self) -> list[dict[str, object]]:
        _, shown = await self.command("action", "list", "--format", "json")
        found: list[dict[str, object]] = json.loads(shown)
        return found

    def states(self) -> list[str]:
        with contextlib.closing(sqlite3.connect(self.root / "state/state.db")) as database:
            return [state for (state,) in database.execute("SELECT state FROM actions")]

    def traces(self, value: str) -> list[str]:
        """What holds the value that should not."""
        files = {path.name: path.read_bytes() for path in (self.root / "state").rglob("*") if path.is_file()}
        files |= {"out": self.monitor.output.encode(), "err": self.monitor.errors.encode()}
        files |= {"told": json.dumps(self.hook.payloads).encode(), "commands": "\n".join(self.outputs).encode()}
        files |= {f"process {number}": data for number, data in enumerate(self.seen)}
        return [name for name, data in files.items() if value.encode() in data]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two people")
async def test_two_people_approve_it_runs_once_and_the_probe_sees_it(tmp_path: Path) -> None:
    value = expand("ghp_{alnum:30}{crc32}", 21)
    async with FakeWebhook() as hook, FakeRevoker(value) as issuer:
        scene = Scene(tmp_path, hook, issuer, "approvals = 2")
        await scene.monitor.start()
        scene.plant(value)
        one = await scene.incident()
        code, shown = await scene.command("action", "plan", one, "revoke", "--format", "json")
        ref = json.loads(shown)["id"]
        assert (await scene.command("action", "approve", ref))[0] == 0
        code, shown = await scene.command("action", "run", ref, "--dry-run")
        assert (code, '{"credentials": ["SECRET"]}' in shown, issuer.requests) == (0, True, [])
        assert (await scene.command("action", "approve", ref, user="bob"))[0] == 0

        code, shown = await scene.command("action", "run", ref, "--format", "json", user="bob")
        done = json.loads(shown)
        assert (code, done["state"], done["approvals"]) == (0, "completed", ["ada", "bob"])
        assert issuer.works == set()
        code, shown = await scene.command("action", "run", ref)
        assert (code, "runs once only" in shown, issuer.revocations) == (1, True, 1)
        code, shown = await scene.command("incidents", "show", one)
        assert all(words in shown for words in ("revoke approved, 2 of 2", "revoke completed", "refused: GitHub"))
        assert await scene.monitor.terminate() == 0
        assert len(scene.seen) > 2
        assert scene.traces(value) == []


async def test_what_is_automatic_runs_by_itself_and_only_once(tmp_path: Path) -> None:
    value, low = (expand("ghp_{alnum:30}{crc32}", seed) for seed in (22, 23))
    async with FakeWebhook() as hook, FakeRevoker(value, low) as issuer:
        scene = Scene(tmp_path, hook, issuer, AUTOMATIC)
        issuer.silent = True
        await scene.monitor.start()
        scene.plant(value)
        await until(lambda: issuer.works == {low})
        await until(lambda: any(request.path == "/user" for request in issuer.requests))
        assert scene.states() == ["accepted"]
        await scene.monitor.kill()
        issuer.silent = False
        await scene.monitor.start()
        scene.plant(value)
        # Killed before it saw what became of the secret, it looks again.
        await until(lambda: scene.states() == ["completed"])
        [run] = await scene.runs()
        assert (run["automatic"], run["planned_by"]) == (True, "monitor")
        assert await scene.monitor.terminate() == 0
        assert issuer.revocations == 1
        assert scene.traces(value) == []


async def test_a_kill_in_its_midst_is_told_as_not_known_and_it_is_not_repeated(tmp_path: Path) -> None:
    value = expand("ghp_{alnum:30}{crc32}", 24)
    async with FakeWebhook() as hook, FakeRevoker(value) as issuer:
        scene = Scene(tmp_path, hook, issuer, AUTOMATIC)
        issuer.always = Fault(hang=True)
        await scene.monitor.start()
        scene.plant(value)
        await until(lambda: any(request.path == "/credentials/revoke" for request in issuer.requests))
        await scene.monitor.kill()
        issuer.always = None
        await scene.monitor.start()
        scene.plant(value)
        await until(lambda: scene.states() == ["unknown"])
        [run] = await scene.runs()
        assert (run["state"], "cannot be known" in str(run["outcome"])) == ("unknown", True)
        # A person looks, and may plan it again.
        one = await scene.incident()
        code, shown = await scene.command("verify", one)
        assert (code, shown.startswith("valid")) == (1, True)
        code, shown = await scene.command("action", "plan", one, "revoke", "--format", "json")
        code, shown = await scene.command("action", "run", json.loads(shown)["id"])
        assert (code, shown.startswith("revoke completed")) == (0, True)
        assert {one["state"] for one in await scene.runs()} == {"completed"}
        assert await scene.monitor.terminate() == 0
        assert issuer.revocations == 1
        assert scene.traces(value) == []


async def test_what_an_issuer_takes_no_more_of_waits_and_runs_when_that_is_over(tmp_path: Path) -> None:
    outcomes = [ActionOutcome("limited", "the answer is HTTP 403", 0.3), ActionOutcome("accepted", "taken")]
    moments: list[float] = []

    class Issuer(Actor):
        async def run(self, *_: Any, **__: Any) -> ActionOutcome:
            moments.append(time.monotonic())
            return outcomes.pop(0)

    asker = SimpleNamespace(take=AsyncMock(return_value=SimpleNamespace(value="v", around="")))
    config: Any = SimpleNamespace(
        actions=[ActionConfig.model_validate({"name": "revoke", "type": "github-revoke"})],
        verify=VerifyConfig(),
    )
    async with await Store.open(tmp_path / "state.db", Policy(sinks=("chat",))) as store:
        operator = Operator(store, cast("Asker", asker), Issuer(), lambda: config)
        await store.commit([finding("a"), finding("b", 1)])
        planned = [await store.actions.plan(fingerprint(name)[:16], "revoke", actor="ada", needed=0, automatic=True)
                   for name in ("a", "b")]  # fmt: skip
        running = asyncio.create_task(operator.run_all())
        try:
            async with asyncio.timeout(120):
                while len(moments) < 2:
                    await asyncio.sleep(0.01)
                while {one.state for one in await store.actions.find()} != {"accepted"}:
                    await asyncio.sleep(0.01)
        finally:
            await cancel(running)
        assert moments[1] - moments[0] >= 0.3
        history = [one.note for one in await store.incidents.history(planned[0].incident)]
        assert any("put off: the answer is HTTP 403: its issuer takes no more before" in note for note in history)


async def test_the_logs_of_a_run_are_deleted_without_the_secret_and_of_others_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", FakeActions.token)
    labels = {"repository": "acme/web", "workflow": "CI", "job": "build", "run": "1001"}
    asker = cast("Asker", SimpleNamespace())  # nobody asks for the secret, nor whether it still works
    async with FakeActions() as github, await Store.open(tmp_path / "state.db", Policy(sinks=("chat",))) as store:
        for _ in range(2):
            github.add_run()
        given = {"name": "logs", "type": "github-run-logs-delete", "server": github.url, "private": True}
        action = ActionConfig.model_validate(given | {"credential": "env:TOKEN"})
        config: Any = SimpleNamespace(actions=[action], verify=VerifyConfig())
        operator = Operator(store, asker, Actor(), lambda: config)
        await store.commit([finding("a", labels=labels), finding("b")])
        seen, elsewhere = [await store.incidents.get(fingerprint(name)[:16]) for name in "ab"]
        assert (list(operator.fitting(seen)), list(operator.fitting(elsewhere))) == ([action], [])

        first = await store.actions.plan(seen.id, "logs", actor="ada", needed=1)
        with pytest.raises(ActionError, match="1 more to approve it"):
            await operator.run(first, actor="ada")
        await store.actions.approve(first.id, "grace")
        assert await operator.preview(first) == [f"DELETE {github.url}/repos/acme/web/actions/runs/1001/logs"]
        done = await operator.run(await store.actions.get(first.id), actor="ada")
        assert (done.state, github.deleted) == ("completed", [1001])

        other = await store.actions.plan(seen.id, "logs", actor="ada", needed=0, parts={"run": "1000"})
        assert (await operator.run(other, actor="ada")).state == "completed"
        gone = await store.actions.plan(seen.id, "logs", actor="ada", needed=0, parts={"run": "7"})
        assert (await operator.run(gone, actor="ada")).state == "failed"
        assert (github.deleted, github.violations) == ([1001, 1000], [])


async def test_the_log_of_a_job_is_erased_at_its_own_server_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", GITLAB_TOKEN)
    async with FakeGitLab() as gitlab, await Store.open(tmp_path / "state.db", Policy(sinks=("chat",))) as store:
        job = gitlab.ran(71, b"a secret")
        given = {"name": "log", "type": "gitlab-job-erase", "server": gitlab.url, "private": True}
        action = ActionConfig.model_validate(given | {"credential": "env:TOKEN"})
        config: Any = SimpleNamespace(actions=[action], verify=VerifyConfig())
        operator = Operator(store, cast("Asker", SimpleNamespace()), Actor(), lambda: config)
        labels = {"stage": "test", "project_id": "7", "job_id": "71"}
        await store.commit([finding("a", labels=labels), finding("b", labels={**labels, "job_id": "71/../2"})])
        seen, odd = [await store.incidents.get(fingerprint(name)[:16]) for name in "ab"]
        assert (list(operator.fitting(seen)), list(operator.fitting(odd))) == ([action], [])
        states = []
        for _ in range(2):
            run = await store.actions.plan(seen.id, "log", actor="ada", needed=0)
            states.append((await operator.run(run, actor="ada")).state)
        assert (states, job.erased, job.log) == (["completed", "failed"], True, b"")


class Together(FakeRevoker):
    """As GitHub does, it refuses the whole request where one of its values is no token; and it may have had enough."""

    def __init__(self, *tokens: str, most: int = 99) -> None:
        super().__init__(*tokens)
        self.asked: list[list[str]] = []
        self.most = most

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if request.method == "POST":
            if len(self.asked) == self.most:
                return web.Response(status=429, headers={"Retry-After": "600"})
            self.asked.append(json.loads(body)["credentials"])
            if not self.works.issuperset(self.asked[-1]):
                return web.Response(status=422)
        return await super().answer(request, body)


async def revoked_together(folder: Path, issuer: Together, values: list[str]) -> list[tuple[str, str]]:
    """Plan the revocation of each, and let it run once. Returns state and outcome of each, in this order."""
    given = {"name": "revoke", "type": "github-revoke", "server": issuer.url, "private": True, "timeout": "5s"}
    config: Any = SimpleNamespace(actions=[ActionConfig.model_validate(given)], verify=VerifyConfig())
    incidents = [fingerprint(f"f{number}")[:16] for number in range(len(values))]
    taken = {one: SimpleNamespace(value=value, around="") for one, value in zip(incidents, values, strict=True)}
    asker = SimpleNamespace(take=AsyncMock(side_effect=lambda incident: taken[incident.id]))
    async with await Store.open(folder / "state.db", Policy(sinks=("chat",))) as store:
        operator = Operator(store, cast("Asker", asker), Actor(), lambda: config)
        await store.commit([finding(f"f{number}", number) for number in range(len(values))])
        planned = [await store.actions.plan(one, "revoke", actor="ada", needed=0, automatic=True) for one in incidents]
        await operator.once()
        return [((run := await store.actions.get(one.id)).state, run.outcome) for one in planned]


async def test_what_waits_goes_in_one_request_and_each_has_its_outcome(tmp_path: Path) -> None:
    values = [expand("ghp_{alnum:30}{crc32}", seed) for seed in range(40, 45)]
    async with Together(*values) as issuer:
        states = await revoked_together(tmp_path, issuer, values)
        assert (issuer.asked, issuer.works, issuer.problems) == ([values], set(), [])
    assert states == [("accepted", "the issuer has taken it (HTTP 202)")] * 5


async def test_one_that_is_refused_spoils_it_for_no_other(tmp_path: Path) -> None:
    values = [expand("ghp_{alnum:30}{crc32}", seed) for seed in range(50, 58)]
    async with Together(*values[:5], *values[6:]) as issuer:
        states = [state for state, _ in await revoked_together(tmp_path, issuer, values)]
        assert states == ["accepted"] * 5 + ["failed"] + ["accepted"] * 2
        assert (issuer.works, len(issuer.asked)) == (set(), 7)


async def test_where_an_issuer_has_had_enough_in_between_the_rest_waits(tmp_path: Path) -> None:
    values = [expand("ghp_{alnum:30}{crc32}", seed) for seed in range(60, 64)]
    async with Together(*values[:3], most=2) as issuer:
        states = await revoked_together(tmp_path, issuer, values)
        assert [state for state, _ in states] == ["accepted", "accepted", "approved", "approved"]
        assert all("takes no more before" in why for _, why in states[2:])


async def test_one_that_nobody_can_run_holds_up_no_other(tmp_path: Path) -> None:
    """A mistake of ours at one secret: it is tried again, and those behind it run at once."""
    first, second = sorted(fingerprint(name)[:16] for name in "ab")
    broken = True

    async def take(incident: Incident) -> Any:
        if broken and incident.id == first:
            raise RuntimeError("unexpected s3cr3t")
        return SimpleNamespace(value="v", around="")

    class Issuer(Actor):
        async def run(self, *_: Any, **__: Any) -> ActionOutcome:
            return ActionOutcome("accepted", "taken")

    kinds = [("one", "command"), ("many", "github-revoke")]
    config: Any = SimpleNamespace(
        actions=[
            ActionConfig.model_validate(
                {"name": name, "type": kind, **({"command": ["/bin/true"]} if kind == "command" else {})}
            )
            for name, kind in kinds
        ],
        verify=VerifyConfig(),
    )
    async with await Store.open(tmp_path / "state.db", Policy(sinks=("chat",))) as store:
        operator = Operator(store, cast("Asker", SimpleNamespace(take=take)), Issuer(), lambda: config)
        await store.commit([finding("a"), finding("b", 1)])
        for name, _ in kinds:
            for incident in (first, second):
                await store.actions.plan(incident, name, actor="ada", needed=0, automatic=True)
        with structlog.testing.capture_logs() as logs:
            await operator.once()

        async def states() -> dict[tuple[str, str], str]:
            return {(one.action, one.incident): one.state for one in await store.actions.find()}

        assert await states() == {
            ("one", first): "approved", ("one", second): "accepted",
            ("many", first): "approved", ("many", second): "accepted",
        }  # fmt: skip
        assert [line["error_type"] for line in logs if line["log_level"] == "error"] == ["RuntimeError"] * 2
        assert "s3cr3t" not in str(logs)
        broken = False
        await operator.once()
        assert set((await states()).values()) == {"accepted"}


async def test_nothing_is_done_by_itself_about_what_was_resolved_meanwhile(tmp_path: Path) -> None:
    waiting, unseen = sorted(fingerprint(name)[:16] for name in "ab")
    ran: list[str] = []

    class Issuer(Actor):
        async def run(self, action: ActionConfig, *_: Any, **__: Any) -> ActionOutcome:
            ran.append(action.name)
            return ActionOutcome("accepted", "taken")

    given = {"automatic": ['severity="high"', 'rule=~".+"'], "approvals": 0}
    kinds: list[tuple[str, dict[str, Any]]] = [("command", {"command": ["/bin/true"]}), ("github-revoke", {})]
    config: Any = SimpleNamespace(
        actions=[
            ActionConfig.model_validate({"name": kind, "type": kind, "rules": ["*"], **keys, **given})
            for kind, keys in kinds
        ],
        verify=VerifyConfig(),
    )
    async with await Store.open(tmp_path / "state.db", Policy(sinks=("chat",))) as store:
        asker = cast("Asker", SimpleNamespace(take=AsyncMock(return_value=SimpleNamespace(value="v", around=""))))
        operator = Operator(store, asker, Issuer(), lambda: config)
        await operator.look()  # what comes from now on is news
        await store.commit([finding("a"), finding("b", 1)])
        for kind, _ in kinds:
            await store.actions.plan(waiting, kind, actor="monitor", needed=0, automatic=True)
        for incident in (waiting, unseen):
            await store.incidents.transition(incident, "resolve", actor="ada", resolution="false_positive")
        await operator.once()
        done = {(one.incident, one.action): one for one in await store.actions.find()}
        assert ran == []
        assert set(done) == {(waiting, kind) for kind, _ in kinds}
        assert {one.state for one in done.values()} == {"failed"}
        why = f"incident {waiting} is resolved: reopen it before an action runs: nothing was sent"
        assert {one.outcome for one in done.values()} == {why}


async def test_a_token_of_another_server_is_told_to_nobody_else(tmp_path: Path) -> None:
    """An Enterprise server's, by its line, or by the configuration as long as nothing says whose it is."""
    sent: list[str] = []

    class Issuer(Actor):
        async def run(self, _: ActionConfig, value: str, *__: Any, **___: Any) -> ActionOutcome:
            sent.append(value)
            return ActionOutcome("accepted", "taken")

    around = {"a": "GET https://ghe.acme.example/api/v3/user", "b": "token=", "c": "at https://github.com/a", "d": "x"}
    ids = {fingerprint(name)[:16]: name for name in around}

    async def take(incident: Incident) -> Any:
        return SimpleNamespace(value=ids[incident.id], around=around[ids[incident.id]])

    given = {"name": "revoke", "type": "github-revoke", "approvals": 0}
    config: Any = SimpleNamespace(actions=[ActionConfig.model_validate(given)], verify=VerifyConfig())
    async with await Store.open(tmp_path / "state.db", Policy(sinks=("chat",))) as store:
        operator = Operator(store, cast("Asker", SimpleNamespace(take=take)), Issuer(), lambda: config)
        await store.commit([finding(name, number) for number, name in enumerate(around)])

        async def run(name: str) -> str:
            planned = await store.actions.plan(fingerprint(name)[:16], "revoke", actor="ada", needed=0)
            try:
                return (await operator.run(planned, actor="ada")).state
            except ActionError as error:
                await store.actions.begin(planned.id, "ada")
                await store.actions.finish(planned.id, "failed", "x", actor="ada")
                return str(error)

        assert "it stands with ghe.acme.example" in await run("a")
        assert await run("b") == "accepted"
        config.verify = VerifyConfig().beside({"github": frozenset({"ghe.acme.example"})})
        assert "set the action's `server`" in await run("d")
        assert await run("c") == "accepted"
        assert sent == ["b", "c"]
