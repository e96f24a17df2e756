"""What GitHub says about an alert, in our words. Pure but for fingerprinting; reads defensively: no field is certain.

GitHub's schema requires nothing, GHES lacks fields, and a hostile or broken proxy may send anything. What cannot be
named (no repository or number) is `Malformed`; everything else degrades to "unknown".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from detectors.fingerprint import b64decode
from monitor.common.outside import number, text, when
from monitor.common.severity import SEVERITIES, Severity, rank
from monitor.common.text import one_line, web_address
from monitor.domain.model import Resolution
from monitor.github.links import REPOSITORY, commit, page

__all__ = ["AlertItem", "AlertLocation", "Malformed", "finding_id", "item", "place", "severity"]

_TYPE = re.compile(r"[A-Za-z0-9_.:-]{1,120}")
_IN_URL = re.compile(
    r"/(?:repos/)?([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+)/(?:security/)?secret-scanning/(?:alerts/)?([0-9]{1,15})$"
)
_RESOLUTIONS: Mapping[str, Resolution] = {
    "revoked": "revoked",
    "false_positive": "false_positive",
    "wont_fix": "wont_fix",
    "used_in_tests": "used_in_tests",
    # A custom pattern was removed or changed: GitHub no longer looks, which says nothing about the secret.
    "pattern_deleted": "wont_fix",
    "pattern_edited": "wont_fix",
}


class Malformed(ValueError):  # noqa: N818 - a verdict on the input, raised and counted
    """Not an alert or location we can use. The message names the field, never its content."""


@dataclass(frozen=True, slots=True)
class AlertLocation:
    """One location of an alert: what to show and a stable key."""

    key: str
    path: str
    line: int | None = None
    column: int | None = None
    url: str | None = None


@dataclass(slots=True)
class AlertItem:
    """An alert as read. `secret` is the value, to be fingerprinted and then dropped with `take_secret`."""

    repo: str
    number: int
    url: str
    secret_type: str
    name: str
    state: Literal["open", "resolved"]
    resolution: Resolution | None
    resolved: float | None
    created: float
    updated: float
    dated: bool  # `updated` is GitHub's word, not our guess
    labels: dict[str, str]
    validity: str
    public: bool
    multi: bool
    first: AlertLocation | None
    more: bool  # locations have to be fetched
    _secret: bytes | None = field(default=None, repr=False)

    @property
    def has_secret(self) -> bool:
        return self._secret is not None

    def take_secret(self) -> bytes | None:
        """The value, once."""
        value, self._secret = self._secret, None
        return value

    def id(self, host: str) -> str:
        return f"{host}/{self.repo}#{self.number}".lower()


def item(body: Any, now: float, repo: str | None = None) -> AlertItem:
    """Read an alert of the REST API. `repo`: from the request, where the answer does not say. Raises Malformed."""
    if not isinstance(body, dict):
        raise Malformed("not an object")
    secret = body.pop("secret", None)
    in_url = _IN_URL.search(text(body, "url")) or _IN_URL.search(text(body, "html_url"))
    where = text(body, "repository", "full_name") or repo or (in_url[1] if in_url else "")
    id_ = number(body, "number") or (int(in_url[2]) if in_url else 0)
    if not REPOSITORY.fullmatch(where):
        raise Malformed("repository")
    if not id_:
        raise Malformed("number")
    kind = text(body, "secret_type")
    secret_type = kind if _TYPE.fullmatch(kind) else "unknown"
    created, told = when(body, "created_at"), when(body, "updated_at")
    # Null is GitHub's word too: never changed since.
    dated = told is not None or (created is not None and body.get("updated_at", "") is None)
    updated = told or created or 0.0  # a guess must not be later than what is read next
    created = created or told or now
    resolved = body.get("state") == "resolved"
    validity = text(body, "validity")
    public, multi = body.get("publicly_leaked") is True, body.get("multi_repo") is True
    labels = {"secret_type": secret_type, "github": f"{where}#{id_}"}
    if validity in ("active", "inactive"):
        labels["validity"] = validity
    bypassed = body.get("push_protection_bypassed") is True
    facts = (("publicly_leaked", public), ("multi_repo", multi), ("push_protection_bypassed", bypassed))
    labels |= {name: "true" for name, on in facts if on}
    if asked := web_address(body.get("push_protection_bypass_request_html_url")):
        labels["bypass_request"] = asked
    first = _first(body.get("first_location_detected"), where)
    return AlertItem(
        repo=where,
        number=id_,
        url=web_address(body.get("html_url")) or _page(body.get("url")) or "",
        secret_type=secret_type,
        name=one_line(text(body, "secret_type_display_name"), mark="?") or secret_type.replace("_", " "),
        state="resolved" if resolved else "open",
        resolution=_RESOLUTIONS.get(text(body, "resolution"), "wont_fix") if resolved else None,
        resolved=(when(body, "resolved_at") or updated or now) if resolved else None,
        created=created,
        updated=updated,
        dated=dated,
        labels=labels,
        validity=validity,
        public=public,
        multi=multi,
        first=first,
        # GHES up to 3.18 says neither: then only the list of locations tells.
        more=first is None or body.get("has_more_locations") is not False,
        _secret=_value(secret, body.get("is_base64_encoded") is True),
    )


def _value(secret: Any, encoded: bool) -> bytes | None:
    if not isinstance(secret, str) or not secret.strip():
        return None
    raw = secret.encode("utf-8", "surrogatepass")
    # As the log side does: the identity is that of what the base64 holds.
    return (b64decode(raw.strip()) if encoded else None) or raw


def severity(base: Severity, alert: AlertItem) -> Severity:
    """How bad it is, from what kind of secret it is and what GitHub knows of it.

    Publicly leaked: critical. Known to work: one step up, at least high. In several repositories: at least medium.
    Known not to work any more: at most medium, also when public: it was exposed and may have been used, but is dead.
    """
    level = rank(base)
    if alert.multi:
        level = max(level, rank("medium"))
    if alert.validity == "active":
        level = max(min(level + 1, rank("critical")), rank("high"))
    if alert.validity == "inactive":
        level = min(level, rank("medium"))
    elif alert.public:
        level = rank("critical")
    return SEVERITIES[level]


def place(body: Any, repo: str) -> AlertLocation:
    """Read a location. Raises Malformed."""
    if not isinstance(body, dict) or not isinstance(body.get("details"), dict):
        raise Malformed("location")
    kind = text(body, "type")
    if not re.fullmatch(r"[a-z_]{1,60}", kind):
        kind = "unknown"
    return _place(kind, body["details"], repo)


def _first(details: Any, repo: str) -> AlertLocation | None:
    """`first_location_detected` is a location's details without its type; its own fields tell which it is."""
    if not isinstance(details, dict):
        return None
    if isinstance(details.get("path"), str):
        kinds = ["wiki_commit" if "page_url" in details else "commit"]
    else:
        kinds = [name.removesuffix("_url") for name in details if name.endswith("_url") and name != "html_url"]
    try:
        return _place(kinds[0], details, repo) if len(kinds) == 1 else None
    except Malformed:
        return None  # the list of locations is asked instead


