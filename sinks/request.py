"""What the webhook sends, where, and what it makes of the answer, as the configuration says it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from monitor.common.credential import Credential
from monitor.common.http import RemoteError, Reply
from monitor.common.problems import refuse
from monitor.common.table import Table
from monitor.common.text import printable, quotable, token_like, veiled
from sinks.template import Template, UrlTemplate, pointed

__all__ = [
    "Body",
    "Expected",
    "Headers",
    "Method",
    "Pointer",
    "Request",
    "Status",
    "Url",
    "received",
    "revealing",
    "said",
]

_TRIES = 5  # of what a server takes with a 2xx and says in its answer that it did not
_REFERENCE = re.compile(r"\{((?:env|file|credential):[^{}]+)\}")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OURS = frozenset(
    "connection content-encoding content-length content-type expect host te trailer transfer-encoding upgrade "
    "webhook-id webhook-signature webhook-timestamp".split()
)
_PROOF = re.compile(r"(?i)auth|cookie|token|secret|key|passw|signature|credential")  # names of headers that carry one
_RECEIPT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@=~-]{0,199}")


def _pointer(text: str) -> str:
    wrong = not re.fullmatch(r"(/([^/~]|~[01])*){1,20}", text)
    refuse((wrong, 'must be a JSON pointer into the answer, such as "/result/sys_id"'))
    return text


def _headers(value: object) -> object:
    """The texts and references that each value is made of."""
    if not isinstance(value, Mapping):
        raise ValueError('must be a table, such as { Authorization = "Bearer {env:NAME}" }')
    return {name: _header(name, text) for name, text in value.items()}


def _header(name: Any, text: Any) -> tuple[str | Credential, ...]:
    shown, known = printable(veiled(str(name)))[:40], isinstance(name, str) and _NAME.fullmatch(name)
    hint = ": use content_type" if known and name.lower() == "content-type" else ""
    refuse(
        (not known or name.lower() in _OURS, f"{shown}: is no name of a header, or one that is not yours to set{hint}"),
        (not isinstance(text, str) or not text.strip(), f"{shown}: must be a string"),
    )
    if text.startswith(tuple(f"{scheme}:" for scheme in Credential.SCHEMES)):
        return (Credential(text),)
    parts = _REFERENCE.split(text)
    literal = " ".join(parts[::2])
    bare = not literal.isascii() or not literal.isprintable() or "{" in literal or "}" in literal
    secret = token_like(literal) or (len(parts) == 1 and _PROOF.search(name))
    refuse(
        (bare, f"{shown}: must be printable ASCII, with references in braces such as {{env:NAME}}"),
        (secret, f"{shown}: its secret must be a reference in braces, such as {{env:NAME}}, not the value itself"),
    )
    made = (Credential(part) if number % 2 else part for number, part in enumerate(parts))
    return tuple(part for part in made if part != "")


def _url(text: str) -> str:
    UrlTemplate.parse(text)
    secret = "@" in text.split("/")[2] or token_like(text.partition("?")[2])
    refuse((secret, "must not carry a user name, a password or a token: use headers"))
    return text


Headers = Annotated[Mapping[str, tuple[str | Credential, ...]], BeforeValidator(_headers)]
Pointer = Annotated[str, AfterValidator(_pointer)]
Expected = Mapping[Pointer, bool | int | str]
Body = Annotated[Template, PlainValidator(Template.parse)]
Url = Annotated[str, AfterValidator(_url)]
Method = Literal["POST", "PUT", "PATCH"]
Status = Annotated[int, Field(ge=300, le=499)]


class Request(Table):
    """What is sent of news about what a receiver knows already. What it leaves out is as in the first request."""

    url: Url | None = None
    method: Method = "POST"
    body: Body | None = None
    expect: Expected | None = None
    accept: tuple[Status, ...] = ()

    @property
    def uses(self) -> frozenset[str]:
        """The fields that it is filled with."""
        url = UrlTemplate.parse(self.url).uses if self.url else frozenset()
        return url | (self.body.uses if self.body else frozenset())

    def judge(self, reply: Reply, hints: Mapping[int, str], words: str) -> None:
        """Return when it was taken, else raise RemoteError. `words`: safe ones of theirs."""
        if reply.status in self.accept:
            return
        reply.check(hints, said=words)
        document = reply.json() if self.expect else None
        for pointer, wanted in (self.expect or {}).items():
            value = pointed(document, pointer)
            if type(value) is not type(wanted) or value != wanted:
                whole = f"HTTP {reply.status}, but {pointer} of the answer is not what expect says"
                raise RemoteError(
                    ": ".join(filter(None, (whole, words))), retry=True, tries=_TRIES, status=reply.status
                )


def revealing(values: Mapping[str, tuple[str | Credential, ...]]) -> Iterator[Credential]:
    """The references in headers."""
    for parts in values.values():
        yield from (part for part in parts if isinstance(part, Credential))


def said(reply: Reply, secrets: Sequence[str]) -> str:
    """What an answer says, as far as it may be shown: nothing that repeats a part of `secrets`."""
    text = reply.body.decode("utf-8", "replace").strip()
    return "" if text.startswith("<") else quotable(text, *_forms(secrets))


def received(reply: Reply, pointer: str, secrets: Sequence[str]) -> str:
    """The name of a ticket in an answer; empty: it has none that could be one, or repeats a secret."""
    value = pointed(reply.json(), pointer)
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return text if _RECEIPT.fullmatch(text) and quotable(text, *_forms(secrets)) == text else ""


def _forms(secrets: Sequence[str]) -> Iterator[str]:
    """Secrets, also as they are once a login is decoded (`Basic` and base64)."""
    for secret in secrets:
        yield secret
        for word in secret.split():
            try:
                yield base64.b64decode(word, validate=True).decode().partition(":")[2]
            except (binascii.Error, ValueError):
                continue
