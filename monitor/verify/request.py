"""From a probe and a secret to the request that asks about it. Pure: nothing is sent here."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import orjson

from monitor.clients.aws import region_of, sign
from monitor.common.http import host_of, loopback
from monitor.verify.probe import Exchange, Probe, fill

__all__ = ["MissingPartError", "ProbeRequest", "beside_of", "build", "parts_of", "public"]

_HOST_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PART = re.compile(r"[\x21-\x7e]{1,4096}")
_CLAIM = re.compile(r"[A-Za-z0-9_.@:/-]{1,200}")
_FACTS = ("access_key_id", "user", "host", "database")
_GOOGLE_SCOPE = "https://www.googleapis.com/auth/userinfo.email"
_GOOGLE_TOKENS = "https://oauth2.googleapis.com/token"


class MissingPartError(Exception):
    """What a request needs beside the secret, and has not got, or not in a form that can be sent. Safe to show."""


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    method: str
    url: str = field(repr=False)  # may hold the secret where it is taken in no other way
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)


def parts_of(shape: str | None, value: str, given: Mapping[str, str]) -> dict[str, str]:
    """What templates are filled from: what is `given`, what the value itself says, and the `value`. `shape`: named
    groups that take it apart."""
    parts = _claims(value)
    taken = re.fullmatch(shape, value) if shape else None
    if taken is not None:
        parts |= {name: text for name, text in taken.groupdict().items() if text}
    return {**parts, **given, "value": value}


def beside_of(probe: Exchange, value: str, parts: Mapping[str, str]) -> frozenset[str]:
    """Names of what a request is made of that does not come out of the secret itself: it may be another one's."""
    names = set(probe.names | probe.parts.keys())
    within = parts_of(probe.shape, value, {}) if isinstance(probe, Probe) else {}
    if probe.auth == "postgres":
        names = {"host", "user"}
        host = within.get("host", "")
        if loopback(host) or "." not in host:  # a name that means another server on the host that wrote it
            within.pop("host", None)
    return frozenset(name for name in names if parts.get(name) and parts[name] != within.get(name))


def public(labels: Mapping[str, str]) -> dict[str, str]:
    """Of an incident's labels those that requests may be made of: the rules' own. A source can bring others, and who
    writes to it must not choose whom a secret is sent to."""
    return {name: labels[name] for name in _FACTS if name in labels}


def build(probe: Exchange, parts: Mapping[str, str], origin: str | None, now: float) -> ProbeRequest:
    """The request to `origin` (scheme and host; None: as the data says). Raises MissingPartError."""
    _complete(probe, parts, origin)
    kind, _, rest = probe.auth.partition(" ")
    headers = {name: fill(text, parts) for name, text in probe.headers.items()}
    url = _url(probe, parts, origin)
    if kind == "query":
        url += f"{'&' if '?' in url else '?'}{rest}={quote(parts['value'], safe='')}"
    elif kind == "google-jwt":
        parts = {**parts, "assertion": _assertion(parts, now)}

    body = _body(probe, parts)
    if body is not None:
        headers["Content-Type"] = "application/json" if probe.json_ else "application/x-www-form-urlencoded"
    if kind == "aws-sigv4":
        headers = _signed(url, body or b"", parts, where=rest, now=now)
    else:
        headers |= _credentials(kind, rest, parts)
    if not all(text.isprintable() and text.isascii() for text in headers.values()):
        raise MissingPartError("the value holds characters that no header can carry")
    return ProbeRequest(probe.method, url, headers, body)


def _complete(probe: Exchange, parts: Mapping[str, str], origin: str | None) -> None:
    # What only a host is made of, is not needed where another one is asked.
    spared = probe.names_of_host if origin else frozenset()
    for name in sorted((probe.names | probe.parts.keys()) - spared):
        if not parts.get(name):
            what = probe.parts.get(name, name)
            raise MissingPartError(f"it needs {what}: say it with --part {name}=…")
        if not _PART.fullmatch(parts[name]):
            raise MissingPartError(f"{name} holds what cannot be sent")


def _url(probe: Exchange, parts: Mapping[str, str], origin: str | None) -> str:
    if probe.url.startswith("{server}"):
        if origin is None:
            place = f"verify.servers.{probe.provider}" if isinstance(probe, Probe) else "the action's `server`"
            raise MissingPartError(f"it needs the address of the server: {place}")
        head, path = origin, probe.url.removeprefix("{server}")
    else:
        scheme, _, rest = probe.url.partition("://")
        host, _, tail = rest.partition("/")
        path = f"/{tail}"
        # A host that a log has a say in: a label of a name that we know, and nothing else.
        labels = {name: text.lower() for name, text in parts.items() if _HOST_LABEL.fullmatch(text.lower())}
        try:
            head = origin or f"{scheme}://{fill(host, labels)}"
        except KeyError as error:
            raise MissingPartError(f"{error.args[0]} is no part of a host name") from None
    return head + fill(path, {name: quote(text, safe="") for name, text in parts.items()})


def _body(probe: Exchange, parts: Mapping[str, str]) -> bytes | None:
    if probe.json_ is not None:
        escaped = {name: orjson.dumps(text).decode()[1:-1] for name, text in parts.items()}
        return fill(probe.json_, escaped).encode()
    if probe.form is not None:
        return fill(probe.form, {name: quote_plus(text) for name, text in parts.items()}).encode()
    return None


def _credentials(kind: str, rest: str, parts: Mapping[str, str]) -> dict[str, str]:
    if kind == "bearer":
        return {"Authorization": f"Bearer {parts['value']}"}
    if kind == "basic":
        return {"Authorization": f"Basic {base64.b64encode(fill(rest, parts).encode()).decode()}"}
    if kind == "header":
        name, _, template = rest.partition(" ")
        return {name: fill(template or "{value}", parts)}
    return {}


def _signed(url: str, body: bytes, parts: Mapping[str, str], *, where: str, now: float) -> dict[str, str]:
    # By whoever acts, where that is not the key itself.
    key_id, colon, secret = parts.get("credential", "").partition(":")
    if not colon:
        key_id, secret = parts["access_key_id"], parts.get("secret_key") or parts["value"]
    if not key_id.startswith("AKIA"):
        raise MissingPartError("a temporary key (ASIA…) is only good with its session token, and expires by itself")
    service, _, region = where.partition(" ")
    return sign(
        "POST",
        url,
        body,
        key_id=key_id,
        secret=secret,
        service=service,
        region=region_of(host_of(url)[0]) or region,
        now=datetime.fromtimestamp(now, UTC),
    )


def _assertion(parts: Mapping[str, str], now: float) -> str:
    import jwt

    key = parts["value"].replace("\\n", "\n")
    claims = {
        "iss": parts["client_email"],
        "scope": _GOOGLE_SCOPE,
        "aud": _GOOGLE_TOKENS,
        "iat": int(now),
        "exp": int(now) + 300,
    }
    try:
        return jwt.encode(claims, key, algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError):
        failure = MissingPartError("the private key cannot be read")
    raise failure  # outside of the handler: the original may quote the key


def _claims(value: str) -> dict[str, str]:
    """`jwt_NAME` for each text among the claims of a JSON Web Token that can be part of a request."""
    pieces = value.split(".")
    if len(pieces) != 3 or not value.startswith("ey"):
        return {}
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(pieces[1] + "=" * (-len(pieces[1]) % 4)))
    except ValueError:
        return {}
    items = claims.items() if isinstance(claims, dict) else ()
    return {f"jwt_{name}": text for name, text in items if isinstance(text, str) and _CLAIM.fullmatch(text)}
