"""The other side of each recipe in docs/webhook.recipes.toml, as strict as its vendor documents it, and the recipe."""

from __future__ import annotations

import base64
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from aiohttp import web
from jsonschema import Draft202012Validator

from tests.fakes.server import FakeServer

FILE = Path(__file__).parents[2] / "docs" / "webhook.recipes.toml"
LOGIN = "monitor@example.org"


def recipe(name: str, url: str, credential: str) -> dict[str, Any]:
    """The keys of a sink as the file has them, its addresses led to `url` and its reference to `credential`."""
    text = re.sub(r'https://[^/"]+', url, FILE.read_text(encoding="utf-8"))
    text = re.sub(r"\bcredential:[\w-]+", credential, text)
    named = {keys["name"]: keys for keys in tomllib.loads(text)["sinks"]}
    keys = named[name.lower().replace(" ", "-")]
    return {key: value for key, value in keys.items() if key not in ("name", "type")}


def _text(most: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": most}


def _table(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    properties = {**required, **optional}
    return {"type": "object", "required": [*required], "properties": properties, "additionalProperties": False}


class Strict(FakeServer):
    """`credential`: what a request has to prove. Each one that breaks a rule is answered as the vendor does, and is one
    of `problems`."""

    scheme = ""

    def __init__(self, credential: str) -> None:
        super().__init__()
        self.credential = credential

    @property
    def proof(self) -> str:
        """The value that a reference leads to."""
        return self.credential

    def refused(self, request: web.Request, document: Any, schema: dict[str, Any]) -> str:
        """Why a vendor would not take it."""
        kind = request.headers.get("Content-Type")
        if kind != "application/json":
            self.problems.append(f"content type {kind}")
        said = "; ".join(error.message[:200] for error in Draft202012Validator(schema).iter_errors(document))
        self.problems += [said] if said else []
        return said

    def admits(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"{self.scheme} {self.proof}".strip()


class _Basic(Strict):
    scheme = "Basic"

    @property
    def proof(self) -> str:
        return base64.b64encode(f"{LOGIN}:{self.credential}".encode()).decode()


_COMMENT = _table({"body": _text(32_767)})
_ISSUE = _table(
    {
        "fields": _table(
            {
                "project": _table({"key": {"const": "SEC"}}),
                "issuetype": _table({"name": {"const": "Task"}}),
                "summary": {"type": "string", "pattern": r"^[^\r\n]{1,255}$"},
            },
            description={"type": "string", "maxLength": 32_767},
            labels={"type": "array", "items": {"type": "string", "pattern": r"^\S{1,255}$"}},
        )
    }
)
_TRANSITION = _table(
    {"transition": _table({"id": {"type": "string"}})},
    update=_table({}, comment={"type": "array", "items": _table({"add": _COMMENT})}),
)


class FakeJira(_Basic):
    """`issues`: by key, each its state and comments."""

    def __init__(self, credential: str) -> None:
        super().__init__(credential)
        self.issues: dict[str, dict[str, Any]] = {}

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if not self.admits(request):
            return web.Response(status=401, text="Basic authentication with passwords is deprecated.")
        place = re.fullmatch(r"/rest/api/2/issue(?:/([A-Z]+-\d+)/(comment|transitions))?", request.path)
        if request.method != "POST" or not place:
            return web.json_response({"errorMessages": ["null for uri"]}, status=404)
        document, (key, what) = json.loads(body), place.groups()
        schema = {"comment": _COMMENT, "transitions": _TRANSITION}.get(what, _ISSUE)
        if said := self.refused(request, document, schema):
            return web.json_response({"errorMessages": [], "errors": {"fields": said}}, status=400)
        if key is None:
            key = f"SEC-{len(self.issues) + 1}"
            self.issues[key] = {"state": "open", "comments": [], **document["fields"]}
            return web.json_response({"id": "10000", "key": key, "self": f"{self.url}/x/10000"}, status=201)
        if key not in self.issues:
            return web.json_response({"errorMessages": ["Issue does not exist"], "errors": {}}, status=404)
        issue = self.issues[key]
        if what == "comment":
            issue["comments"].append(document["body"])
            return web.json_response({"id": "1"}, status=201)
        leads = {("open", "31"): "done", ("done", "11"): "open"}
        to = leads.get((issue["state"], document["transition"]["id"]))
        if to is None:
            return web.json_response({"errorMessages": ["not valid for the current state"], "errors": {}}, status=400)
        issue["state"] = to
        issue["comments"] += [one["add"]["body"] for one in document.get("update", {}).get("comment", [])]
        return web.Response(status=204)


_COLUMNS = {
    "short_description": {"type": "string", "maxLength": 160},  # what is longer is cut without a word
    **{
        name: {"type": "string", "maxLength": 4000}
        for name in ("work_notes", "close_notes", "description", "correlation_display")
    },
    "correlation_id": {"type": "string", "maxLength": 100},
    "close_code": {"const": "Solution provided"},
    **{name: {"enum": ["1", "2", "3"]} for name in ("urgency", "impact")},
    "state": {"enum": ["1", "2", "3", "6", "7", "8"]},
}


class FakeServiceNow(_Basic):
    """`records`: by sys_id."""

    def __init__(self, credential: str) -> None:
        super().__init__(credential)
        self.records: dict[str, dict[str, Any]] = {}

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        def failed(status: int, message: str) -> web.Response:
            return web.json_response({"error": {"message": message, "detail": ""}, "status": "failure"}, status=status)

        if not self.admits(request):
            return failed(401, "User is not authenticated")
        place = re.fullmatch(r"/api/now/table/incident(?:/([0-9a-f]{32}))?", request.path)
        if not place or request.method != ("PATCH" if place[1] else "POST"):
            return failed(405, "Method not supported")
        document, id_ = json.loads(body), place[1]
        if said := self.refused(request, document, _table({}, **_COLUMNS)):
            return failed(400, said)
        if id_ is None:
            id_ = f"{len(self.records) + 1:032x}"
            self.records[id_] = {"state": "1"}
        elif id_ not in self.records:
            return failed(404, "No Record found")
        if document.get("state") == "6" and not {"close_code", "close_notes"} <= document.keys():
            return failed(403, "Data Policy Exception: mandatory: close_code, close_notes")
        self.records[id_] |= document
        return web.json_response({"result": {"sys_id": id_}}, status=201 if request.method == "POST" else 200)


_EVENT = _table(
    {"event": {"anyOf": [{"type": "object", "minProperties": 1}, _text(100_000)]}},
    **{name: {"type": "string"} for name in ("host", "source", "sourcetype", "index")},
    time={"type": "number"},
    fields={"type": "object"},
)


class FakeSplunk(Strict):
    """`events` in the order they came."""

    scheme = "Splunk"

    def __init__(self, credential: str) -> None:
        super().__init__(credential)
        self.events: list[dict[str, Any]] = []

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        def code(status: int, number: int, text: str) -> web.Response:
            return web.json_response({"text": text, "code": number}, status=status)

        if (request.method, request.path) != ("POST", "/services/collector/event"):
            return code(404, 404, "The requested URL was not found on this server.")
        if not self.admits(request):
            return code(403, 4, "Invalid token")
        decoder, text, events = json.JSONDecoder(), body.decode(), []
        while text := text.lstrip():
            event, end = decoder.raw_decode(text)
            text = text[end:]
            events.append(event)
        if not events:
            return code(400, 5, "No data")
        if said := "; ".join(filter(None, (self.refused(request, event, _EVENT) for event in events))):
            return code(400, 6, f"Invalid data format: {said}")
        self.events += events
        return code(200, 0, "Success")


class FakeElastic(Strict):
    """`documents`: by id. `broken`: texts whose documents cannot be indexed."""

    scheme = "ApiKey"

    def __init__(self, credential: str) -> None:
        super().__init__(credential)
        self.documents: dict[str, dict[str, Any]] = {}
        self.broken: set[str] = set()

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        def failed(status: int, kind: str) -> web.Response:
            self.problems += [kind] if status == 400 else []
            return web.json_response({"error": {"type": kind, "reason": ""}, "status": status}, status=status)

        if (request.method, request.path) != ("POST", "/exposures/_bulk"):
            return failed(405, "method_not_allowed")
        if not self.admits(request):
            return failed(401, "security_exception")
        if request.headers.get("Content-Type") != "application/x-ndjson":
            return failed(406, "media_type_header_exception")
        if not body.endswith(b"\n"):
            return failed(400, "the bulk request must be terminated by a newline")
        rows = [json.loads(row) for row in body.splitlines()]
        items = []
        for action, document in zip(rows[::2], rows[1::2], strict=True):
            if set(action) != {"index"} or not 0 < len(action["index"].get("_id", "").encode()) <= 512:
                return failed(400, "action_request_validation_exception")
            if any(text in json.dumps(document) for text in self.broken):
                items.append({"index": {"error": {"type": "document_parsing_exception"}}})
                continue
            self.documents[action["index"]["_id"]] = document
        assert request.query["filter_path"] == "errors,items.*.error.type"
        return web.json_response({"errors": bool(items), **({"items": items} if items else {})})


_MESSAGE = _table({"text": _text(4096)}, thread=_table({"threadKey": _text(4000)}))


class FakeGoogleChat(Strict):
    """`threads`: by key, their messages."""

    def __init__(self, credential: str) -> None:
        super().__init__(credential)
        self.threads: dict[str, list[str]] = {}

    @property
    def proof(self) -> str:
        option = "messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"
        return f"{self.url}/v1/spaces/AAAA/messages?key=k&token={self.credential}&{option}"

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        def failed(status: int, kind: str) -> web.Response:
            return web.json_response({"error": {"code": status, "message": kind, "status": kind}}, status=status)

        if (request.method, request.path) != ("POST", "/v1/spaces/AAAA/messages"):
            return failed(404, "NOT_FOUND")
        if request.query.get("token") != self.credential:
            return failed(401, "UNAUTHENTICATED")
        document = json.loads(body)
        if said := self.refused(request, document, _MESSAGE):
            return failed(400, said)
        if re.search(r"<(users/|https?:)", document["text"]):
            self.problems.append("a mention or a link that a log brought")
        self.threads.setdefault(document["thread"]["threadKey"], []).append(document["text"])
        return web.json_response({"name": "spaces/AAAA/messages/BBBB"})


class FakeMattermost(Strict):
    """`posts` in the order they came."""

    def __init__(self, credential: str) -> None:
        super().__init__(credential)
        self.posts: list[str] = []

    @property
    def proof(self) -> str:
        return f"{self.url}/hooks/{self.credential}"

    async def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if (request.method, request.path) != ("POST", f"/hooks/{self.credential}"):
            return web.json_response({"id": "web.incoming_webhook.invalid.app_error", "status_code": 400}, status=400)
        document = json.loads(body)
        if said := self.refused(request, document, _table({"text": _text(16_383)})):
            return web.json_response({"id": "api.post.error", "message": said, "status_code": 400}, status=400)
        if re.search(r"(?<!\w)@(all|channel|here|\w+)|\]\(", document["text"]):
            self.problems.append("a mention or a link that a log brought")
        self.posts.append(document["text"])
        return web.Response(text="ok")


RECIPES: dict[str, type[Strict]] = {
    "Jira": FakeJira,
    "ServiceNow": FakeServiceNow,
    "Splunk": FakeSplunk,
    "Elastic": FakeElastic,
    "Google Chat": FakeGoogleChat,
    "Mattermost": FakeMattermost,
}
