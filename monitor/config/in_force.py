"""The configuration that was last in force, kept in the state folder: for commands, while the file waits to be mended.

It is for those that need the database only, which send and start nothing. So what would be sent, started or read is not
kept, and with it goes whatever somebody wrote there in place of a reference; what else a rule finds is masked.
"""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import structlog

from monitor.common.failure import failure
from monitor.config.config import Config, read
from monitor.config.locate import ConfigError, default_state_dir
from monitor.config.state import DATABASE_FILE
from monitor.config.tables import MonitorConfig

__all__ = ["keep", "last", "where_it_was"]

log = structlog.get_logger(__name__)

_FILE = "config.json"
_LEFT_OUT = {"sources", "inventory", "verify", "audit", "rotation", "waivers", "retention"}
_SENT = {"headers", "json", "form", "auth", "parts"}  # of an action


def keep(config: Config, redact: Callable[[str], str]) -> None:
    """Blocking. What cannot be written is not kept: the monitor goes on, and so do commands, by the file. `redact`:
    masks the secrets in a text."""
    if config.path is None:
        return

    def masked(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: masked(item) for name, item in value.items()}
        if isinstance(value, list):
            return [masked(item) for item in value]
        return redact(value) if isinstance(value, str) else value

    tables = {name: table for name, table in config.raw.items() if name not in _LEFT_OUT}
    if "console" in tables:  # by what name commands note who types
        tables["console"] = {"people": tables["console"].get("people", {})}
    if "actions" in tables:
        tables["actions"] = [_named(action) for action in tables["actions"]]
    path = config.state_dir / _FILE
    fresh = path.with_name(f"{_FILE}.new")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(orjson.dumps({"path": str(config.path), "tables": masked(tables)}))
        fresh.replace(path)
    except (OSError, TypeError) as error:
        log.warning("the configuration in force could not be kept for commands", **failure(error))
        with contextlib.suppress(OSError):
            fresh.unlink()


def _named(action: dict[str, Any]) -> dict[str, Any]:
    """An action without what it sends and with what it starts: that it is there, and for what."""
    kept = {name: value for name, value in action.items() if name not in _SENT}
    for name in kept.keys() & {"url", "server"}:
        parts = urlsplit(kept[name])
        kept[name] = f"{parts.scheme}://{parts.netloc}"
    if "command" in kept:
        kept["command"] = kept["command"][:1]
    return kept


def last(path: Path) -> Config | None:
    """What was last in force of this file, whatever has become of it since. None: nobody knows. Blocking."""
    for folder in _folders(path):
        try:
            with open(folder / _FILE, "rb") as file:
                others = os.fstat(file.fileno()).st_uid not in (0, os.geteuid())
                kept = orjson.loads(file.read())
            if kept["path"] != str(path):
                continue
            config = read(kept["tables"], path)
        except (OSError, ValueError, LookupError, TypeError, ConfigError):
            continue  # none there, or one of another version
        # Root trusts the service's user with the database beside it, but not to name a server and who logs in there.
        if config.state_dir == folder and not (others and config.monitor.database):
            return config
    return None


def where_it_was(path: Path) -> Config | None:
    """The defaults with the first database that lies where this file may mean; to look at it only. None: there is none,
    or the file names another. Blocking."""
    if any(re.match(r"\s*database\s*=", line) for line in _lines(path)):
        return None
    folder = next((folder for folder in _folders(path) if (folder / DATABASE_FILE).exists()), None)
    return Config(path=path, monitor=MonitorConfig(state_dir=folder)) if folder else None


def _folders(path: Path) -> Iterator[Path]:
    """State folders that the file may mean, as far as it can be understood: each such line by itself."""
    for line in _lines(path):
        if re.match(r"\s*state_dir\s*=", line):
            try:
                named = tomllib.loads(line)["state_dir"]
            except tomllib.TOMLDecodeError:
                continue
            if isinstance(named, str):
                yield path.parent / os.path.expanduser(named)
    yield default_state_dir()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_bytes().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
