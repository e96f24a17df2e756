"""Every text of every payload, with a secret across every place where texts are cut: no half of it comes through."""

from __future__ import annotations

import copy
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from detectors.rules.template import expand
from monitor.access.reader import Reader
from monitor.common.outside import LABEL, NAME, PATH
from monitor.domain.model import Block
from monitor.github import alerts, runs
from monitor.github.exposure import Exposure
from monitor.github.join import SecretIdentity
from monitor.github.join import record as joined
from monitor.host import SourceIntake
from monitor.report import document
from monitor.report.dossier import Dossier
from monitor.site import Site
from monitor.sources import container, entries, lines, loki, otlp
from monitor.sources.feed import FeedConfig, FeedSource
from monitor.sources.joblog import CiJob, JobLogs
from monitor.sources.journal.config import JournalConfig
from monitor.sources.journal.entries import JournalEntry
from monitor.sources.journal.records import Records
from monitor.sources.mqtt import MqttSource, MqttSourceConfig
from monitor.sources.pushed import Pushed, blocks
from monitor.sources.syslog import SyslogSource
from monitor.sources.syslog_config import SyslogConfig
from monitor.verify.config import VerifyConfig
from monitor.verify.probe import ProbeResponse, fact, probe_of
from monitor.verify.verifier import Verifier
from tests.fakes.github_actions import FakeActions
from tests.fakes.setup import Setup, running, until
from tests.fakes.webhook import FakeWebhook

CUTS = sorted({LABEL, NAME, PATH, 40, 80, 120, 200, 512, 1000, 2000})  # at least as far apart as a token is long
KEY = b"k" * 32
SEEN = 12  # characters of a secret, behind the word that its rule begins with, that nothing may show
NAMES = "lines loki otlp journal syslog mqtt container feed github ci exposure access verdict lost".split()
TOKENS = {name: expand("acme_{lower:20}{digit:12}", name) for name in NAMES}


def text(token: str, *, most: int = PATH, least: int = 0) -> str:
    """One in which a token begins before each cut and all but a character of it comes before that."""
    found = ""
    for cut in (cut for cut in CUTS if least <= cut <= most):
        found = f"{found:-<{cut - len(token)}}/{token}"
    return found


