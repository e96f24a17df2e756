from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from detectors.fingerprint import fingerprint
from monitor.common.inbound import HookDelivery
from monitor.domain.model import WriteBack
from monitor.github.source import GENERIC_TYPES, GitHubConfig, GitHubSource
from tests.examples import examples
from tests.fakes.alerts import MemoryIntake
from tests.fakes.github import FakeGitHub, commit

KEY = b"k" * 32
BASE = {"name": "github", "type": "github", "org": "acme", "token": "env:FAKE_GITHUB_TOKEN"}


@pytest.fixture
async def github(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAKE_GITHUB_TOKEN", FakeGitHub.token)
    async with FakeGitHub() as fake:
        yield fake
        assert fake.violations == []


def make(github: FakeGitHub, intake: MemoryIntake, **more: Any) -> GitHubSource:
    config = GitHubConfig.model_validate(BASE | {"base_url": github.url} | more)
    source = GitHubSource(config, intake, KEY)
    source.client.first_retry = 0.01
    return source


async def eventually(condition: Any, seconds: float = 60.0) -> None:
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("did not happen in time")


class Running:
    """A source that follows, ended at the end of the block."""

    def __init__(self, source: GitHubSource) -> None:
        self.source = source

    async def __aenter__(self) -> asyncio.Task[None]:
        self.task = asyncio.create_task(self.source.run(once=False))
        return self.task

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"org": ()}, "give at least one of org, repo and enterprise"),
        ({"token": None}, "give one of token and app"),
        ({"app": {"id": 1, "private_key": "file:x"}}, "give one of token and app"),
        ({"token": "ghx_literal"}, "must be a reference"),
        ({"token": None, "enterprise": "e", "app": {"id": 1, "private_key": "file:x"}}, "use a token"),
        ({"token": None, "repo": ["other/x"], "app": {"id": 1, "private_key": "file:x"}}, "one source for each"),
        ({"base_url": "http://ghe.example.org/api/v3"}, "insecure = true"),
        ({"base_url": "https://user:pw@ghe.example.org"}, "must be an address"),
        ({"repo": "not-a-repo"}, "pattern"),
        ({"org": "a/b"}, "pattern"),
        ({"interval": 5}, "must be a duration"),
        ({"interval": "0s"}, "greater than or equal to 1"),
        ({"assignee": "octocat"}, "assignee needs write_back"),
        ({"write_back": "yes"}, "off"),
        ({"orgs": ["x"]}, "Extra inputs"),
    ],
)
def test_mistakes_in_the_configuration_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        GitHubConfig.model_validate(BASE | changes)
    assert message in str(caught.value)
    assert "ghx_literal" not in str(caught.value)


def test_streams_and_host() -> None:
    config = GitHubConfig.model_validate(BASE | {"org": ["acme", "umbrella"], "repo": "acme/web", "enterprise": "big"})
    assert [stream.key for stream in config.streams()] == [
        f"{target}/{kind}"
        for kind in ("default", "generic")
        for target in ("org:acme", "org:umbrella", "repo:acme/web", "enterprise:big")
    ]
    assert config.host == "github.com"
    ghes = GitHubConfig.model_validate(BASE | {"base_url": "https://ghe.example.org/api/v3/", "generic_types": []})
    assert (ghes.host, ghes.base_url, len(ghes.streams())) == (
        "ghe.example.org",
        "https://ghe.example.org/api/v3",
        1,
    )


async def test_once_reads_everything_and_returns(github: FakeGitHub, intake: MemoryIntake) -> None:
    github.add("acme/web", "one")
    github.add("acme/web", "two", "rsa_private_key")
    github.add("other/x", "not ours")
    await make(github, intake).run(once=True)
    assert set(intake.alerts) == {"127.0.0.1/acme/web#1", "127.0.0.1/acme/web#2"}
    assert intake.problems == {}


@pytest.mark.parametrize("scope", [{"org": "acme"}, {"org": (), "repo": "acme/web"}, {"org": (), "enterprise": "big"}])
async def test_organisations_repositories_and_enterprises(
    github: FakeGitHub, intake: MemoryIntake, scope: dict[str, Any]
) -> None:
    for number in range(120):
        github.add("acme/web", f"v{number}", age=number)
    await make(github, intake, **scope).run(once=True)
    assert len(intake.alerts) == 120


async def test_the_generic_poll_names_githubs_generic_types(github: FakeGitHub, intake: MemoryIntake) -> None:
    await make(github, intake).run(once=True)
    default, generic = (query for _, path, query in github.requests if path.endswith("/alerts"))
    assert "secret_type" not in default
    assert generic["secret_type"].split(",") == list(GENERIC_TYPES)


