"""Where in a source a synthetic secret can be planted, and how: in a file it follows, or sent to where it listens."""

from __future__ import annotations

import contextlib
import glob
import ipaddress
import json
import os
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.common.http import RemoteError
from monitor.common.listen import split_listen
from monitor.common.wording import stamp
from monitor.drill import send
from monitor.drill.append import Made, append
from monitor.drill.send import SendError
from monitor.sources.file.globs import Globs
from monitor.sources.peers import Peers

if TYPE_CHECKING:
    from monitor.sources.base import SourceConfig
    from monitor.sources.file.source import FileConfig
    from monitor.sources.http import HttpSourceConfig
    from monitor.sources.journal.config import JournalConfig
    from monitor.sources.mqtt import MqttSourceConfig
    from monitor.sources.syslog_config import SyslogConfig

__all__ = ["KINDS", "DrillError", "Spot", "spot"]

_LEVEL = "exposure-drill"  # for what a topic filter leaves open
_JOURNALS = ("/var/log/journal", "/run/log/journal")  # journald's own


class DrillError(Exception):
    """A hop that did not come. `hop` names it; the message says why and what to look at."""

    def __init__(self, hop: str, message: str) -> None:
        super().__init__(message)
        self.hop = hop


@dataclass(slots=True)
class Spot:
    """Where a line can be planted. `place`: for people; `look`: what to look at when it is not found there; `made`: the
    file that was made for it, and goes at the end."""

    place: str
    look: str
    _put: Callable[[str], Awaitable[Made | None]] = field(repr=False)
    made: Made | None = None

    async def plant(self, line: str) -> float:
        """Put the line there; returns when (seconds since the epoch). Raises DrillError."""
        now = time.time()
        try:
            self.made = await self._put(line)
        except (SendError, RemoteError) as error:  # the latter: a credential that cannot be read
            raise DrillError("planted", str(error)) from None
        return now

    def remove(self) -> None:
        """What is ours goes. What was sent, and a line in somebody's file, stays."""
        if self.made is not None:
            self.made.remove()


def spot(config: SourceConfig, given: str | None = None) -> Spot:
    """A place in the source: the one `given`, or one that fits it. Raises DrillError."""
    found: Spot = KINDS[config.type](config, given)
    return found


# Files


def _file(config: FileConfig, given: str | None) -> Spot:
    return _appended(config, _path(config, given), lambda line: line, follow=given is not None)


def _container(config: FileConfig, given: str | None) -> Spot:
    """A line as the runtime writes it, beside the logs of a container that is there."""
    path = _path(config, given)

    def wrapped(line: str) -> str:
        now = stamp(time.time(), "microseconds")
        if not _docker(path):
            return f"{now} stdout F {line}"
        entry = {"log": f"{line}\n", "stream": "stdout", "time": now}
        return json.dumps(entry, separators=(",", ":"))

    return _appended(config, path, wrapped, follow=given is not None)


def _docker(path: Path) -> bool:
    with contextlib.suppress(OSError):
        if path.is_file():  # a FIFO would hold us
            with path.open("rb") as file:
                return file.read(1) == b"{"
    return path.name.endswith("-json.log")


def _appended(config: FileConfig, path: Path, form: Callable[[str], str], *, follow: bool) -> Spot:
    """`follow`: also where a link leads, as who names a file means it."""

    async def put(line: str) -> Made | None:
        text = form(line)  # before there is a file
        try:
            return append(path, text, follow=follow)
        except OSError as error:
            raise SendError(f"{path}: {error.strerror}; name a file with --at") from None

    look = f"does source {config.name} read {path}? it follows {', '.join(config.include)}"
    return Spot(str(path), look, put)


def _path(config: FileConfig, given: str | None) -> Path:
    globs = Globs(config.include, config.exclude)
    if given is not None:
        path = Path(os.path.abspath(os.path.expanduser(given)))
        if globs.matches(str(path)):
            return path
        raise DrillError("planted", f"source {config.name} does not follow {path}: it is not in include, or in exclude")
    name = f"exposure-drill-{secrets.token_hex(4)}"
    for pattern in config.include:
        fitting = _fitting(Path(pattern), name)
        if fitting is not None and globs.matches(str(fitting)) and os.path.isdir(fitting.parent):
            return fitting
    raise DrillError(
        "planted",
        f"no file name fits the patterns of source {config.name} in a folder that is there; name one with --at",
    )


def _fitting(pattern: Path, name: str) -> Path | None:
    """A path that fits: in the first folder there is, with `name` for the file's first wildcard."""
    last = re.sub(r"\*+", name, pattern.name, count=1)
    last = re.sub(r"\*+", "x", last).replace("?", "x")
    folder = str(pattern.parent)
    if pattern.name == "**":
        last = f"{name}.log"
    folders = [folder] if not glob.has_magic(folder) else sorted(glob.glob(folder, recursive=True))
    found = next((one for one in folders if os.path.isdir(one)), None)
    return None if found is None or glob.has_magic(last) else Path(found) / last


# What is sent


