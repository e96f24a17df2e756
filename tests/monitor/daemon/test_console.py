from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from monitor import runbook
from monitor.accounts.settings import PersonConfig, SignInConfig
from monitor.actions.config import ActionConfig
from monitor.daemon.console import ConsoleWork
from monitor.domain.incidents import Incident
from monitor.rotation.settings import RotationConfig
from monitor.runbook.progress import Procedure
from monitor.store import Store
from monitor.store.actions import ActionError
from monitor.store.inventory import Print, SecretVersion
from monitor.store.records import ActionRun
from monitor.verify.asker import WrongValueError
from monitor.web.console.context import ActionPreview
from tests.fakes.console import finding

TELL = ActionConfig(name="tell", type="command", command=("/bin/true",), rules=("github-pat",))


class Operators:
    """Stands for what runs actions, which has tests of its own."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem, self.asked = problem, list[ActionRun]()
        self.operator = self.asker = self

    def action(self, name: str) -> ActionConfig:
        if name != "tell":
            raise ActionError(f"there is no action {name!r} in the configuration")
        return TELL

    async def preview(self, run: ActionRun) -> Sequence[str]:
        if self.problem:
            raise self.problem
        self.asked.append(run)
        return ["run /bin/true"]

    async def ask(self, incident: Incident, *, actor: str) -> Any:
        return SimpleNamespace(reason=f"GitHub takes it, {actor}")


@pytest.fixture
async def known(tmp_path: Path) -> Any:
    async with await Store.open(tmp_path / "state.db") as store:
        await store.commit([finding(1)])
        (incident,) = await store.incidents.find()
        yield store, incident


def work(store: Store, issuers: Operators | None, sinks: Sequence[Any] = ()) -> ConsoleWork:
    people = {"eve": PersonConfig(name="evelyn"), "max@acme": PersonConfig(name="max", role="admin")}
    rotation = RotationConfig.model_validate({"policies": [{"every": "90d"}]})
    config = SimpleNamespace(
        sinks=sinks, rotation=rotation, inventory=(), console=SignInConfig(sign_in=True, people=people)
    )
    return ConsoleWork(store, lambda: config, lambda: issuers, b"k" * 32)  # type: ignore[arg-type,return-value]


async def test_an_action_is_shown_as_it_would_run_planned_or_not(known: tuple[Store, Incident]) -> None:
    store, incident = known
    issuers = Operators()
    pages = work(store, issuers)
    assert await pages.preview(incident, "tell") == ActionPreview("runs /bin/true", ["run /bin/true"])
    planned = await store.actions.plan(incident.id, "tell", actor="ada", needed=1, parts={"org": "acme"})
    await pages.preview(incident, "tell")
    assert [run.id for run in issuers.asked] == ["", planned.id]
    assert (await pages.preview(incident, "nothing")).problem.startswith("there is no action 'nothing'")
    assert await pages.ask(incident, "ada") == "GitHub takes it, ada"


async def test_what_cannot_be_shown_says_why(known: tuple[Store, Incident]) -> None:
    store, incident = known
    for problem in (ActionError("it is gone"), WrongValueError("it is gone"), LookupError("it is gone")):
        assert await work(store, Operators(problem)).preview(incident, "tell") == ActionPreview(problem="it is gone")
    begins = work(store, None)
    assert "is starting" in (await begins.preview(incident, "tell")).problem
    assert await begins.ask(incident, "ada") == "the monitor is starting"


async def test_people_are_those_of_the_sinks_and_users_who_may_act(known: tuple[Store, Incident]) -> None:
    store, _ = known
    for name, role in (("eve", "responder"), ("vic", "viewer"), ("out", "admin")):
        await store.users.add(name, "$argon2id$x", role, actor="ada")  # type: ignore[arg-type]
    await store.users.disable("out", actor="ada")
    sinks = [
        SimpleNamespace(people={"U1": "ada", "U2": "bob"}),
        SimpleNamespace(),
        SimpleNamespace(people={"P": "ada"}),
    ]
    assert await work(store, None, sinks).people() == ["ada", "bob", "evelyn", "max"]


async def test_what_is_due_is_that_of_the_command(known: tuple[Store, Incident]) -> None:
    prints = (Print("ab" * 32, "", 40, "hex"),)
    held = SecretVersion("KEY", "ab" * 32, environment="production", owner="ops", prints=prints)
    await known[0].inventory.save("env", [held], whole=True)
    (due,) = await work(known[0], None).rotations()
    assert (due.secret, due.standing, due.owner, due.automatic) == ("env/KEY", "later", "ops", False)
    desk = work(known[0], None)
    known[0].procedure = Procedure(None, book=runbook.load)
    opened = await desk.rotate("env/KEY", "a new vendor", "ada")
    assert await desk.rotate("env/KEY", "again", "ada") == opened
    history = await known[0].incidents.history(opened)
    assert [entry.actor for entry in history if entry.action == "run_started"] == ["ada"]
    with pytest.raises(LookupError):
        await desk.rotate("env/NONE", "", "ada")
    assert 89 < (due.at - known[0].now()) / 86_400 < 91
