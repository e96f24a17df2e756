"""Who looks at a page, what they may do there, and the forms that they send."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from aiohttp import web

from monitor.common.inbound import same

__all__ = ["VISITOR", "Posted", "Role", "Visitor", "posted", "visitor"]

# Each may what those before it may: look; act on incidents; run what takes a secret back, and decide about people.
Role = Literal["viewer", "responder", "admin"]
_ROLES = get_args(Role)


@dataclass(frozen=True, slots=True)
class Visitor:
    """`name`: as the trail has it; empty: nobody says who it is. `form`: what their forms carry; empty: none is
    taken."""

    name: str = ""
    role: Role = "viewer"
    form: str = field(default="", repr=False)
    signed_in: bool = False  # has a session that can be ended

    def may(self, needed: Role) -> bool:
        """Whether they may do what `needed` may. Without a name nobody changes anything."""
        return needed == "viewer" or (bool(self.name) and _ROLES.index(self.role) >= _ROLES.index(needed))

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
    HTTPBadRequest."""
    who = visitor(request)
    if not who.may(needed):
        raise web.HTTPForbidden(text=f"this takes a {needed}: sign in as one\n")
    data = await request.post()
    fields = {name: text.strip() for name, text in data.items() if isinstance(text, str)}
    if not who.form or not same(fields.get("form", ""), who.form):
        raise web.HTTPForbidden(text="this form was not made for you: load the page again, then send it\n")
    if any(len(text) > _LONGEST for text in fields.values()):
        raise web.HTTPBadRequest(text=f"a field holds {_LONGEST} characters at most\n")
    once = fields.get("once", "")
    if not 16 <= len(once) <= 64 or not once.isascii():
        raise web.HTTPBadRequest(text="this form has no number of its own: load the page again\n")
    return Posted(who, once, fields)
