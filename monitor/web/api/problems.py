"""What goes wrong, as RFC 9457 has it: `detail` says what to do next, and nothing of what was sent."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import orjson
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from monitor.common.failure import failure
from monitor.store import StoreError

__all__ = ["API", "KEPT", "answer", "problems"]

log = structlog.get_logger(__name__)

API = "/api/"
_NEXT: Mapping[int, str] = {
    404: "there is nothing at this address: /api/v1/openapi.json lists what there is",
    405: "this address takes another method: see Allow",
    413: "the body is larger than 64 KiB: send less",
    500: "the monitor stumbled over it; its log says more. Please report it",
    503: "the state database does not answer; what was sent may still be done. Send it again, by the same key",
}
KEPT = ("Allow", "Retry-After", "WWW-Authenticate")  # headers that go with what is answered instead


def answer(status: int, detail: str, headers: Mapping[str, str] | None = None, **more: object) -> web.Response:
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail.strip(), **more}
    return web.Response(
        status=status, body=orjson.dumps(body), content_type="application/problem+json", headers=headers
    )


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Below `API` whatever is no success is one of these, whoever says so."""
    if not request.path.startswith(API):
        return await handler(request)
    raised: web.StreamResponse
    try:
        raised = await handler(request)
    except web.HTTPException as error:
        raised = error
    except (StoreError, TimeoutError):
        return answer(503, _NEXT[503], {"Retry-After": "30"})
    except Exception as error:  # noqa: BLE001 - a boundary: what it says may hold what was sent
        log.error("a request to the API could not be answered", **failure(error))
        return answer(500, _NEXT[500])
    if raised.status < 400 or raised.content_type == "application/problem+json":
        return raised
    said = raised.text if isinstance(raised, web.Response | web.HTTPException) else None
    plain = said and not said.startswith(f"{raised.status}: ")
    detail = said if said and plain and raised.status != 413 else _NEXT.get(raised.status, raised.reason or "")
    made = answer(raised.status, detail, {name: raised.headers[name] for name in KEPT if name in raised.headers})
    if raised.keep_alive is False:
        made.force_close()
    return made