def walked(payload: Any, put: str, keep: Iterable[str] = ()) -> Iterator[Any]:
    """`payload` with each of its texts in turn replaced by `put`, but for those under the names in `keep`."""

    def places(value: Any, way: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        if isinstance(value, str):
            yield way
        elif isinstance(value, dict | list):
            for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
                yield from places(inner, (*way, key)) if key not in keep else ()

    for *way, last in places(payload, ()):
        one = copy.deepcopy(payload)
        inner = one
        for step in way:
            inner = inner[step]
        inner[last] = put
        yield one


LINE = {
    **dict.fromkeys("service app application appname host hostname level severity trace_id file path filename".split()),
    **dict.fromkeys(("service.name", "host.name", "log.level", "trace.id", "log.file.path", "message")),
    "kubernetes": dict.fromkeys(
        "container_name host namespace_name pod_namespace pod_name container_image".split(), "named"
    ),
}
LOKI = "service_name service app job host instance node_name namespace pod container level filename".split()
OTLP = [*otlp._FACTS, "log.file.path", "log.file.name"]
JOURNAL = (
    "_SYSTEMD_UNIT _SYSTEMD_USER_UNIT SYSLOG_IDENTIFIER _COMM _PID _HOSTNAME CONTAINER_NAME CONTAINER_ID IMAGE_NAME"
)


def of_lines(token: str) -> Iterator[Pushed]:
    for name, inner in LINE.items():  # each alone, as the first of those that mean the same counts
        for one in walked({name: inner or "named", "text": f"token={token}"}, text(token), ("text",)):
            yield from lines.from_lines(orjson.dumps(one))
            yield from lines.from_lines(orjson.dumps([one]))


def of_loki(token: str) -> Iterator[Pushed]:
    put = text(token)
    for name in LOKI:
        entry = [str(time.time_ns()), f"token={token}"]
        yield from loki.from_json(orjson.dumps({"streams": [{"stream": {name: put}, "values": [entry]}]}))
        about = {"stream": {"a": "b"}, "values": [[*entry, {name: put}]]}
        yield from loki.from_json(orjson.dumps({"streams": [about]}))
        request = loki.PushRequest()
        stream = request.streams.add(labels=f'{{{name}="{put}"}}'.encode())
        stream.entries.add(line=f"token={token}".encode())
        yield from loki.from_protobuf(request.SerializeToString())


def of_otlp(token: str) -> Iterator[Pushed]:
    put = text(token)
    for name in OTLP:
        pair = {"key": name, "value": {"stringValue": put}}
        record = {"body": {"stringValue": f"token={token}"}, "severityText": put, "attributes": [pair]}
        scopes = [{"scope": {"attributes": [pair]}, "logRecords": [record]}]
        request = {"resourceLogs": [{"resource": {"attributes": [pair]}, "scopeLogs": scopes}]}
        yield from otlp.from_json(orjson.dumps(request))
        yield from otlp.from_protobuf(ParseDict(request, ExportLogsServiceRequest()).SerializeToString())


def of_journal(token: str) -> Iterator[Block]:
    config = JournalConfig.model_validate({"name": "j", "type": "journal"})
    source = Records(config, None, "", "")  # type: ignore[arg-type]
    for name in JOURNAL.split():
        fields = {"MESSAGE": f"token={token}", "__CURSOR": name, name: text(token)}
        block = source._block(JournalEntry({field: value.encode() for field, value in fields.items()}))
        assert block is not None
        yield block


def of_syslog(token: str) -> Iterator[Block]:
    source = SyslogSource(SyslogConfig.model_validate({"name": "s", "type": "syslog"}), None, KEY)  # type: ignore[arg-type]
    # Each field with what it may hold at most, and with more.
    for host, app, pid in ((250, 40, 120), (300, 40, 40), (40, 60, 40), (40, 40, 140), (250, 48, 128)):
        put = [text(token, most=length) or token for length in (host, app, pid)]
        said = (f"<13>1 2026-11-02T13:58:12Z {' '.join(put)} - - x", f"<13>{put[0]} {put[1]}[7]: x", f"<13>{put[1]}: x")
        for number, message in enumerate(said):
            yield source._record(f"{message} token={token}".encode(), "192.0.2.7", f"{host}{number}", 0)


def of_mqtt(token: str) -> Iterator[Block]:
    source = MqttSource(
        MqttSourceConfig.model_validate({"name": "m", "type": "mqtt", "host": "h", "topics": ["#"]}),
        None,  # type: ignore[arg-type]
        KEY,
    )
    for topic, payload in ((text(token), {}), ("logs", {"service": text(token)})):
        said = SimpleNamespace(topic=topic, payload=orjson.dumps({**payload, "x": f"token={token}"}))
        yield source._block(said, topic.encode()[:8])  # type: ignore[arg-type]


def of_container(token: str, folder: Path) -> Iterator[Block]:
    name = f"{folder}/{'4f' * 32}/{'4f' * 32}-json.log"
    Path(name).parent.mkdir()
    described = {"Name": f"/{text(token)}", "Config": {"Image": text(token)}}
    (Path(name).parent / "config.v2.json").write_text(json.dumps(described))
    ids = f"{'ab' * 32}"
    for number, path in enumerate(
        (
            name,
            *(f"/var/log/pods/{token}_pod_uid/app/0.log", f"/var/log/pods/ns_{token}_uid/app/0.log"),
            *(f"/var/log/pods/ns_pod_{token}/app/0.log", f"/var/log/pods/ns_pod_uid/{token}/0.log"),
            *(f"/var/log/containers/{token}_ns_app-{ids}.log", f"/var/log/containers/pod_{token}_app-{ids}.log"),
            f"/var/log/containers/pod_ns_{token}-{ids}.log",
            f"/var/log/app/{token}.log",
        )
    ):
        about = container._about(path)
        yield Block("c", path, f"g{number}", 0, f"token={token}\n".encode(), time.time(), attributes=about)


async def record_feed(intake: SourceIntake, token: str) -> None:
    source = FeedSource(
        FeedConfig.model_validate({"name": "f", "type": "feed", "url": "env:URL"}),
        intake,
        KEY,
    )
    for number, put in enumerate(text(token, most=cut, least=cut) for cut in (200, NAME, 2000)):
        for field in ("title", "id", "description", "link") if number else ("title",):
            item = {
                "title": "t",
                "id": f"i{number}{field}",
                "description": "d",
                "link": "https://example.org/",
                field: f"{number}{put}",
            }
            body = "".join(f"<{name}>{value}</{name}>" for name, value in item.items()).replace("id>", "guid>")
            found = entries.parse(f"<rss version='2.0'><channel><item>{body}</item></channel></rss>".encode())
            assert found is not None
            await intake.record([await source._finding(one, f"{number}{field}") for one in found], [])


async def record_github(intake: SourceIntake, token: str) -> None:
    details = {"path": "src/a.py", "start_line": 3, "blob_sha": "ab" * 20, "html_url": "https://github.example/x"}
    alert = {
        **{"number": 7, "state": "open", "created_at": "2026-11-02T13:58:12Z", "secret_type": "acme_token"},
        **{"html_url": "https://github.example/acme/web/security/secret-scanning/7", "resolution_comment": "c"},
        **{"secret_type_display_name": "Acme token", "first_location_detected": details},
    }
    for number, body in enumerate(walked(alert, text(token))):
        read = alerts.item({**body, "number": number + 1, "secret": "s" * 40}, time.time(), "acme/web")
        who = SecretIdentity(f"{number:064}", False, "r", read.name, "high", "high", "s…", None, {})
        places = (
            [alerts.place({"type": "commit", "details": body["first_location_detected"]}, "acme/web")]
            if isinstance(body["first_location_detected"].get("path"), str)
            else []
        )
        found = joined(read, who, places, source="g", host="h", quiet_before=0.0, read=0.0)
        await intake.record_alerts([found[0]], found[1], [])


async def record_ci(intake: SourceIntake, token: str) -> None:
    @asynccontextmanager
    async def log(number: int) -> AsyncIterator[AsyncIterator[bytes]]:
        async def pieces() -> AsyncIterator[bytes]:
            secret = expand("acme_{lower:20}{digit:12}", f"ci {number}")
            yield f"T ##[group]Run {text(token)}\ntoken={secret}\n".encode()

        yield pieces()

    fake = FakeActions()
    run = fake.add_run("acme/web")
    of, job = fake.body_of_run(run), fake.body_of_job(fake.add_job(run, steps=[("Build", run.created)]))
    logs = JobLogs("c", intake, re.compile(rb"(?m)^T ##\[group\](.*)$"), parts=1)
    put = text(token)
    said: dict[str, Any] = dict.fromkeys(("name", "workflow_name", "head_branch", "event", "path"), put)
    said |= {"triggering_actor": {"login": put}, "html_url": f"https://github.example/{put}"}
    for number, more in enumerate((said, dict.fromkeys(("workflow_name", "head_branch"), None))):
        about, ended = runs.run(of | said, "acme/web"), runs.job(job | more | {"id": number + 1}, "acme/web")
        assert ended is not None
        named, place = runs.labels(ended, about), runs.path(ended, about)
        await logs.read(CiJob(ended.key, "h", place, ended.ended, named, ended.url), log(number))
        await logs.lose(CiJob(f"{number}", "h", place, ended.ended), "expired")


async def record_exposure(intake: SourceIntake, token: str) -> None:
    exposure = Exposure("g", SimpleNamespace(), intake, KEY, ["acme"])  # type: ignore[arg-type]
    result = {"repository": {"full_name": "a/b"}, "path": "p", "html_url": "https://github.example/x"}
    found = [exposure._result(body, "marker") for body in walked(result, text(token))]
    found.append(exposure._finding("repository", text(token), text(token), None))
    await intake.record([one for one in found if one is not None], [])
    await exposure._scan(f"gist a/b: {text(token)}", "g", f"token={token}\n".encode(), None)


async def record_access(intake: SourceIntake, token: str, site: Site) -> None:
    vault = {
        "time": "2026-11-02T13:58:12Z", "type": "response",
        "auth": {"display_name": "d", "entity_id": "e", "metadata": {"role_name": "r"}},
        "request": {"id": "i", "operation": "read", "path": "secret/data/x", "mount_point": "secret/",
                    "remote_address": "192.0.2.1"},
        "response": {"data": {"data": {text(token): "hmac-sha256:ab", "key": "hmac-sha256:cd"}}},
    }  # fmt: skip
    trail = {
        "eventTime": "2026-11-02T13:58:12Z", "eventID": "e", "eventSource": "secretsmanager.amazonaws.com",
        "eventName": "GetSecretValue", "sourceIPAddress": "192.0.2.1", "userAgent": "a",
        "userIdentity": {"type": "t", "arn": "arn", "accessKeyId": "ASIA"},
        "requestParameters": {"secretId": f"arn:aws:secretsmanager:eu:1:secret:{text(token)}-AbCdEf"},
    }  # fmt: skip
    supabase = {
        "id": "i", "timestamp": "2026-11-02T13:58:12Z",
        "request": {"headers": {"user_agent": "u", "x_client_info": "c", "cf_connecting_ip": "192.0.2.1"},
                    "sb": {"apikey": [{"apikey": [{"prefix": "sb_" + "secret_AbCdE"}]}]}},
    }  # fmt: skip
    kept = ("time", "type", "operation", "eventTime", "eventSource", "eventName", "timestamp", "prefix")
    for form, record in (("vault", vault), ("cloudtrail", trail), ("supabase", supabase)):
        reader = Reader(form, site.scanner.redactor())
        said = [orjson.dumps(one) for one in (record, *walked(record, text(token), kept))]
        reader.read(Block("a", "/audit.log", "g", 0, b"\n".join(said) + b"\n", time.time()))
        assert len(reader.readings) >= len(said) - 3
        await site.store.commit((), [], readings=reader.readings, source=form)


def verdict(site: Site, token: str) -> str:
    probe = probe_of("github-pat")
    assert probe is not None
    put = text(token)
    verifier = Verifier(VerifyConfig(), redact=site.scanner.redact)
    answer = ProbeResponse(200, {"x-told": put}, orjson.dumps({"login": put, "list": [put, "b"]}).decode(), {})
    places = ("login", "list", "list.*", "header:X-Told", 're:"login":"([^"]*)"')
    found = {place: fact(answer, place) for place in places}
    return repr(verifier._clean(found, {"value": "v" * 40}))


async def papers(site: Site, address: str) -> list[str]:
    """The pages of the console and the documents of incidents."""
    found = []
    incidents = await site.store.incidents.find()
    async with aiohttp.ClientSession(address) as client:
        for page in (
            "/incidents",
            "/status",
            "/metrics",
            "/sources",
            "/sources/app",
            "/sinks",
            "/outbox",
            "/overview",
            "/access",
            "/trail",
            *(f"/incidents/{one.id}" for one in incidents),
        ):
            async with client.get(page) as answer:
                found.append(await answer.text())
    for one in incidents:
        history, told = await site.store.incidents.history(one.id), await site.store.outbox.list(about=one.id)
        dossier = Dossier(one, None, history, told, time.time())
        found += [document.markdown(dossier), document.page(dossier)]
    return found


def shown(data: str) -> list[str]:
    """Where a part of one of the tokens can be read that its preview does not show."""
    found = []
    for name, token in TOKENS.items():
        hidden = token[len("acme_") + 4 :]
        for at in range(len(hidden) - SEEN + 1):
            if (place := data.find(hidden[at : at + SEEN])) >= 0:
                found.append(f"{name}: {data[max(0, place - 150) : place]}<HERE>")
                break
    return found


async def test_no_part_of_a_secret_that_stands_across_a_cut_gets_anywhere(
    site: Setup, hook: FakeWebhook, tmp_path: Path
) -> None:
    site.configure('[[routes]]\nsinks = ["hook"]\nburst = "1000/1m"\n')  # each by itself, and at once
    daemon = site.daemon()
    async with running(daemon):
        inner = daemon.running.site
        intake = SourceIntake(inner, "app")
        pushed: dict[str, Callable[[str], Iterator[Pushed]]] = {"lines": of_lines, "loki": of_loki, "otlp": of_otlp}
        read: dict[str, Callable[[str], Iterator[Block]]] = {
            **{"journal": of_journal, "syslog": of_syslog, "mqtt": of_mqtt},
            "container": lambda token: of_container(token, tmp_path),
        }
        for name, make in pushed.items():
            assert await intake.scan(list(blocks(name, KEY, make(TOKENS[name]))), lambda: []) > 10
        for name, take in read.items():
            assert await intake.scan(list(take(TOKENS[name])), lambda: []) > 1
        await record_feed(intake, TOKENS["feed"])
        await record_github(intake, TOKENS["github"])
        await record_ci(intake, TOKENS["ci"])
        await record_exposure(intake, TOKENS["exposure"])
        await record_access(intake, TOKENS["access"], inner)
        intake.missed("truncated", 7, text(TOKENS["lost"]))
        intake.degraded(text(TOKENS["lost"]), f"cannot be read: {text(TOKENS['lost'])}")
        intake.told()
        said = verdict(inner, TOKENS["verdict"])
        await until(lambda: any("missed bytes" in str(payload) for payload in hook.payloads))
        await until(lambda: len({one["id"] for payload in hook.payloads for one in payload["incidents"]}) > 20)
        assert daemon.address is not None
        pages = await papers(inner, daemon.address)
    kept = "".join(path.read_bytes().decode("latin-1") for path in (site.root / "state").rglob("*") if path.is_file())
    for place, data in {
        "verdict": said, "payloads": json.dumps(hook.payloads), "pages": "".join(pages), "state": kept,
    }.items():  # fmt: skip
        assert not shown(data), place
