"""The monitor asks by itself, and a command asks about what is stored."""

from __future__ import annotations

import asyncio
import functools
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import structlog

from detectors.fingerprint import fingerprint
from detectors.rules.template import expand
from monitor.config.config import parse
from monitor.domain.incidents import Incident
from monitor.store import Store
from monitor.verify.asker import Asker
from monitor.verify.take import Taken
from monitor.verify.verifier import Verifier
from tests.acceptance.harness import Monitor
from tests.acceptance.harness import until as waited
from tests.detectors import texts
from tests.fakes.forks import Forks
from tests.fakes.github import FakeGitHub
from tests.fakes.issuer import BAD_CREDENTIALS, FakeIssuer
from tests.fakes.server import Fault
from tests.fakes.webhook import FakeWebhook
from tests.monitor.store.helpers import finding

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
[[routes]]
sinks = ["hook"]
group_interval = "1s"
[rules]
packs = ["vcs/github"]
[verify]
providers = ["github"]
automatic = true
servers = {{ github = "{url}" }}
private = ["github"]
timeout = "60s"
severities = [{{ matchers = ['validity="refused"'], severity = "low" }}]
"""


async def until(condition: Callable[[], object]) -> None:
    await waited(condition, 120, lambda: "it did not come to pass")


class Scene:
    def __init__(self, root: Path, hook: FakeWebhook, issuer: FakeIssuer) -> None:
        self.root, self.hook, self.issuer = root, hook, issuer
        (root / "logs").mkdir()
        self.monitor = Monitor(root, CONFIG.format(url=issuer.url), {"HOOK_URL": f"{hook.url}/hook"})

    def plant(self, value: str) -> None:
        with (self.root / "logs/app.log").open("a") as log:
            log.write(f"refused token={value} here\n")

    def told(self) -> list[str | None]:
        """What the sink was told of validity, in order."""
        return [one["validity"] for payload in self.hook.payloads for one in payload["incidents"]]

    async def command(self, *arguments: str, stdin: str = "") -> tuple[int, str]:
        arguments = (*arguments, "--config", str(self.monitor.config))
        run = functools.partial(Forks.shared().run, cwd=self.root, env=self.monitor.environment, stdin=stdin)
        done = await asyncio.to_thread(run, *arguments)
        return done.returncode, done.stdout + done.stderr

    def traces(self, value: str) -> list[str]:
        """Files of the state, and outputs, that hold the value."""
        files = {path.name: path.read_bytes() for path in (self.root / "state").rglob("*") if path.is_file()}
        files |= {"out": self.monitor.output.encode(), "err": self.monitor.errors.encode()}
        files["told"] = json.dumps(self.hook.payloads).encode()
        return [name for name, data in files.items() if value.encode() in data]


async def test_a_new_incident_is_asked_about_and_the_sink_hears_of_it(tmp_path: Path) -> None:
    value = expand("ghp_{alnum:30}{crc32}", 11)
    async with (
        FakeWebhook() as hook,
        FakeIssuer(value, 200, {"login": "octocat"}, {"X-OAuth-Scopes": "repo"}) as issuer,
    ):
        scene = Scene(tmp_path, hook, issuer)
        await scene.monitor.start()
        scene.plant(value)
        await until(lambda: "valid" in scene.told())
        [answer] = [one for payload in hook.payloads for one in payload["incidents"] if one["validity"]][:1]
        assert answer["verified"] == {"account": "octocat", "scopes": "repo"}
        assert answer["asked_at"].endswith("Z")
        assert len(issuer.requests) == 1
        assert await scene.monitor.terminate() == 0
        assert scene.traces(value) == []


async def test_a_kill_while_the_issuer_is_asked_asks_again(tmp_path: Path) -> None:
    value = expand("ghp_{alnum:30}{crc32}", 12)
    async with FakeWebhook() as hook, FakeIssuer(value, 401, BAD_CREDENTIALS) as issuer:
        scene = Scene(tmp_path, hook, issuer)
        issuer.always = Fault(hang=True)
        await scene.monitor.start()
        scene.plant(value)
        await until(lambda: len(issuer.requests) >= 1)
        # The alert does not wait for the answer.
        await until(lambda: scene.told() == [None])
        await scene.monitor.kill()
        issuer.always = None
        await scene.monitor.start()
        await until(lambda: "low" in _severities(scene.root))
        assert await scene.monitor.terminate() == 0
        assert scene.traces(value) == []


def _severities(root: Path) -> list[str]:
    with closing(sqlite3.connect(root / "state/state.db")) as database:
        return [row[0] for row in database.execute("SELECT severity FROM incidents")]


async def test_a_person_asks_about_an_incident(tmp_path: Path) -> None:
    value = expand("ghp_{alnum:30}{crc32}", 13)
    async with FakeWebhook() as hook, FakeIssuer(value, 401, BAD_CREDENTIALS) as issuer:
        scene = Scene(tmp_path, hook, issuer)
        (tmp_path / "config.toml").write_text(
            (tmp_path / "config.toml").read_text().replace("automatic = true", "automatic = false")
        )
        scene.plant(value)
        await scene.monitor.start()
        await until(lambda: scene.told() == [None])
        one = hook.payloads[0]["incidents"][0]["id"]
        code, shown = await scene.command("verify", one, "--format", "json")
        assert (code, json.loads(shown)["validity"]) == (0, "refused")
        code, shown = await scene.command("incidents", "show", one)
        assert "refused: GitHub refuses it" in shown
        assert "verified by" in shown
        code, shown = await scene.command("verify", one, "--value-from", "-", stdin=value + "x")
        assert (code, "fingerprint is another" in shown) == (2, True)
        (tmp_path / "logs/app.log").unlink()
        code, shown = await scene.command("verify", one)
        assert (code, "in no file" in shown) == (1, True)
        code, shown = await scene.command("verify", one, "--value-from", "-", stdin=value)
        assert code == 0
        assert await scene.monitor.terminate() == 0
        assert scene.traces(value) == []


async def test_a_new_secret_that_works_finishes_the_step_that_makes_it(tmp_path: Path) -> None:
    value, new = (expand("ghp_{alnum:30}{crc32}", seed) for seed in (14, 15))
    async with FakeWebhook() as hook, FakeIssuer(new, 401, BAD_CREDENTIALS) as issuer:
        scene = Scene(tmp_path, hook, issuer)
        (tmp_path / "config.toml").write_text(
            (tmp_path / "config.toml").read_text().replace("automatic = true", "automatic = false")
        )
        scene.plant(value)
        await scene.monitor.start()
        await until(lambda: scene.told() == [None])
        assert await scene.monitor.terminate() == 0
        one = hook.payloads[0]["incidents"][0]["id"]

        async def asked(given: str) -> tuple[int, str, str]:
            code, said = await scene.command("verify", one, "--replacement", "--value-from", "-", stdin=given)
            _, run = await scene.command("runbook", "show", one, "--format", "json")
            [step] = [step for step in json.loads(run)["steps"] if step["id"] == "replace"]
            return code, said, f"{step['state']}: {step['note']}"

        code, said, state = await asked(value)
        assert (code, "the exposed secret itself" in said, state) == (2, True, "open: ")
        assert issuer.requests == []
        code, said, state = await asked(new)
        assert (code, said, state) == (1, "refused: GitHub refuses it (HTTP 401)\n", "open: ")
        issuer.status = 200
        code, said, state = await asked(new)
        assert (code, "valid: GitHub takes it" in said) == (0, True)
        assert state.startswith("done: the new secret works: GitHub takes it (HTTP 200), asked by ")
        _, shown = await scene.command("incidents", "show", one)
        assert "verified" not in shown, "the old one was not asked about"
        assert scene.traces(value) == scene.traces(new) == []


async def test_an_alert_of_github_is_asked_for_its_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no log has it: whole, or as our rules take it out of GitHub's value."""
    value = expand("ghp_{alnum:30}{crc32}", 51)
    async with FakeGitHub() as github:
        monkeypatch.setenv("GITHUB_TOKEN", github.token)
        github.add("acme/web", value, number=7)
        config = parse(
            f'[[sources]]\nname = "gh"\ntype = "github"\norg = "acme"\ntoken = "env:GITHUB_TOKEN"\n'
            f'base_url = "{github.url}"\ninterval = "1h"\n',
            tmp_path / "config.toml",
        )
        engine = texts.engine()
        key = b"k" * 32
        async with await Store.open(tmp_path / "state.db") as store:
            asker = Asker(store, Verifier(config.verify), key, lambda: engine, lambda: config)

            async def taken(secret: str, **labels: str) -> str | None:
                found = finding("a", fingerprint=fingerprint(key, secret.encode()), source="gh", labels=labels)
                await store.commit([found])
                one = await asker.take(await store.incidents.get(found.fingerprint))
                return one.value if one else None

            assert await taken(value, github="acme/web#7") == value
            assert await taken("another", github="acme/web#7") is None
            assert await taken("without a label") is None


