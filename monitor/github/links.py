"""Addresses that people can open: the web side of a GitHub server, and the page of what its API names.

GHES up to 3.17 and some kinds of places name API addresses only; a browser shows JSON or a refusal there.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

__all__ = ["REPOSITORY", "commit", "page", "web"]

REPOSITORY = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")  # its full name
_GHES = "/api/v3"
# What an API address names → its page.
_PAGES = (
    (re.compile(r"/repos/([^/]+/[^/]+)/secret-scanning/alerts/(\d+)"), r"\1/security/secret-scanning/\2"),
    (re.compile(r"/repos/([^/]+/[^/]+)/issues/(\d+)"), r"\1/issues/\2"),
    (re.compile(r"/repos/([^/]+/[^/]+)/pulls/(\d+)"), r"\1/pull/\2"),
    (re.compile(r"/repos/([^/]+/[^/]+)/pulls/(\d+)/reviews/(\d+)"), r"\1/pull/\2#pullrequestreview-\3"),
)


def web(base: str) -> str:
    """Of an API's base URL, without a final slash: `https://HOST/api/v3` → `https://HOST`."""
    parts = urlsplit(base)
    own = parts.path.startswith(_GHES)  # a server of one's own may be called api.something
    return f"{parts.scheme}://{parts.netloc if own else parts.netloc.removeprefix('api.')}"


def page(address: str) -> str | None:
    """The page of what an API address names, itself when it is none of an API, None when no page can be told."""
    path = _path(address)
    if path is None:
        return address
    found = ((pattern.fullmatch(path), place) for pattern, place in _PAGES)
    return next((f"{web(address)}/{match.expand(place)}" for match, place in found if match), None)


def commit(address: str, repo: str, sha: str, path: str, line: int | None) -> str | None:
    """The page of a line in a commit, on the server of that API address."""
    if _path(address) is None or not re.fullmatch(r"[0-9a-f]{40,64}", sha):
        return None
    return f"{web(address)}/{repo}/blob/{sha}/{quote(path)}" + (f"#L{line}" if line else "")


def _path(address: str) -> str | None:
    """Below the API's base; None when it is no address of an API."""
    parts = urlsplit(address)
    if parts.path.startswith(f"{_GHES}/"):
        return parts.path.removeprefix(_GHES)
    return parts.path if parts.netloc.startswith("api.") else None
