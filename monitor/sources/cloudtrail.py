"""CloudTrail's own files, packed as it delivers them: in its bucket, or in folders that are copies of it.

They are audit records (monitor.access), and text that is scanned as any other. A file is read once: how far a folder
has come is the moment in the names of its files, and those of the last hours that were read are known by name, as
one may come later than its name says. One that cannot be read holds up no other: it is tried again for a day, with
growing pauses, and then told as missed.
"""

from __future__ import annotations

import asyncio
import functools
import glob
import hashlib
import html
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import Field, model_validator

from monitor.clients.aws import Amazon, AwsAccess
from monitor.clients.client import ServiceError
from monitor.common.duration import Duration
from monitor.domain.model import Block, Position
from monitor.intake.protocol import Intake, ScanError
from monitor.sources.base import SourceConfig
from monitor.sources.pushed import BodyError
from monitor.sources.unpack import unpack

__all__ = ["CloudTrailConfig", "CloudTrailSource"]

_NAME = re.compile(
    r"^(?P<folder>.*?)(?:/\d{4}/\d{2}/\d{2})?/[^/]*_CloudTrail_[^/]*_(?P<at>\d{8}T\d{4})Z_[^/]*\.json(?:\.gz)?$"
)
# Of S3's answer, which has each of these elements in one form only
_KEY = re.compile(rb"<Contents>.*?<Key>([^<]*)</Key>", re.DOTALL)
_PREFIX = re.compile(rb"<CommonPrefixes>\s*<Prefix>([^<]*)</Prefix>")
_TOKEN = re.compile(rb"<NextContinuationToken>([^<]*)<")
_YEAR = re.compile(r"/\d{4}/$")
_LATE = timedelta(hours=3)  # how much later than its name says a file may come
_LARGEST = 256 << 20  # bytes of a file, unpacked
_BLOCK = 1 << 20  # bytes
_DEPTH = 8  # folders above a year's
_PATIENCE = 24 * 3600.0  # seconds from the first try of a file to the last
_NOTHING = 100  # files that cannot be read, and none that can: it is the place that cannot
_LEFT = 1000  # files of a folder that are to be tried again


EXAMPLE = """
# CloudTrail's own files: audit records (docs/access.md), read once each, from its bucket or from copies of it.
#[[sources]]
#name = "trail"
#type = "cloudtrail"
#bucket = "acme-trail"
#prefix = "AWSLogs/"
#region = "us-east-1"           # of the bucket
#server = "https://s3.example.org"          # default: of the region
#access_key_id = "credential:trail-key-id"  # default: the role of the pod, the container or the machine
#secret_access_key = "credential:trail-key"
#session_token = "credential:trail-session"
#role_arn = "arn:aws:iam::123456789012:role/reads-trail"  # default: "". Taken on with that key, in another account
#interval = "5m"
#start_at = "end"
#audit = "cloudtrail"

#[[sources]]
#name = "trail-copies"
#type = "cloudtrail"
#path = ["/srv/trail"]          # folders, instead of a bucket
"""


class CloudTrailConfig(AwsAccess, SourceConfig):
    """Reads CloudTrail's own files, which are audit records ([access](access.md)): each once, packed as they are.

    - `bucket` (this or `path`): where the trail puts them
    - `prefix`: what the names of its objects begin with
    - `path` (this or `bucket`): folders that are copies of it, or globs of such
    - `region`: of the bucket
    - `server` (the region's): the address of the bucket's service
    - `access_key_id`, `secret_access_key`, `session_token` (the role of the pod, the container or the machine): it
      needs `s3:ListBucket` and `s3:GetObject`
    - `interval`: pause between looks
    - `start_at`: what is there at the very first start is left alone; or `"beginning"`
    - `audit`: the form of its records, which is no other
    """

    reach: ClassVar[tuple[str, ...]] = ("path", "bucket", "prefix", "server")
    type: Literal["cloudtrail"]
    audit: Literal["cloudtrail"] = "cloudtrail"
    path: tuple[str, ...] = ()
    bucket: str | None = Field(default=None, pattern=r"^[a-z0-9.-]{3,63}$")
    prefix: str = "AWSLogs/"
    region: str = Field(default="us-east-1", pattern=r"^[a-z0-9-]{3,40}$")
    interval: Annotated[Duration, Field(ge=1)] = 300.0
    start_at: Literal["end", "beginning"] = "end"

    @model_validator(mode="after")
    def _one_place(self) -> CloudTrailConfig:
        if bool(self.path) == bool(self.bucket):
            raise ValueError("needs `bucket`, or `path`, and not both")
        return self


