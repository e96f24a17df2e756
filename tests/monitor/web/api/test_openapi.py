from __future__ import annotations

import json
import time
from pathlib import Path

from openapi_spec_validator import validate

from monitor.config.config import parse
from monitor.delivery import SinkStats
from monitor.intake.ledger import Loss
from monitor.web.api.documents import BODIES
from monitor.web.api.openapi import document
from tests.fakes.api import serving
from tests.fakes.console import finding
from tests.monitor.web.console.test_sinks import CONFIG
from tests.monitor.web.console.test_sources import source


async def test_the_document_is_one_and_what_it_says_is_answered(tmp_path: Path) -> None:
    """Each operation is answered as it says, with a row in each list; `ApiProgram` holds them against it."""
    validate(json.loads(json.dumps(document())))
    async with serving(tmp_path) as program:
        assert await program.get("openapi.json") == document()
        store, pages = program.store, program.pages
        pages.config = parse(CONFIG, Path("config.toml"))
        store.policy = pages.config.policy
        await store.commit([finding(1), finding(2), finding(3, severity="medium")])
        lost = Loss("gone", "/a.log", "bytes", 1_042, 1, 1.0, 2.0)
        pages.standings += [source("app", lost=(lost,)), source("new", kept=None)]
        pages.snapshot.sinks = {"chat": SinkStats(failed=4, failing=4, last_sent=time.time(), last_error="503: x")}
        await program.holds()
        first, other, quiet = await store.incidents.find(order="urgent")
        bodies: dict[str, dict[str, str]] = {
            "ack": {},
            "note": {"note": "seen"},
            "assign": {"to": "bob"},
            "silence": {"for": "1h"},
            "start": {"order": "replace"},
            "claim": {"step": "revoke"},
            "done": {"step": "revoke", "note": "gone"},
            "skip": {"step": "notify", "note": "nobody is concerned"},
            "run": {"action": "rotate"},
            "merge": {"other": other.id},
            "suppress": {"for": "1h", "note": "known"},
            "reopen": {},
            "resolve": {"as": "revoked"},
        }
        assert bodies.keys() == BODIES.keys()
        for verb, body in bodies.items():
            about = quiet if verb == "start" else first
            done = await program.post(f"incidents/{about.id}/{verb}", **body)
            assert done["incident"] == about.id
        bulk = await program.post("incidents/bulk", verb="ack", ids=[first.id, other.id])
        assert (bulk["total"], bulk["left"] + sum(bulk["refused"].values())) == (2, 2)
        assert await program.post("sinks/chat/test") == {"sink": "chat", "outcome": "chat took the test, as ticket 7"}
        assert b'"revision":' in await program.stream()
        made = await program.post("silences", matchers=["rule=x"], note="noise", **{"for": "1h"})
        for path in ("incidents?state=all", "sources", "sinks", "silences", "noise?days=30", "outbox"):
            page = await program.get(path)
            assert page[path.partition("?")[0]]
        await program.post(f"silences/{made['id']}/end")
        whole = await program.get(f"incidents/{first.id}?include=steps,history")
        assert whole["steps"]
        assert whole["history_total"] == len(whole["history"]) > len(bodies)
        assert {entry["actor"] for entry in whole["history"]} >= {"api/deploy"}
        retried, discarded = (await store.outbox.list(sink="pager"))[:1], (await store.outbox.list(sink="chat"))[:1]
        await program.post(f"outbox/{retried[0].id}/retry")
        await program.post(f"outbox/{discarded[0].id}/discard", note="known")
        operations = {one["operationId"] for path in document()["paths"].values() for one in path.values()}
        assert {name for name, status in program.seen if status == 200} == operations
