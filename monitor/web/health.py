"""`/healthz`, `/readyz` and `/metrics`: for whoever watches the monitor. They say nothing of any incident."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

__all__ = ["Checks", "Probes", "routes"]

Checks = Mapping[str, str | None]  # name of a part → what is wrong with it, None when it works


@dataclass(frozen=True, slots=True)
class Probes:
    """What the application asks of the daemon. The callables must not block.

    `live`: parts without which a restart is the only help (event loop, writer). `ready`: parts that must work before
    the monitor does its job (engine loaded, sources started, store writable).
    """

    live: Callable[[], Checks]
    ready: Callable[[], Checks]
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)


def routes(probes: Probes) -> list[web.RouteDef]:
    async def healthz(_request: web.Request) -> web.Response:
        return _report(probes.live())

    async def readyz(_request: web.Request) -> web.Response:
        return _report(probes.ready())

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(probes.registry), headers={"Content-Type": content_type})

    return [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)]


def _report(checks: Checks) -> web.Response:
    bad = any(problem is not None for problem in checks.values())
    body = {
        "status": "failing" if bad else "ok",
        "checks": {name: "ok" if problem is None else problem for name, problem in checks.items()},
    }
    return web.json_response(body, status=503 if bad else 200)