async def test_the_first_poll_is_at_once_and_polling_goes_on(github: FakeGitHub, intake: MemoryIntake) -> None:
    github.add("acme/web", "one", age=60)
    async with Running(make(github, intake, interval="1s", generic_types=[])):
        await eventually(lambda: len(intake.alerts) == 1, 1.0)
        github.add("acme/web", "two")
        await eventually(lambda: len(intake.alerts) == 2)


async def test_a_hook_is_dealt_with_between_polls(github: FakeGitHub, intake: MemoryIntake) -> None:
    async with Running(make(github, intake, interval="1h", webhook_secret="env:HOOK_SECRET")):
        await eventually(lambda: "org:acme/generic" in intake.saved)
        github.add("acme/web", "one")
        intake.queue["d"] = HookDelivery("d", "github", "secret_scanning_alert", "acme/web", 1)
        await eventually(lambda: len(intake.alerts) == 1)
        github.add("acme/web", "two")
        intake.queue["s"] = HookDelivery("s", "github", "secret_scanning_scan", "acme/web")
        await eventually(lambda: len(intake.alerts) == 2)
        await eventually(lambda: intake.handled == {"d", "s"})


async def test_requests_to_reviewers_are_read_where_that_is_wanted_and_at_once_by_a_hook(
    github: FakeGitHub, intake: MemoryIntake
) -> None:
    github.reviews.add("bypass", "acme/web", 3 * 86_400)
    await make(github, intake).run(once=True)
    assert intake.notices == []
    source = make(github, intake, review_requests=True, interval="1h", webhook_secret="env:HOOK_SECRET")
    async with Running(source):
        await eventually(lambda: len(intake.notices) == 1)
        github.reviews.add("dismissal", "acme/web", 3 * 86_400)
        event = "dismissal_request_secret_scanning"
        intake.queue["r"] = HookDelivery("r", "github", event, "acme/web")
        await eventually(lambda: len(intake.notices) == 2)
        await eventually(lambda: intake.handled == {"r"})
    github.reviews.refused = {"acme"}
    await make(github, intake, review_requests=True).run(once=True)
    assert "the token must be of a reviewer" in intake.problems["review requests"]


async def test_a_scan_does_not_keep_other_hooks_waiting_for_a_long_walk(
    github: FakeGitHub, intake: MemoryIntake
) -> None:
    source = make(github, intake, interval="1h", webhook_secret="env:HOOK_SECRET", generic_types=[])
    going_on, polled = asyncio.Event(), 0

    async def long_walk(*_: Any, **__: Any) -> None:
        nonlocal polled
        polled += 1
        await going_on.wait()

    source.poller.poll = long_walk  # type: ignore[method-assign]
    async with Running(source):
        await eventually(lambda: polled == 1)
        github.add("acme/web", "one")
        intake.queue["s"] = HookDelivery("s", "github", "secret_scanning_scan", "acme/web")
        intake.queue["t"] = HookDelivery("t", "github", "secret_scanning_alert", "acme/web", 1)
        await eventually(lambda: intake.handled == {"s", "t"})
        assert (len(intake.alerts), polled) == (1, 1)
        going_on.set()
        await eventually(lambda: polled == 2)


async def test_a_marker_that_is_a_secret_is_told_of_as_long_as_it_is_there(
    github: FakeGitHub, intake: MemoryIntake
) -> None:
    intake.identifies = lambda text: [None] if b"secret" in text else []  # type: ignore[list-item]
    async with Running(make(github, intake, markers=["a-secret-value"])):
        await eventually(lambda: "looks like a secret" in intake.problems.get("markers", ""))
        await asyncio.sleep(0.1)
        assert "looks like a secret" in intake.problems["markers"]


@pytest.mark.parametrize("event", ["secret_scanning_alert", "assign", "secret_scanning_scan"])
async def test_a_hook_that_fails_is_put_off(github: FakeGitHub, intake: MemoryIntake, event: str) -> None:
    source = make(github, intake, generic_types=[], write_back="on", assignee="octocat")
    intake.queue["d"] = HookDelivery("d", "github", event, "acme/web", 1)
    github.faults.extend([(503, {}, None)] * 5)
    await source._answer_hooks()
    if event == "secret_scanning_scan":  # the next poll does what it asks for
        assert intake.queue == {}
    else:
        assert intake.queue["d"].attempts == 1
        assert await intake.deliveries() == []
    await source.client.close()


async def test_trouble_is_told_and_ends_when_it_ends(github: FakeGitHub, intake: MemoryIntake) -> None:
    source = make(github, intake, interval="1s", generic_types=[])
    github.faults.append((403, {}, {"message": "Resource not accessible"}))
    async with Running(source):
        await eventually(lambda: "not permitted" in intake.problems.get("org:acme/default", ""))
        await eventually(lambda: intake.problems == {})