class CloudTrailSource:
    """Looks on a schedule; each file's readings and its position are committed together."""

    Config: ClassVar[type[SourceConfig]] = CloudTrailConfig

    def __init__(self, config: CloudTrailConfig, intake: Intake, key: bytes) -> None:
        self.config, self._intake = config, intake

    async def run(self, once: bool) -> None:
        place = _Bucket(self.config) if self.config.bucket else _Folders(self.config.path)
        try:
            look = functools.partial(self._poll, place)
            await (look() if once else self._intake.every(self.config.interval, look))
        finally:
            await place.close()

    async def _poll(self, place: _Folders | _Bucket) -> None:
        """One round. A failure is reported and never ends the source."""
        try:
            problem = await self._look(place)
        except (ServiceError, OSError) as error:
            problem = _words(error)
        self._intake.degraded("files", problem)

    async def _look(self, place: _Folders | _Bucket) -> str | None:
        """Which files cannot be read, in words. Raises ServiceError, OSError when none can."""
        saved = await self._intake.positions()
        known = {folder: state for folder, state in saved.items() if folder and isinstance(state.get("at"), str)}
        names = await place.names({folder: _earlier(state["at"]) for folder, state in known.items()})
        fresh = [(found["folder"], found["at"], name) for name in names if (found := _NAME.match(name))]
        fresh = sorted(one for one in fresh if _new(known.get(one[0]), one[1], one[2]))
        if "" not in saved:
            first = Position(self.config.name, "", {"began": time.time()})
            if self.config.start_at == "end":
                for folder, at, name in fresh:
                    known[folder] = _after(known.get(folder), at, name)
                fresh = []
            await self._intake.record((), [first, *(self._position(folder, known[folder]) for folder in known)])

        # What was left before comes last: the place may be out of order, and then it is not to blame.
        now = time.time()
        again = [(folder, "", name) for folder, state in known.items() for name in _due(state, now)]
        read, why = 0, ""
        failed: list[tuple[str, str]] = []
        for folder, at, name in [*fresh, *again]:
            state = _after(known.get(folder), at, name) if at else known[folder]
            try:
                await self._take(place, name, self._position(folder, _without(state, name)))
            except (ServiceError, OSError) as error:
                failed.append((folder, name))
                why = why or f"{name}: {_words(error)}"
                known[folder] = _with(state, name, now)
                if (not read and len(failed) >= _NOTHING) or len(known[folder]["left"]) > _LEFT:
                    raise
            else:
                read += 1
                known[folder] = _without(state, name)
        if failed and read:  # before, nobody knows whose fault it is
            await self._leave(known, failed, now)
        left = [name for state in known.values() for name in state.get("left", ())]
        if not left:
            return None
        more = f", and {len(left) - 1:,} more" if len(left) > 1 else ""
        return f"{why or f'{left[0]}: could not be read'}{more}; tried again for a day, and the others are read"

    async def _leave(self, known: dict[str, Mapping[str, Any]], failed: Sequence[tuple[str, str]], now: float) -> None:
        """Keep what is to be tried again, and give up what was for a day."""
        for folder, name in failed:
            if now - known[folder]["left"][name][0] >= _PATIENCE:
                self._intake.missed("unreadable", 0, name)
                known[folder] = _without(known[folder], name)
        await self._intake.record((), [self._position(folder, known[folder]) for folder in {one[0] for one in failed}])

    async def _take(self, place: _Folders | _Bucket, name: str, position: Position) -> None:
        data = await place.read(name)
        try:
            await self._intake.scan(_blocks(self.config.name, name, data), lambda: (position,))
        except ScanError:
            self._intake.missed("unscannable", len(data), name)
        except _DamagedError:
            self._intake.missed("damaged", len(data), name)
        else:
            return
        await self._intake.record((), [position])

    def _position(self, folder: str, state: Mapping[str, Any]) -> Position:
        return Position(self.config.name, folder, state)


class _DamagedError(Exception):
    """A file that is no list of records."""


def _blocks(source: str, name: str, data: bytes) -> Iterator[Block]:
    """Its records, one a line, in blocks. Raises _DamagedError. In the thread that scans."""
    try:
        lines = [orjson.dumps(record) + b"\n" for record in orjson.loads(unpack(data, "", _LARGEST))["Records"]]
    except (orjson.JSONDecodeError, BodyError, KeyError, TypeError):
        raise _DamagedError from None
    offset, number, part = 0, 1, b""
    for line in [*lines, b""]:
        if part and (not line or len(part) + len(line) > _BLOCK):
            yield Block(source, name, name, offset, part, time.time(), line=number)
            offset, number, part = offset + len(part), number + part.count(b"\n"), b""
        part += line


def _earlier(at: str) -> str:
    try:
        moment = datetime.strptime(at, "%Y%m%dT%H%M").replace(tzinfo=UTC)
    except ValueError:
        return at
    return (moment - _LATE).strftime("%Y%m%dT%H%M")


