"""Which service a log is of, from what its source knows of it and from its path (docs/incidents.md has the rules)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

__all__ = ["service_of"]

_ATTRIBUTES = ("service", "unit", "container", "identifier")
_PATHS = [
    re.compile(r"/pods/(?P<ns>[^/_]+)_[^/_]+_[^/]+/(?P<name>[^/]+)/[^/]+$"),  # /var/log/pods/NS_POD_UID/CONTAINER/0.log
    re.compile(r"/containers/[^/_]+_(?P<ns>[^/_]+)_(?P<name>[^/]+)-[0-9a-f]{64}\.log$"),
    re.compile(r"/containers/(?P<id>[0-9a-f]{12})[0-9a-f]{52}/[^/]+$"),  # Docker's json-file
]
_SUFFIX = re.compile(r"(?:[.-](?:\d+|log|txt|json|gz|xz|bz2|zst|old|current))+$", re.IGNORECASE)
# Names that say what kind of text it is, not whose.
_KINDS = re.compile(
    r"(?:access|app|application|audit|console|current|daemon|debug|default|err|error|errors|info|kern|log|logs|main"
    r"|messages|other|out|output|request|requests|server|stderr|stdout|syslog|trace|user|var|warn|\d+)(?:[_-]?logs?)?"
    r"|(?:access|error)[_-]\w+",
    re.IGNORECASE,
)


def service_of(path: str, attributes: Mapping[str, str], named: str | None = None) -> str | None:
    """`named`: the program that the record names. None when nothing tells."""
    for key in _ATTRIBUTES:
        if value := attributes.get(key):
            return value.removesuffix(".service") if key == "unit" else value
    return named or _of(path)


@lru_cache(1024)
def _of(path: str) -> str | None:
    for pattern in _PATHS:
        if found := pattern.search(path):
            parts = found.groupdict()
            return parts["id"] if "id" in parts else f"{parts['ns']}/{parts['name']}"

    if not path.startswith("/"):
        return None
    *folders, name = path.split("/")
    for part in (_SUFFIX.sub("", name), *reversed(folders[1:])):
        if part and not _KINDS.fullmatch(part) and not part.startswith("."):
            return part
    return None
