"""What went wrong, in the form of who asked: a page in words for browsers, a problem document for programs that ask for
JSON, else a line. What somebody wrote into a form that was not acted on is theirs still."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from monitor.common.failure import failure
from monitor.common.text import printable
from monitor.store import StoreError
from monitor.web.api import problems
from monitor.web.auth import OPEN
from monitor.web.console.live import EVENTS
from monitor.web.console.origin import page_before
from monitor.web.console.pages import page
from monitor.web.console.visitor import form_of

__all__ = ["failures"]

log = structlog.get_logger(__name__)

_BESIDE = (*OPEN, problems.API, EVENTS, "/status")  # are no pages
_WRITTEN = ("/incidents", "/silences", "/outbox")  # whose forms hold what people write, and never a password
_AGAIN = (400, 401, 403, 409, 500, 503)  # a form that these answer is worth another look
_TEXTS = ("matchers", "note")  # what they write there
_FIELD = re.compile(r"[a-z]{1,16}|pick\.[0-9a-f]{16}")  # names that fields of forms have
_TITLES: Mapping[int, str] = {
    400: "This does not fit",
    401: "Sign in first",
    403: "This is not for you",
    404: "There is nothing here",
    405: "This address is for forms",
    408: "It took too long to arrive",
    413: "This is too large",
    415: "This is no form of a page",
    421: "Not by this name",
    429: "Too much at once",
    500: "The monitor stumbled over this",
    503: "This cannot be shown now",
}
_NEXT: Mapping[int, str] = {
    400: "Change the address, or go back, load the page again and send its form anew.",
    401: "Sign in, or reload and give the token of http.token as the password.",
    403: "Sign in as somebody who may, or ask who runs the monitor.",
    404: "It may have been forgotten or merged meanwhile, or the link is cut off: search the list.",
    405: "Open the page that it belongs to, and press the button there.",
    408: "Go back and send it again.",
    413: "Go back and send less: a form holds 64 KiB, a field 4,000 characters.",
    415: "Open the page that it belongs to, and send its form.",
    421: "Open it by the address in alerts.",
    429: "Wait a minute, then try again.",
    500: "Load the page again. If it stays so: the log of the monitor itself says more. Please report it.",
    503: "Load the page again in a minute.",
}


Redact = Callable[[str], Awaitable[str]]


def failures(redact: Redact) -> Middleware:
    """`redact`: masks what a refusal may repeat of an address or a form. Raises StoreError."""

    @web.middleware
    async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(_BESIDE):
            return await handler(request)
        try:
            answer = await handler(request)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            answer = error
        except (StoreError, TimeoutError) as error:
            why = str(error) or "it has not answered in time"
            return await _Failure(request, redact, 503, why, database=True).shown({"Retry-After": "30"})
        except ConnectionError:  # who asked has gone
            raise
        except Exception as error:
            if request.writer.output_size:  # of an answer that has begun the rest cannot be another one
                raise
            log.error("a page could not be answered", **failure(error))
            return await _Failure(request, redact, 500).shown()
        if answer.status < 400 or answer.content_type not in ("text/plain", "application/octet-stream"):
            return answer
        refusal = _Failure(request, redact, answer.status, await _masked(redact, _said(answer)))
        made = await refusal.shown({name: answer.headers[name] for name in problems.KEPT if name in answer.headers})
        if answer.keep_alive is False:
            made.force_close()
        return made

    return answered


def _said(answer: web.StreamResponse) -> str:
    """In the words of who refused it, if it has any."""
    text = answer.text if isinstance(answer, web.Response | web.HTTPException) else None
    return "" if not text or text.startswith(f"{answer.status}: ") else text.strip()


async def _masked(redact: Redact, text: str, otherwise: str = "") -> str:
    """`otherwise`: where the database is needed for that, and does not answer."""
    try:
        return await redact(text)
    except StoreError:
        return otherwise


@dataclass(frozen=True, slots=True)
class _Failure:
    """`why`: empty: nobody says. `database`: it did not answer, and may have done what was asked after all."""

    request: web.Request
    redact: Redact
    status: int
    why: str = ""
    database: bool = False

    async def shown(self, headers: Mapping[str, str] | None = None) -> web.Response:
        accepted = self.request.headers.get("Accept", "")
        if "text/html" in accepted:
            made = await self._form() if self.status in _AGAIN else None
            made = made or await self._page()
            made.headers.update(headers or {})
            return made
        line = self.why or _NEXT.get(self.status, "")
        line = printable(f"the state database does not answer: {line}" if self.database else line)
        if "application/json" in accepted:
            return problems.answer(self.status, line, headers)
        return web.Response(status=self.status, text=f"{line}\n", headers=headers)

    async def _page(self) -> web.Response:
        title = "The database does not answer" if self.database else _TITLES.get(self.status, "This did not work")
        return await page(
            self.request,
            "trouble.html",
            status=self.status,
            title=title,
            why=self.why,
            next=_NEXT.get(self.status, "Load the page again."),
            database=self.database,
        )

    async def _form(self) -> web.Response | None:
        """The form that was sent, to be looked at and sent again; None: there is none, or none of a page here."""
        if self.request.method != "POST" or not self.request.path.startswith(_WRITTEN):
            return None
        try:
            sent = await form_of(self.request)
        except web.HTTPException:
            return None
        dropped = ("form",) if self.database else ("form", "once")
        known = {name: text for name, text in sent.items() if _FIELD.fullmatch(name) and name not in dropped}
        # Where it cannot be masked the text comes back to who wrote it: they have no other copy.
        fields = {name: await _masked(self.redact, text, text) for name, text in known.items()}
        return await page(
            self.request,
            "unsent.html",
            status=self.status,
            why=self.why or _NEXT[self.status],
            database=self.database,
            path=self.request.path,
            back=self._back(),
            sent={name: text for name, text in fields.items() if name not in _TEXTS},
            texts={name: text for name, text in fields.items() if name in _TEXTS},
        )

    def _back(self) -> str:
        """The page that the form was on."""
        path = self.request.rel_url.raw_path.split("/")
        of_one = path[1] == "incidents" and "id" in self.request.match_info
        return "/".join(path[:3]) if of_one else page_before(self.request)