async def test_nobody_is_asked_about_a_canary(tmp_path: Path) -> None:
    """Also where it is found as a token of GitHub: whoever learns of it there could tell that it is none."""
    value, key = expand("ghp_{alnum:30}{crc32}", 52), b"k" * 32
    (log := tmp_path / "app.log").write_text(f"token={value}\n")
    async with FakeIssuer(value) as issuer:
        text = CONFIG.format(url=issuer.url).replace("logs/*.log", str(log)).replace("env:HOOK_URL", issuer.url)
        config = parse(text, tmp_path / "config.toml")
        engine = texts.engine()
        async with await Store.open(tmp_path / "state.db") as store:
            asker = Asker(store, Verifier(config.verify), key, lambda: engine, lambda: config)
            print_ = fingerprint(key, value.encode())
            await store.canaries.plant("bird", [print_], rule="github-pat", place="", path=None, by="ada")
            await store.commit([finding("a", fingerprint=print_, source="app", path=str(log))])
            incident = await store.incidents.get(print_)
            assert await asker.take(incident) is not None
            for given in (None, value):
                verdict = await asker.ask(incident, actor="ada", value=given)
                assert (verdict.status, verdict.provider) == ("unknown", "")
                assert "a canary is nobody's" in verdict.reason
        assert issuer.requests == []