def _place(kind: str, details: Mapping[str, Any], repo: str) -> AlertLocation:
    told = next((address for name in ("html_url", "page_url") if (address := web_address(details.get(name)))), None)
    named = told or web_address(
        details.get(f"{kind}_url")
    )  # as before a page was looked for: ids of findings hang on it
    if kind in ("commit", "wiki_commit"):
        path = one_line(text(details, "path"), mark="?")
        if not path:
            raise Malformed("location path")
        line, column = _small(details.get("start_line")), _small(details.get("start_column"))
        sha = text(details, "commit_sha")
        key = f"{kind}\0{path}\0{line}\0{column}\0{text(details, 'blob_sha') or sha}"
        api = web_address(details.get("blob_url")) or web_address(details.get("commit_url")) or ""
        url = told or commit(api, repo, sha, path, line) or _page(api)
        return AlertLocation(key, f"{repo}{'.wiki' if kind == 'wiki_commit' else ''}:{path}", line, column, url)
    if named is None:
        raise Malformed("location url")
    tail = "/".join(urlsplit(named).path.strip("/").split("/")[-2:])
    return AlertLocation(f"{kind}\0{named}", f"{repo}:{kind.replace('_', ' ')} {tail}", url=page(named))


def _page(address: Any) -> str | None:
    return page(good) if (good := web_address(address)) else None


def finding_id(alert: str, place_key: str) -> str:
    """Does not depend on the secret: it stays when the value becomes known."""
    return hashlib.blake2b(f"{alert}\0{place_key}".encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()


def _small(value: Any) -> int | None:
    """Line and column numbers; the schema calls them numbers, so 4.0 occurs."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**31:
        return None
    return int(value)