def _new(state: Mapping[str, Any] | None, at: str, name: str) -> bool:
    return state is None or (at >= _earlier(state["at"]) and _short(name) not in state.get("seen", ()))


def _words(error: ServiceError | OSError) -> str:
    return str(error) if isinstance(error, ServiceError) else f"cannot be read ({type(error).__name__})"


# What is left of a folder: its files by name, each with the moments of the first try and of the next.


def _due(state: Mapping[str, Any], now: float) -> list[str]:
    return [name for name, (first, at) in state.get("left", {}).items() if not first <= now < at]


def _with(state: Mapping[str, Any], name: str, now: float) -> dict[str, Any]:
    left = state.get("left", {})
    first = left[name][0] if name in left else now
    return {**state, "left": {**left, name: [first, now + (now - first) / 2]}}


def _without(state: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    left = {one: tries for one, tries in state.get("left", {}).items() if one != name}
    return {**state, "left": left} if left else {key: value for key, value in state.items() if key != "left"}


def _after(state: Mapping[str, Any] | None, at: str, name: str) -> dict[str, Any]:
    """How far the folder has come with this file: the latest moment, and what was read of the hours before it."""
    latest = max(at, state["at"]) if state else at
    bound = _earlier(latest)
    seen: Iterable[str] = state.get("seen", ()) if state else ()
    left = {"left": state["left"]} if state and "left" in state else {}
    return {**left, "at": latest, "seen": [one for one in (*seen, _short(name)) if one[:13] >= bound]}


def _short(name: str) -> str:
    found = _NAME.match(name)
    return f"{found['at'] if found else ''}{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}"


class _Folders:
    """Where the files are. Names are paths."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    async def names(self, since: Mapping[str, str]) -> list[str]:
        """Of files that may be new. `since`: folder → moment, as names have it. Raises ServiceError, OSError."""
        return await asyncio.to_thread(self._walk)

    def _walk(self) -> list[str]:
        found = []
        for pattern in self._paths:
            folders = glob.glob(pattern, recursive=True)
            if not folders:
                raise ServiceError(f"{pattern}: there is no such folder")
            for folder in folders:
                for place, _, names in os.walk(folder):
                    found += [os.path.join(place, name) for name in names]
        return found

    async def read(self, name: str) -> bytes:
        """Raises ServiceError, OSError."""
        return await asyncio.to_thread(_whole, name)

    async def close(self) -> None: ...


def _whole(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_LARGEST)


class _Bucket:
    """The same of a bucket. Names are keys of objects."""

    def __init__(self, config: CloudTrailConfig) -> None:
        self._config = config
        self._amazon = Amazon(config, f"source {config.name}", "s3", "")

    async def names(self, since: Mapping[str, str]) -> list[str]:
        found: list[str] = []
        for folder in await self._regions(self._config.prefix, _DEPTH):
            at = since.get(folder.rstrip("/"))
            day = f"{folder}{at[:4]}/{at[4:6]}/{at[6:8]}" if at else folder
            found += (await self._list({"prefix": folder, "start-after": day}))[0]
        return found

    async def _regions(self, prefix: str, depth: int) -> list[str]:
        """Folders that hold years."""
        _, folders = await self._list({"prefix": prefix, "delimiter": "/"})
        if any(_YEAR.search(folder) for folder in folders):
            return [prefix]
        below = [folder for folder in folders if not folder.endswith(("/CloudTrail-Digest/", "/CloudTrail-Insight/"))]
        return [one for folder in below if depth for one in await self._regions(folder, depth - 1)]

    async def _list(self, query: Mapping[str, str]) -> tuple[list[str], list[str]]:
        """Keys, and folders below."""
        keys: list[str] = []
        folders: list[str] = []
        token: str | None = None
        while True:
            more = {"continuation-token": token} if token else {}
            reply = await self._amazon.get(f"/{self._config.bucket}", {"list-type": "2", **query, **more})
            if b"<ListBucketResult" not in reply.body:
                raise ServiceError(f"{self._config.name}: the answer is no list of objects: check `server`")
            keys += _texts(_KEY, reply.body)
            folders += _texts(_PREFIX, reply.body)
            token = next(iter(_texts(_TOKEN, reply.body)), None)
            if not token:
                return keys, folders

    async def read(self, name: str) -> bytes:
        return (await self._amazon.get(f"/{self._config.bucket}/{name}", {})).body

    async def close(self) -> None:
        await self._amazon.close()


def _texts(pattern: re.Pattern[bytes], body: bytes) -> list[str]:
    return [html.unescape(text.decode("utf-8", "replace")) for text in pattern.findall(body)]