async def test_waiting_for_a_limit_is_told(github: FakeGitHub, intake: MemoryIntake) -> None:
    source = make(github, intake, interval="1s", generic_types=[])
    github.faults.append((429, {"Retry-After": "7"}, {"message": "slow down"}))
    async with Running(source):
        await eventually(lambda: "rate limit" in intake.problems.get("rate limit", ""))


async def test_write_back_runs_when_it_is_on(github: FakeGitHub, intake: MemoryIntake) -> None:
    github.add("acme/web", "one", age=60)
    intake.writes = [WriteBack("127.0.0.1/acme/web#1", "i-1")]
    source = make(github, intake, write_back="on")
    await source.poller.poll(source.streams[0], source.streams)
    await source.run(once=True)
    assert github.alerts["acme/web", 1].resolution == "revoked"


async def test_writing_is_off_by_default(github: FakeGitHub, intake: MemoryIntake) -> None:
    github.add("acme/web", "one", age=60)
    source = make(github, intake)
    await source.poller.poll(source.streams[0], source.streams)
    intake.writes = [WriteBack("127.0.0.1/acme/web#1", "i-1")]
    await source.run(once=True)
    assert github.writes == []


@pytest.mark.parametrize("skew", [0.0, -7200.0, 7200.0])
async def test_a_github_app_whose_server_has_another_time(
    github: FakeGitHub, intake: MemoryIntake, tmp_path, skew: float
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "app.pem").write_bytes(pem)
    github.app_key, github.skew = key.public_key(), skew
    github.add("acme/web", "old", age=30 * 86_400.0)
    github.add("acme/web", "new")
    source = make(github, intake, token=None, app={"id": 4242, "private_key": f"file:{tmp_path / 'app.pem'}"})
    await source.run(once=True)
    assert [alert.quiet for _, alert in sorted(intake.alerts.items())] == [True, False]
    assert intake.problems == {}
    assert len(github.issued) == 1


async def test_the_same_secret_in_two_repositories_has_one_fingerprint(
    github: FakeGitHub, intake: MemoryIntake
) -> None:
    github.add("acme/web", "shared")
    github.add("acme/api", "shared")
    await make(github, intake).run(once=True)
    assert {alert.fingerprint for alert in intake.alerts.values()} == {fingerprint(KEY, b"shared")}


class _Canary:
    """Something whose text would give the secret away."""

    def __repr__(self) -> str:
        return "canary-secret"


async def test_a_mistake_of_ours_neither_stops_the_source_nor_shows_the_secret(
    github: FakeGitHub, intake: MemoryIntake, capsys: pytest.CaptureFixture[str]
) -> None:
    github.add("acme/web", "canary-secret")

    def fail(text: bytes) -> Any:
        raise RuntimeError(text, _Canary())

    intake.identifies = fail
    source = make(github, intake, interval="1s", generic_types=[])
    async with Running(source) as task:
        await eventually(lambda: "internal error: RuntimeError" in intake.problems.get("org:acme/default", ""))
        intake.identifies = lambda text: []
        await eventually(lambda: len(intake.alerts) == 1)
        assert not task.done()
    assert "canary" not in "".join(capsys.readouterr()) + repr(intake.problems)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(), junk=st.lists(JSON, min_size=1, max_size=6), share=st.floats(0, 0.6))
async def test_no_answer_stops_the_source(
    github: FakeGitHub,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    junk: list[Any],
    share: float,
) -> None:
    """Fields removed and replaced at random, whole answers replaced: counted, told, and read properly afterwards."""
    monkeypatch.setattr("monitor.github.limits.RATE", 1e6)  # the points of all examples are one budget's
    random_ = random.Random(seed)
    intake = MemoryIntake()
    github.alerts.clear()
    for number in range(8):
        github.add("acme/web", f"canary-{number}", locations=[commit("a"), commit("b")] if number % 2 else [])

    def mangle(kind: str, body: Any) -> Any:
        if random_.random() < share / 4:
            return random_.choice(junk)
        text = json.loads(json.dumps(body))
        for item in text if isinstance(text, list) else [text]:
            for name in list(item) if isinstance(item, dict) else []:
                if random_.random() < share:
                    if random_.random() < 0.5:
                        del item[name]
                    else:
                        item[name] = random_.choice(junk)
        return text

    source = make(github, intake, generic_types=[])
    source.client.attempts = 1
    github.mangle = mangle
    await source.run(once=True)
    github.mangle = None
    again = make(github, intake, generic_types=[], sweep="0s")
    for name in list(intake.queue):
        intake.queue.pop(name)
    await again.run(once=True)
    expected = {f"127.0.0.1/acme/web#{number}" for number in range(1, 9)}
    assert expected <= set(intake.alerts)
    assert not [name for name in expected if intake.alerts[name].provisional]
    shown = "".join(capsys.readouterr()) + repr(intake.problems) + repr(intake.saved) + repr(intake.alerts)
    assert "canary-" not in shown
