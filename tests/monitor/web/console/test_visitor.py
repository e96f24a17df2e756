from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from monitor.common.httpd import serve
from monitor.web.console.visitor import VISITOR, Role, Visitor, posted

ADA = Visitor("ada", "responder", form="f" * 32)


@pytest.mark.parametrize(
    ("who", "needed", "may"),
    [
        (Visitor(), "viewer", True),
        (Visitor("", "admin"), "responder", False),
        (ADA, "responder", True),
        (ADA, "admin", False),
        (Visitor("eve", "admin"), "admin", True),
    ],
)
def test_a_role_may_what_those_below_it_may_and_nobody_without_a_name(who: Visitor, needed: Role, may: bool) -> None:
    assert who.may(needed) is may


@pytest.mark.parametrize(
    ("who", "fields", "status"),
    [
        (ADA, {}, 200),
        (Visitor(), {}, 403),
        (Visitor("bob", "viewer", form="f" * 32), {}, 403),
        (ADA, {"form": "g" * 32}, 403),
        (ADA, {"form": ""}, 403),
        (Visitor("ada", "responder"), {"form": ""}, 403),
        (ADA, {"once": "short"}, 400),
        (ADA, {"once": "é" * 20}, 400),
        (ADA, {"note": "x" * 4001}, 400),
    ],
)
async def test_a_form_is_taken_from_who_may_and_was_given_it(who: Visitor, fields: dict[str, str], status: int) -> None:
    async def act(request: web.Request) -> web.Response:
        form = await posted(request, "responder")
        return web.Response(text=f"{form.by.name} {form.get('note')}|{form.get('nothing')}")

    @web.middleware
    async def sign_in(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[VISITOR] = who
        return await handler(request)

    application = web.Application(middlewares=[sign_in])
    application.router.add_post("/act", act)
    sent = {"form": "f" * 32, "once": who.once, "note": " look "} | fields
    async with serve(application, "127.0.0.1", 0) as url, aiohttp.ClientSession() as session:
        async with session.post(f"{url}/act", data=sent, headers={"Origin": url}) as answer:
            assert answer.status == status
            if status == 200:
                assert await answer.text() == "ada look|"