async def test_one_that_nobody_can_ask_about_holds_up_no_other(tmp_path: Path) -> None:
    """A mistake of ours at one secret: it is put off, and those behind it are asked about at once."""
    config = parse(
        CONFIG.format(url="http://127.0.0.1:1").replace("env:HOOK_URL", "http://127.0.0.1:1"), tmp_path / "config.toml"
    )
    asked: list[str] = []

    class Stumbling(Asker):
        async def take(self, incident: Incident) -> Taken | None:
            asked.append(incident.id)
            if incident.id == first:
                raise RuntimeError("unexpected s3cr3t")
            return None

    async with await Store.open(tmp_path / "state.db") as store:
        asker = Stumbling(store, Verifier(config.verify), b"k" * 32, texts.engine, lambda: config)
        await asker.look()
        first, second = sorted(finding(name).fingerprint[:16] for name in "ab")
        await store.commit([finding("a", rule="github-pat"), finding("b", 1, rule="github-pat")])
        with structlog.testing.capture_logs() as logs:
            await asker.once()
        assert asked == [first, second]
        assert [one.incident.id for one in await store.verdicts.due()] == []
        assert "s3cr3t" not in str(logs)
        due = await store.verdicts.next_due()
        assert due is not None, "it is asked about later"
        assert due > store.now()


async def test_what_may_be_good_from_elsewhere_is_refused_only_if_it_was_taken_from_this_host(tmp_path: Path) -> None:
    value = expand("hvs.{alnum:24}", 1)
    key = b"k" * 32
    async with FakeIssuer(value, 403, '{"errors":["permission denied"]}\n') as issuer:
        vault = f'[verify]\nproviders = ["vault"]\nservers = {{ vault = "{issuer.url}" }}\nprivate = ["vault"]\n'
        config = parse(vault, tmp_path / "config.toml")
        found = finding("a", rule="vault-service-token", fingerprint=fingerprint(key, value.encode()))

        async def ask(store: Store, **more: bool) -> str:
            asker = Asker(store, Verifier(config.verify), key, texts.engine, lambda: config)
            known = await store.incidents.get(found.fingerprint)
            return (await asker.ask(known, actor="ada", value=value, **more)).status

        async with await Store.open(tmp_path / "state.db", node="one") as store:
            await store.commit([found])
            assert await ask(store) == "unknown"
            issuer.status, issuer.body = 200, {"data": {"display_name": "token"}}
            assert await ask(store) == "valid"
            issuer.status, issuer.body = 403, '{"errors":["permission denied"]}\n'
        async with await Store.open(tmp_path / "state.db", node="other") as store:
            assert await ask(store) == "unknown", "it may be good from that host only"
            kept = (await store.incidents.get(found.fingerprint)).verified
            assert kept is not None
            assert (kept.validity, kept.facts["asked_from"]) == ("valid", "one")
            assert await ask(store, taken=True) == "refused"
        async with await Store.open(tmp_path / "again.db", node="one") as store:
            await store.commit([found])
            issuer.status, issuer.body = 200, {"data": {"display_name": "token"}}
            assert await ask(store) == "valid"
            issuer.status, issuer.body = 403, '{"errors":["permission denied"]}\n'
            assert await ask(store) == "refused"
            assert await ask(store) == "unknown"
            assert (await store.incidents.get(found.fingerprint)).verified.validity == "refused"  # type: ignore[union-attr]
