"""Secrets are planted; then everything that leaves the process is searched for them, for every sink and command."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import html
import json
import os
import re
import secrets
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from unittest.mock import MagicMock
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web

from detectors.fingerprint import fingerprint
from detectors.match.engine import Engine
from monitor.github.hook import signature
from monitor.sources import SOURCES
from monitor.web.api import routes as api_routes
from monitor.web.console import routes as console_routes
from tests.acceptance.canary import WRAPS, Canary, Search, choose, generate, plant
from tests.acceptance.harness import KEY, Monitor, fingerprints, until
from tests.acceptance.invocations import LEFT_OUT, invocations, leaves
from tests.acceptance.receivers import CONFIG, Receivers
from tests.detectors import texts
from tests.fakes.forks import Forks
from tests.fakes.github import commit
from tests.fakes.peer import test_of, ways
from tests.fakes.repository import Repository
from tests.fakes.visitors import form_in

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def search() -> Search:
    engine = texts.engine()
    chosen = choose(texts.rules(), 3)
    return Search(plant(engine, chosen, 1), plant(engine, chosen, 2))


def test_the_search_finds_a_value_however_it_is_written(search: Search) -> None:
    assert len({canary.rule for canary in search.canaries}) > 50
    fixed: list[str] = []
    for canary in search.canaries:
        for value, shown in canary.secrets.items():
            text = value.decode()
            for data in (
                *(b"x" + value, base64.b64encode(b"ab" + value), value.hex().encode(), quote(text).encode()),
                *(json.dumps({"x": text}).encode(), base64.urlsafe_b64encode(b"c" + value)),
            ):
                assert search.hits(b"before " + data + b" after"), f"{canary.rule}: not found in {data[:20]!r}…"
            if len(value) - len(shown) >= 28:
                middle = (len(value) + len(shown)) // 2  # the end may be a format's, as of a PEM
                if not search.hits(b"x" + value[middle - 7 : middle + 7] + b"x"):
                    fixed.append(canary.rule)
        assert search.hits(b" ".join(f"{shown.decode()}…".encode() for shown in canary.secrets.values())) == []
    assert len(fixed) <= 3, f"rules whose example is the same with every seed: {fixed}"


def test_every_source_is_tried() -> None:
    others = {"feed", *re.findall(r'(?m)^type = "([\w-]+)"', CONFIG)}  # what the first reads is public, and no log
    for kind in SOURCES.keys() - others - dict(ways()).keys():
        pytest.fail(f"{test_of(SOURCES[kind])} needs way_in, how lines get into {kind}: see tests/fakes/peer.py")


def test_every_command_is_tried(search: Search) -> None:
    assert set(invocations(search.canaries, str)) | {(name,) for name in LEFT_OUT} == set(leaves())


@pytest.mark.slow
async def test_no_secret_leaves_the_process(tmp_path: Path, search: Search, forks: Forks) -> None:
    canaries = search.canaries
    receivers = Receivers(tmp_path)
    handed = receivers.hand_over()
    logs = tmp_path / "logs"
    logs.mkdir()
    filler = "2026-11-02T14:03:07Z INFO request done in 12 ms\n" * 40
    half = len(canaries) // 2
    # File names are secrets too: of a log that is followed, and of what GitHub found.
    paths = list(generate(7, 2, ["plain"]))
    names = [next(iter(canary.secrets)).decode() for canary in paths]
    search = Search([*canaries, *paths], [*search.twins, *generate(8, 20, ["plain"])])
    async with receivers.serving(), aiohttp.ClientSession() as session, contextlib.AsyncExitStack() as stack:
        monitor = Monitor(tmp_path, receivers.config(), receivers.environment())
        lend_trial(tmp_path / "state" / "cache" / "trial", "generic-password")
        for number, canary in enumerate(canaries[:4], 1):
            value = next(iter(canary.secrets)).decode()
            receivers.github.add("acme/web", value, number=number, locations=[commit(f"keys/{names[0]}.txt")])
        owned = [value for canary in canaries[::2] for value in canary.secrets if b"'" not in value]
        (tmp_path / ".env").write_bytes(b"".join(b"KEY_%d='%b'\n" % pair for pair in enumerate(owned)))
        reading, writing = os.pipe()
        await monitor.start(stdin=reading)
        stack.push_async_callback(monitor.kill)
        os.close(reading)
        with (logs / "app.log").open("a") as log, open(writing, "w") as pipe:
            for canary in canaries[:half]:
                log.write(f"{filler}{canary.text}\n{filler}")
            inside = secrets.choice(canaries[:half])
            (logs / f"{names[1]}.log").write_text(f"{filler}{inside.text}\n{filler}")
            log.flush()
            ways_in = receivers.ways.values()
            for number, way in enumerate(ways_in):
                await way.feed([canary.text for canary in canaries[half + number :: len(ways_in) + 1]])
            for canary in canaries[half + len(ways_in) :: len(ways_in) + 1]:
                pipe.write(f"{filler}{canary.text}\n{filler}")
            pipe.flush()
            wanted = {fingerprint(KEY.encode(), value) for canary in canaries for value in canary.secrets}

            def missing() -> set[str]:
                return wanted - fingerprints(receivers.hook.payloads)

            await until(lambda: not missing(), 120, lambda: f"{len(missing())} of {len(wanted)} missing")

            def unnamed() -> list[str]:
                told = json.dumps(receivers.hook.payloads)
                return [name[:8] for name in names if name[:8] not in told]

            await until(lambda: not unnamed(), 120, lambda: f"no alert names the place {unnamed()}")
            (logs / "rules.yml").write_bytes((logs / "app.log").read_bytes())
            history = Repository(tmp_path / "history")
            history.commit({"app.log": (logs / "app.log").read_bytes()}, canaries[0].text, GIT_AUTHOR_NAME=names[0])
            history.git("branch", names[0])
            history.write({f"{names[1]}.log": (logs / "app.log").read_bytes()})
            arguments = ["users", "add", "ada", "--role", "admin"]
            code, made = await command(tmp_path, monitor, forks, arguments, passwords(canaries)[0])
            assert code == 0, made
            asked: set[tuple[str, str]] = set()
            outputs = await http(monitor, session, canaries, receivers, asked) | {"users": made}
            arguments = ["users", "token", "add", "probe", "--role", "admin", "--scope", "act"]
            code, made = await command(tmp_path, monitor, forks, arguments, b"")
            assert code == 0, made
            probe = made.partition(b"\n")[0].decode()
            outputs |= await programs(monitor, session, canaries, probe, asked)
            assert not unasked(asked), "ask for each page and address: what it answers is searched, too"
            await until(lambda: len(acted(tmp_path)) > len(canaries) // 4, 120, lambda: str(acted(tmp_path)))
            one = next(incident["id"] for payload in receivers.hook.payloads for incident in payload["incidents"])
            for path, calls in invocations(canaries, lambda: one).items():
                for arguments, stdin in calls:
                    name = " ".join(arguments[:2])
                    code, output = await command(tmp_path, monitor, forks, arguments, stdin)
                    assert code in (0, 1, 2, 78), f"{name}: exit code {code}: {output.decode()[-500:]}"
                    outputs[f"{len(outputs)} {name}"] = output
                if path == ("incidents", "resolve"):
                    # What the commands do reaches the sinks as well. Reopened before it is sent it would not be said.
                    await until(
                        lambda: any(payload["reason"] == "resolved" for payload in receivers.hook.payloads),
                        120,
                        lambda: "nobody was told that it is resolved",
                    )
        assert await monitor.terminate() == 0
        assert receivers.github.violations == []
    for name, payloads in receivers.received().items():
        assert payloads, f"{name} received nothing"
        outputs[name] = b"\n".join(payloads)
    outputs |= {f"seen by {path.name}": path.read_bytes() for path in handed.iterdir()}
    outputs |= {"stdout": monitor.output.encode(), "stderr": monitor.errors.encode()}
    outputs |= {str(path.name): path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()}
    assert "critical" in monitor.output.lower(), "the console sink said nothing"
    assert any(name.endswith(".db") for name in outputs)
    assert not [name for name, data in outputs.items() if probe.encode() in data]
    found = {name: hits for name, data in outputs.items() if (hits := search.hits(data))}
    assert not found, json.dumps(found, indent=1)


def lend_trial(folder: Path, rule_id: str) -> None:
    """What `test-pattern` compiles of a rule by itself: two seconds, once for all sessions."""
    with texts.shared("trial") as cache:
        Engine.build([rule for rule in texts.rules() if rule.id == rule_id], cache)
        if cache is not None:
            shutil.copytree(cache, folder)


def acted(folder: Path) -> list[str]:
    """Outcomes of actions that took what they were given."""
    with contextlib.closing(sqlite3.connect(f"file:{folder}/state/state.db?mode=ro", uri=True, timeout=5)) as database:
        return [row[0] for row in database.execute("SELECT outcome FROM actions WHERE state = 'accepted'")]


def printed(folder: Path, seed: int, count: int, wraps: Sequence[str]) -> dict[str, list[str]]:
    """What commands print about generated lines in a file whose name is a secret too: output → traces of secrets."""
    lines = list(generate(seed, count, wraps))
    name = next(generate(seed + 1, 1, ["plain"]))
    (value, *_) = name.secrets
    (folder / "logs").mkdir(exist_ok=True)
    path = folder / "logs" / f"{value.decode()}.log"
    path.write_text("".join(f"{canary.text}\n" for canary in lines))
    config = folder / "scan.toml"
    config.write_text('[monitor]\nstate_dir = "scan-state"\n[rules]\npacks = ["vcs/github"]\n')
    search = Search([*lines, name], [*generate(seed + 2, 20, list(WRAPS))])
    calls = [["scan", "logs", "--format", form] for form in ("text", "json", "jsonl", "sarif")]
    calls += [["scan", "logs", "--write-baseline", "known.json"]]
    calls += [["test-pattern", "--rule", "github-pat", f"logs/{path.name}", "--no-cost", "--format", form]
              for form in ("text", "json")]  # fmt: skip
    assert search.hits("".join(canary.text for canary in lines[:20]).encode()), "the search finds nothing at all"
    hits: dict[str, list[str]] = {}
    for arguments in calls:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = Forks.shared().run_bytes(*arguments, "--config", str(config), cwd=folder, env=environment)
        assert done.returncode in (0, 1), done.stderr[-500:]
        output = done.stdout + done.stderr
        if arguments[0] == "test-pattern":
            output = output.replace(value, b"")  # it says which file it was told to read
        assert b"ghp_" in output or "--write-baseline" in arguments
        if found := search.hits(output):
            hits[" ".join([*arguments[:1], *arguments[2:]])] = found
    known = (folder / "known.json").read_bytes()
    assert b"fingerprint" in known
    if found := search.hits(known):
        hits["baseline"] = found
    path.unlink()
    return hits


def test_no_generated_line_is_printed(tmp_path: Path) -> None:
    assert not printed(tmp_path, 1, 150, ["plain", "json", "base64", "hex"])


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_no_generated_line_of_fifty_thousand_is_printed(tmp_path: Path) -> None:
    for batch in range(20):
        found = printed(tmp_path, 1000 + 10 * batch, 2500, list(WRAPS))
        assert not found, f"seed {1000 + 10 * batch}: {json.dumps(found, indent=1)[:4000]}"


def unasked(asked: set[tuple[str, str]]) -> list[str]:
    """Addresses of the console and the API that nobody has asked for, with what is done there."""
    left = []
    for route in (*console_routes(MagicMock()), *api_routes(MagicMock())):
        at = web.UrlDispatcher().add_resource(route.path).get_info()
        pattern = at["pattern"] if "pattern" in at else re.compile(re.escape(at["path"]))
        if not any(method == route.method and pattern.fullmatch(path) for method, path in asked):
            left.append(f"{route.method} {route.path}")
    return left


async def http(
    monitor: Monitor,
    session: aiohttp.ClientSession,
    canaries: list[Canary],
    receivers: Receivers,
    asked: set[tuple[str, str]],
) -> dict[str, bytes]:
    """Every answer of the daemon's own server, with headers; also to questions that quote a secret. `asked`: method and
    path of each are added."""
    answers: dict[str, bytes] = {}
    signed_in: dict[str, str] = {}

    async def get(path: str, status: int = 200) -> str:
        asked.add(("GET", path.partition("?")[0]))
        async with session.get(f"{monitor.address}{path}", headers={"Accept": "text/html", **signed_in}) as answer:
            body = await answer.read()
            answers[f"GET {path[:24]} {len(answers)}"] = str(answer.headers).encode() + body
            assert answer.status in (status, 404, 400), path
            return body.decode()

    async def post(path: str, status: int, **fields: str) -> str:
        asked.add(("POST", path))
        headers = {"Origin": str(monitor.address), "Accept": "text/html", **signed_in}
        url = f"{monitor.address}{path}"
        async with session.post(url, data=fields, headers=headers, allow_redirects=False) as answer:
            body = await answer.read()
            answers[f"POST {path} {len(answers)}"] = str(answer.headers).encode() + body
            assert answer.status == status, path
            if "monitor_session" in answer.cookies:
                signed_in["Cookie"] = f"monitor_session={answer.cookies['monitor_session'].value}"
            return body.decode()

    await sign_in(canaries, get, post)
    for path in ("/metrics", "/status", "/healthz", "/readyz", "/", "/nothing"):
        await get(path)
    for path in (
        "/sinks",
        "/overview",
        "/silences",
        "/noise",
        "/checklist",
        "/keys",
        "/incidents/new?since=0",
        "/routes",
        "/inventory",
        "/rotation",
        "/access",
        "/drills",
        "/trail",
    ):
        await get(path)
    await silence(canaries, get, post)
    for listing, link in (("/sources", r'href="(/sources/[\w.-]+)"'), ("/outbox", r'href="(/outbox/\w+)"')):
        for path in re.findall(link, await get(listing)):
            await get(path)
    listing = await get("/incidents?state=all")
    ids = re.findall(r'href="/incidents/(\w+)"', listing)
    while following := re.search(r'rel="next" href="([^"]+)"', listing):
        listing = await get(html.unescape(following[1]))
        ids += re.findall(r'href="/incidents/(\w+)"', listing)
    for path in ("/incidents.csv?state=all", "/incidents.jsonl?state=all", "/incidents?severity=nothing"):
        await get(path)
    assert len(ids) >= len(canaries) // 2
    for name in ids:
        page = await get(f"/incidents/{name}")
        for book in set(re.findall(r'href="(/runbooks/[\w-]+)"', page)):
            await get(book)
    async with session.get(f"{monitor.address}/events", headers=signed_in) as stream:
        asked.add(("GET", "/events"))
        answers["GET /events"] = str(stream.headers).encode() + await stream.content.readuntil(b"}\n\n")
    await many(canaries, ids, get, post)
    for name in ids[:9]:
        for below in ("report", "report.md", "report.svg", "turn", "actions/revoke", f"merge?other={ids[-1]}"):
            await get(f"/incidents/{name}/{below}")
    for path in set(re.findall(r'(?:href|src)="(/static/[^"]+)"', listing + page)):
        await get(path)
    await act(canaries, ids, get, post)
    value = next(value for canary in canaries for value in canary.secrets if value.isalnum()).decode()
    # The answer may say what was asked, so only what is logged of these is searched, with the rest of stderr.
    for path in (f"/incidents/{value}", f"/runbooks/{value}", f"/{value}", f"/metrics?token={value}"):
        async with session.get(f"{monitor.address}{path}", headers={"Authorization": f"Bearer {value}"}) as answer:
            answers[f"asked {len(answers)}"] = await answer.read()
    form = form_in(await get("/account"))
    await post("/sign-out", 303, **form)
    body = json.dumps(
        {"action": "created", "alert": {"number": 1, "secret": value}, "repository": {"full_name": "acme/web"}}
    ).encode()
    for key in (b"hook secret of the test", b"wrong"):
        headers = {
            "X-Hub-Signature-256": f"sha256={signature(key, body)}",
            "X-GitHub-Event": "secret_scanning_alert",
            "X-GitHub-Delivery": secrets.token_hex(8),
        }
        async with session.post(f"{monitor.address}/hooks/github", data=body, headers=headers) as answer:
            answers[f"hook {len(answers)}"] = await answer.read()
    return answers


async def sign_in(
    canaries: list[Canary], get: Callable[..., Awaitable[str]], post: Callable[..., Awaitable[str]]
) -> None:
    """As ada, whose password is a secret like others, and after all that can be mistyped."""
    password, *others = (value.decode() for value in passwords(canaries))
    await get(f"/sign-in?next={others[0]}&ended={others[1]}")
    for name in ("ada", password, f"{others[0]} x"):
        await post("/sign-in", 401, name=name, password=others[0], next=f"https://{others[0]}.example/")
    await post("/sign-in", 400, name="ada", password=f"{others[0]}{'x' * 4000}")
    await post("/sign-in", 303, name="ada", password=password)
    form = form_in(await get("/account"))
    for given, fresh in ((others[0], others[0]), (password, "short"), (password, others[0])):
        await post("/account/password", 400, password=given, fresh=fresh, again=others[1], **form)
    await post("/account/sessions", 403, form=others[0], once=others[0])
    await get(f"/sign-in/openid?next={others[0]}", 404)
    await get(f"/sign-in/openid/return?state={others[0]}&code={others[1]}", 404)


async def act(
    canaries: list[Canary], ids: list[str], get: Callable[..., Awaitable[str]], post: Callable[..., Awaitable[str]]
) -> None:
    """What else is pressed on pages, with a secret where something is written."""
    value, said = passwords(canaries)[0].decode(), {"note": f"seen {canaries[1].text}"}
    for path, status, fields in (
        (f"/incidents/{ids[0]}", 303, {"verb": "note", **said}),
        (f"/incidents/{ids[0]}/ask", 303, {}),
        (f"/sinks/{value[:64]}/test", 303, {}),
        (f"/outbox/{'0' * 32}/retry", 303, said),
        (f"/silences/{'0' * 8}/end", 303, said),
        ("/rotation/start", 303, {"name": value, **said}),
        ("/trail/verify", 303, {}),
        ("/drills/preview", 400, {"source": value, "rule": "github-pat"}),
        ("/drills", 400, {"source": value, "rule": value}),
    ):
        await post(path, status, **form_in(await get("/account")), **fields)


async def many(
    canaries: list[Canary], ids: list[str], get: Callable[..., Awaitable[str]], post: Callable[..., Awaitable[str]]
) -> None:
    """Change many, with secrets in what people write and in what a form should not hold."""
    value = passwords(canaries)[0].decode()
    written = {"note": f"seen {canaries[1].text}", "list": f"/incidents?q={ids[0]}", "verb": "ack"}
    look = await post("/incidents/bulk", 200, scope="all", **form_in(await get("/account")), **written)
    (digest,) = re.findall(r'name="digest" value="(\w+)"', look)
    for more, status in (({"scope": "seen", "digest": digest}, 303), ({"scope": "ticked", f"pick.{value}": "on"}, 400)):
        form = form_in(await get("/account"))
        await post("/incidents/bulk", status, **form, **written, **more)
        await get(f"/incidents/bulk/{form['once']}")


async def silence(
    canaries: list[Canary], get: Callable[..., Awaitable[str]], post: Callable[..., Awaitable[str]]
) -> None:
    """With a secret in each field, and asking where an incident with one would go."""
    value = passwords(canaries)[1].decode()
    form = form_in(await get("/silences"))
    said = {"matchers": f'path="{value}"', "for": "1h", "note": f"token={value}"}
    for path in ("/silences/preview", "/silences"):
        await post(path, 400, **said, **form)
    await post("/silences/preview", 400, **said | {"matchers": value, "for": value}, **form)
    await post("/noise", 400, rule=value, to="low", note=f"token={value}", **{"for": value}, **form)
    await post("/outbox/discard", 303, sink="none", shown="0", note=f"token={value}", **form)
    await get(f"/routes?labels=path%3D{value}")


async def programs(
    monitor: Monitor,
    session: aiohttp.ClientSession,
    canaries: list[Canary],
    token: str,
    asked: set[tuple[str, str]],
) -> dict[str, bytes]:
    """Every answer of the API, also to bodies, keys and addresses that hold a secret. `asked`: as for `http`."""
    answers: dict[str, bytes] = {}
    value = passwords(canaries)[0].decode()

    async def ask(method: str, path: str, *statuses: int, body: object = None) -> bytes:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"{value} {len(answers)}"}
        asked.add((method, f"/api/v1/{path.partition('?')[0]}"))
        url = f"{monitor.address}/api/v1/{path}"
        async with session.request(method, url, json=body, headers=headers) as answer:
            stream = answer.content_type == "text/event-stream"
            said = await (answer.content.readuntil(b"}\n\n") if stream else answer.read())
            answers[f"API {method} {path[:24]} {len(answers)}"] = str(answer.headers).encode() + said
            assert answer.status in statuses, (path[:24], answer.status)
            return said

    for path in ("openapi.json", "sources", "sinks", "silences", "noise", "outbox?limit=500", "events"):
        await ask("GET", path, 200)
    rows = json.loads(await ask("GET", "incidents?state=all&limit=500", 200))["incidents"]
    for row in rows[:9]:
        await ask("GET", f"incidents/{row['id']}?include=steps,history", 200)
        note = {"note": f"token={value} {canaries[1].text}"}
        for verb in ("note", "ack", "reopen"):
            await ask("POST", f"incidents/{row['id']}/{verb}", 200, 409, body=note)
    one = f"incidents/{rows[0]['id']}"
    for path, body in (
        *((f"{one}/assign", {"to": value[:64]}), (f"{one}/silence", {"for": value[:40]}), (f"{one}/note", {value: 1})),
        *((f"{one}/claim", {"step": value[:64]}), (f"{one}/run", {"action": value[:64]}), (f"{one}/ack", [value])),
        ("silences", {"matchers": [f"path={value}"], "for": "1h", "note": value}),
        ("silences", {"matchers": [value], "for": value[:40], "note": value}),
        *((f"incidents/{value}/ack", {}), (f"{one}/{value}", {}), (f"outbox/{value}/retry", {})),
        *((f"outbox/{'0' * 32}/retry", {"note": value}), (f"silences/{'0' * 8}/end", {"note": value})),
        *((f"sinks/{value[:64]}/test", {}), ("incidents/bulk", {"verb": value, "ids": [value], "note": value})),
        ("incidents/bulk", {"verb": "ack", "filter": {"q": value}, "expected": 10**6, "note": value}),
        ("incidents/bulk", {"verb": "ack", "filter": {value: value}, "expected": 1}),
    ):
        await ask("POST", path, 400, 404, 409, 422, body=body)
    for path in (
        f"incidents?{value}=x",
        f"incidents?severity={value}",
        f"outbox?after={value}",
        f"noise?sort={value}",
        value,
        f"{one}?x={value}",
    ):
        await ask("GET", path, 400, 404)
    async with session.get(
        f"{monitor.address}/api/v1/sinks", headers={"Authorization": f"Bearer exm_{value}"}
    ) as answer:
        answers["API asked"] = await answer.read()
        assert answer.status == 401
    return answers


def passwords(canaries: list[Canary]) -> list[bytes]:
    """Secrets that can be passwords."""
    return [value for canary in canaries for value in canary.secrets if value.isalnum() and 20 <= len(value) <= 200][:3]


async def command(
    folder: Path, monitor: Monitor, forks: Forks, arguments: list[str], stdin: bytes
) -> tuple[int | None, bytes]:
    """Exit code, and standard output and standard error together. `run --once` gets a state of its own."""
    environment = {**monitor.environment, "MONITOR_CONFIG": str(monitor.config), "COLUMNS": "500"}
    if arguments[0] == "run":
        second = folder / "second.toml"
        text = monitor.config.read_text().replace('state_dir = "state"', 'state_dir = "state/second"')
        text = text.replace("automatic = ", "# automatic = ")  # one of them acts
        text = text.replace('burst = "1000/1m"', 'group_by = ["severity"]')  # a chat takes a message a second
        # Another session than that of the daemon, which would be thrown out.
        second.write_text(text.replace('topics = ["logs/#"]', 'topics = ["logs/#"]\nclient_id = "second"'))
        environment["MONITOR_CONFIG"] = str(second)
        (folder / "state" / "second").mkdir(mode=0o700)
        texts.lend(folder / "state" / "second" / "cache")
    done = await asyncio.to_thread(forks.run_bytes, *arguments, cwd=folder, env=environment, stdin=stdin)
    return done.returncode, done.stdout + done.stderr
