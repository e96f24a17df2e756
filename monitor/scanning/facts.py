"""What is known of a secret by what stands around it, and is none: who is meant by the password of a connection string,
the id of a key of AWS, the service that a log is of (docs/incidents.md has the rules). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from detectors.match.engine import Match

__all__ = ["AROUND", "connection", "pair", "service_of"]

_END = rb"[\s,;?#&|\"'`<>(){}\[\]\\]|\Z"  # of a whole name: a part of one may be half of a secret
_USER = re.compile(rb"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{1,30})://(?P<user>[^\s:/@?#\"'<>]{0,64}):\Z")
_HOST = re.compile(
    rb"@(?P<host>[A-Za-z0-9_.-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?P<port>:\d{1,5})?(?=/|" + _END + rb")"
    rb"(?:/(?P<db>[\w.-]{1,64})(?=" + _END + rb"))?"
)
# Elsewhere a path is the page of a site, a virtual host, a folder: said to be a database, it sends people astray.
_DATABASES = frozenset(
    b"arangodb cassandra clickhouse clickhouses cockroach cockroachdb couchbase couchbases couchdb db2 edgedb firebird"
    b" gel hive impala influxdb libsql mariadb mongodb mssql mysql mysql2 mysqlx neo4j oracle postgis postgres"
    b" postgresql presto psql redis rediss redshift snowflake sqlserver surrealdb sybase taos teradata tidb timescaledb"
    b" trino valkey valkeys vertica yugabyte".split()
)
AROUND = 400  # bytes on either side of the password

_KEY_ID = "aws-access-key-id"
_SECRET_KEYS = ("aws-secret-access-key", "aws-secret-access-key-pair")
_WITHIN = 512  # bytes between the two
_CROWD = 10_000  # pairs to look at; where there are more, each stands for itself

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


def connection(before: bytes, after: bytes) -> Mapping[str, str]:
    """From the text directly before and after the password; empty when that is no connection string."""
    # The host first: it stands right there or nowhere, while the user is looked for.
    where = _HOST.match(after[:AROUND])
    who = _USER.search(before[-AROUND:]) if where else None
    if not who or not where:
        return {}
    parts = {"user": who["user"], "host": where["host"] + (where["port"] or b"")}
    if not _DATABASES.isdisjoint(who["scheme"].lower().split(b"+")):  # `mysql+pymysql`, `prisma+postgres`
        parts["database"] = where["db"] or b""
    return {name: value.decode("utf-8", "replace") for name, value in parts.items() if value}


def pair(matches: Sequence[Match]) -> tuple[list[Match], Mapping[int, Mapping[str, str]]]:
    """The matches without the ids of AWS that belong to a secret key close by, which are one exposure with it, and by
    index in them what is to be told of some: the id, which is no secret (AWS shows and logs it) and is searched for.

    Where two ids are equally near, nothing says whose is whose: all stay.
    """
    ids = [match for match in matches if match.rule.id == _KEY_ID]
    if not ids:
        return list(matches), {}
    keys = [match for match in matches if match.rule.id in _SECRET_KEYS]
    owned: dict[int, Match] = {}
    for key in keys if len(ids) * len(keys) <= _CROWD else ():
        near = sorted(((_distance(key, one), number) for number, one in enumerate(ids) if one.decode == key.decode))[:2]
        if near and near[0][0] <= _WITHIN and (len(near) == 1 or near[0][0] < near[1][0]):
            owned[id(key)] = ids[near[0][1]]

    merged = {id(one) for one in owned.values()}
    kept = [match for match in matches if id(match) not in merged]
    told = ((index, match if match.rule.id == _KEY_ID else owned.get(id(match))) for index, match in enumerate(kept))
    return kept, {at: {"access_key_id": one.secret.decode("ascii", "replace")} for at, one in told if one is not None}


def _distance(key: Match, other: Match) -> int:
    return max(key.start - other.end, other.start - key.end, 0)


def service_of(path: str, attributes: Mapping[str, str], named: str | None = None) -> str | None:
    """Of a log, from what its source knows of it and from its path. `named`: the program that the record names. None
    when nothing tells."""
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
    names = (_SUFFIX.sub("", name), *reversed(folders[1:]))
    return next((one for one in names if one and not _KINDS.fullmatch(one) and not one.startswith(".")), None)
