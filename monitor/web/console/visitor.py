"""Who looks at a page, what they may do there, and the forms that they send."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar

from aiohttp import web

from monitor.accounts.people import ROLES, Role
from monitor.common.httpd import BODY_WITHIN
from monitor.common.inbound import same
from monitor.web.console.origin import ours

__all__ = ["VISITOR", "Posted", "Role", "Visitor", "form_of", "posted", "received", "refuse", "visitor"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Visitor:
    """`name`: as the trail has it; empty: nobody says who it is. `form`: what their forms carry; empty: none is
    taken."""

    name: str = ""
    role: Role = "viewer"
    form: str = field(default="", repr=False)
    signed_in: bool = False  # has a session that can be ended
    may_sign_in: bool = False  # nobody yet, and there is a way
    beside: bool = False  # a command on this host, which has no page that it could say it comes from

    def may(self, needed: Role) -> bool:
        """Whether they may do what `needed` may. Without a name nobody changes anything."""
        return needed == "viewer" or (bool(self.name) and ROLES.index(self.role) >= ROLES.index(needed))

    @property
    def once(self) -> str:
        """For one form: what a repeat of it is known by."""
        return secrets.token_urlsafe(18)


VISITOR = web.RequestKey("visitor", Visitor)  # of a request: who sends it; put there by sign-in
_NOBODY = Visitor()
_LONGEST = 4000  # characters of a field


@dataclass(frozen=True, slots=True)
class Posted:
    """A form that may be acted on. `once`: what a repeat of it is known by."""

    by: Visitor
    once: str
    fields: Mapping[str, str]

    def get(self, name: str) -> str:
        """A field without spaces around it; empty where there is none."""
        return self.fields.get(name, "")


def visitor(request: web.Request) -> Visitor:
    """Who sends a request, as sign-in knows them."""
    known: Visitor = request.get(VISITOR, _NOBODY)
    return known


async def posted(request: web.Request, needed: Role) -> Posted:
    """The form of somebody who may. Raises HTTPForbidden (they may not; the form is not one of ours) and
    HTTPBadRequest, and what `form_of` raises."""
    who = visitor(request)
    if not who.may(needed):
        raise web.HTTPForbidden(text=f"this takes a {needed}: sign in as one\n")
    fields = await form_of(request)
    if not who.form or not same(fields.get("form", ""), who.form):
        raise web.HTTPForbidden(text="this form was not made for you: load the page again, then send it\n")
    once = fields.get("once", "")
    if not 16 <= len(once) <= 64 or not once.isascii():
        raise web.HTTPBadRequest(text="this form has no number of its own: load the page again\n")
    return Posted(who, once, fields)


async def form_of(request: web.Request) -> Mapping[str, str]:
    """What a form of a page of ours holds, whoever sends it. Raises HTTPForbidden (it is from elsewhere),
    HTTPUnsupportedMediaType, HTTPRequestEntityTooLarge, HTTPRequestTimeout and HTTPBadRequest."""
    if not visitor(request).beside and (why := ours(request)):
        refuse(web.HTTPForbidden(text=f"this form is refused, as {why}: load the page here, then send it\n"))
    if request.content_type != "application/x-www-form-urlencoded":
        refuse(web.HTTPUnsupportedMediaType(text="this is no form of a page here\n"))
    data = await received(request.post(), "form")
    fields = {name: text.strip() for name, text in data.items() if isinstance(text, str)}
    if any(len(text) > _LONGEST for text in fields.values()):
        raise web.HTTPBadRequest(text=f"a field holds {_LONGEST} characters at most\n")
    return fields


async def received(reading: Awaitable[_T], what: str) -> _T:
    """All of a body, once it has come. Raises HTTPRequestTimeout and HTTPRequestEntityTooLarge, which say of `what`."""
    try:
        async with asyncio.timeout(BODY_WITHIN):
            return await reading
    except TimeoutError:
        refuse(web.HTTPRequestTimeout(text=f"the {what} took too long to arrive: send it again\n"))
    except web.HTTPRequestEntityTooLarge as error:
        error.text = f"the {what} is too large\n"
        refuse(error)


def refuse(answer: web.HTTPException) -> NoReturn:
    """Raise it, and read no more: the rest of the body would only be thrown away."""
    answer.force_close()
    raise answer
