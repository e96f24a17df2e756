"""What a form of the page of an incident asks for, in the words of the store: the same as in Slack."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import get_args

from monitor.common.duration import parse_duration
from monitor.common.inbound import InboundRequest, Verb
from monitor.web.console.context import ConsoleContext
from monitor.web.console.visitor import Posted, Role

__all__ = ["SINK", "asked", "needed_role", "number", "request_of"]

SINK = "console"  # as whose the requests are stored
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ID = re.compile(r"[0-9a-f]{16}")
_BOOK = re.compile(r"(?:[a-z0-9-]{1,64}/)?[a-z0-9-]{1,64}")
_ORDERS = ("", "contain", "replace")


def number(once: str) -> str:
    """What a request is known by, of the number of its form, which may be anything."""
    return f"{SINK}:{hashlib.sha256(once.encode()).hexdigest()[:40]}"


def needed_role(verb: str) -> Role:
    """What takes a secret back is for few."""
    return "admin" if verb == "run" else "responder"


def request_of(id_: str, form: Posted, people: Sequence[str]) -> InboundRequest:
    """`people`: whom it may be handed to. What is wrong with the form is the request's refusal: it is answered as
    others are. Nothing in it is masked yet. Raises ValueError for what is no form of a page of that incident."""
    verb = next((verb for verb in get_args(Verb) if verb == form.get("verb") and verb in _DETAILS), None)
    if verb is None or not _ID.fullmatch(id_):
        raise ValueError("this form asks for nothing that there is: load the page again")
    made = InboundRequest(number(form.once), SINK, verb, form.by.name, id_, note=form.get("note"))
    try:
        made = replace(made, detail=_DETAILS[verb](form))
        if verb == "assign" and made.detail not in (*people, form.by.name):
            raise ValueError("hand it to one of the people that are known here")
        if verb == "merge" and form.get("way") == "into":
            made = replace(made, incident=made.detail, detail=id_)
    except ValueError as error:
        return replace(made, detail="", refusal=str(error))
    return made


async def asked(console: ConsoleContext, id_: str, form: Posted) -> InboundRequest:
    """The request of a form, with what people wrote masked. Raises ValueError and StoreError."""
    made = request_of(id_, form, await console.people() if console.people else ())
    actor, note, detail = [await console.redact(text) for text in (made.actor, made.note, made.detail)]
    return replace(made, actor=actor, note=note, detail=detail)


def _named(field: str, pattern: re.Pattern[str] = _NAME) -> Callable[[Posted], str]:
    def read(form: Posted) -> str:
        if not pattern.fullmatch(form.get(field)):
            raise ValueError(f"the form does not say which {field}: load the page again")
        return form.get(field)

    return read


def _seconds(form: Posted) -> str:
    return "0" if form.get("for") == "0" else f"{parse_duration(form.get('for')):.0f}"


def _suppression(form: Posted) -> str:
    seconds = _seconds(form)
    return seconds if seconds == "0" else f"{seconds}:{form.get('as') if _NAME.fullmatch(form.get('as')) else ''}"


def _resolution(form: Posted) -> str:
    return _named("as")(form)


def _book(form: Posted) -> str:
    order = form.get("order")
    if order not in _ORDERS:
        raise ValueError("a runbook is started with `contain` or with `replace` first")
    book = _named("book", _BOOK)(form) if form.get("book") else ""
    return f"{book}:{order}" if order else book


def _step_or_nothing(form: Posted) -> str:
    return _named("step")(form) if form.get("step") else ""


# By what is asked for: how its form says about what.
_DETAILS: Mapping[Verb, Callable[[Posted], str]] = {
    "ack": lambda form: "",
    "note": lambda form: "",
    "reopen": _step_or_nothing,
    "resolve": _resolution,
    "assign": lambda form: form.get("to"),
    "silence": _seconds,
    "suppress": _suppression,
    "merge": _named("other", _ID),
    "start": _book,
    "claim": lambda form: _named("step")(form) + (":over" if form.get("over") else ""),
    "done": _named("step"),
    "skip": _named("step"),
    "run": _named("action"),
}