def _journal(config: JournalConfig, given: str | None) -> Spot:
    namespace = (config.namespace or "").removeprefix("+")
    if "*" in namespace:
        namespace = ""
    name = next((one for one in config.fields if not one.startswith("_")), "")
    _refuse(
        (given is not None, f"source {config.name} has no places to choose from: leave --at out"),
        (
            config.units,
            f"source {config.name} follows units ({', '.join(config.units)}), and journald lets nobody else write in "
            "their name: drill a journal source without units",
        ),
        (
            config.directory and not config.directory.startswith(_JOURNALS),
            f"source {config.name} reads {config.directory}, which the journald of this host does not write: drill a "
            "journal source without directory",
        ),
        (not name, f"source {config.name} reads only fields that journald fills in: {config.fields}"),
    )
    identifier = config.identifiers[0] if config.identifiers else "exposure-monitor-drill"
    fields = {"SYSLOG_IDENTIFIER": identifier, "PRIORITY": _priority(config.priority)}

    async def put(line: str) -> None:
        send.to_journal(namespace, {"MESSAGE": "exposure-monitor drill", **fields, name: line})

    look = f"`journalctl SYSLOG_IDENTIFIER={identifier} -n 1` shows whether journald has it"
    return Spot(f"the journal, as {identifier}", look, put)


def _priority(wanted: str | None) -> str:
    """One that `priority` of the source lets pass."""
    names = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
    last = (wanted or "info").rpartition("..")[2]
    return str(names.index(last)) if last in names else last


def _syslog(config: SyslogConfig, given: str | None) -> Spot:
    from monitor.sources.syslog_config import address

    listening = [text for text in config.listen if given in (None, text)]
    _refuse((not listening, f"source {config.name} does not listen there; --at is one of {', '.join(config.listen)}"))
    # One that needs no certificate of ours, when there is one.
    text = next((one for one in listening if not one.startswith("tls:")), listening[0])
    where = address(text)
    if where.kind != "unix":
        where = where._replace(host=_near(config.name, where.host, where.port, config.allow))
    why = f"{text} takes nothing without a certificate of {config.client_ca}; choose another with --at"
    _refuse((where.kind == "tls" and config.client_ca, why))

    async def put(line: str) -> None:
        if where.kind == "unix":
            await send.to_syslog_socket(where.host, line)
        elif where.kind == "udp":
            await send.to_syslog_udp(where.host, where.port, line)
        else:
            certificate = config.certificate if where.kind == "tls" else None
            await send.to_syslog_tcp(where.host, where.port, line, certificate)

    return Spot(text, f"does source {config.name} listen on {text}?", put)


def _mqtt(config: MqttSourceConfig, given: str | None) -> Spot:
    from paho.mqtt.client import topic_matches_sub

    filters = [re.sub(r"^\$share/[^/]+/", "", topic) for topic in config.topics]
    if given is not None:
        topic = given
        wrong = set(topic) & set("+#\0") or not any(topic_matches_sub(one, topic) for one in filters)
        why = f"source {config.name} does not follow that topic; its filters are {', '.join(filters)}"
        _refuse((not topic or wrong, why))
    else:
        topic = "/".join(_LEVEL if level in ("+", "#") else level for level in filters[0].split("/"))
    shared = " (it shares them: another of its group may have taken it)" if "$share" in config.topics[0] else ""

    async def put(line: str) -> None:
        await send.to_mqtt(config, topic, json.dumps({config.fields[0]: line}) if config.fields else line)

    return Spot(f"topic {topic}", f"has source {config.name} subscribed to {topic}?{shared}", put)


def _http(config: HttpSourceConfig, given: str | None) -> Spot:
    path = given or "/"
    _refuse((path not in send.DOORS, f"--at of source {config.name} is one of {', '.join(send.DOORS)}"))
    host, port = split_listen(config.listen)
    if not host.startswith("/"):
        host = _near(config.name, host, port, config.allow)
    why = f"source {config.name} takes nothing without a certificate of {config.client_ca}: drill another"
    _refuse((config.client_ca, why))

    async def put(line: str) -> None:
        token = config.token.resolve("token") if config.token else None
        await send.to_http(host, port, path, line, token=token, certificate=config.certificate)

    return Spot(f"{config.listen}{path}", f"does source {config.name} listen on {config.listen}?", put)


def _near(name: str, host: str, port: int, allow: tuple[str, ...]) -> str:
    """The address of a listener as this host reaches it. Raises DrillError where it would not be let in."""
    _refuse((not port, f"source {name} listens on a port that the system chooses: give it one in listen"))
    near = host
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            near = "127.0.0.1" if address.version == 4 else "::1"
        why = f"source {name} takes nothing from {near}, which is this host: add it to allow"
        _refuse((not Peers(allow, None).allowed(near), why))
    return near


def _refuse(*checks: tuple[object, str]) -> None:
    """Raises DrillError with the first message whose check holds."""
    for wrong, message in checks:
        if wrong:
            raise DrillError("planted", message)


# type of a source → how a secret gets into it; what is not here reads what others publish
KINDS: Mapping[str, Callable[[Any, str | None], Spot]] = {
    "container": _container,
    "file": _file,
    "http": _http,
    "journal": _journal,
    "mqtt": _mqtt,
    "syslog": _syslog,
}
