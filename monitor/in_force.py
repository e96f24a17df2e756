"""The configuration that was last in force, kept in the state folder: for commands, while the file waits to be mended.

Only what was read from the file is kept, without its comments. Secrets are references there; one that somebody wrote
where any text may stand, such as a header of an action, is masked: commands that go by this send nothing.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import structlog

from monitor.config import Config, ConfigError, MonitorConfig, default_state_dir, read
from monitor.state import DATABASE_FILE

__all__ = ["keep", "last", "where_it_was"]

log = structlog.get_logger(__name__)

_FILE = "config.json"


def keep(config: Config, scrub: Callable[[str], str]) -> None:
    """Blocking. What cannot be written is not kept: the monitor goes on, and so do commands, by the file. `scrub`:
    masks the secrets in a text."""
    if config.path is None:
        return

    def masked(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: masked(item) for name, item in value.items()}
        if isinstance(value, list):
            return [masked(item) for item in value]
        return scrub(value) if isinstance(value, str) else value

    path = config.state_dir / _FILE
    fresh = path.with_name(f"{_FILE}.{os.getpid()}")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(orjson.dumps({"path": str(config.path), "tables": masked(config.raw)}))
        fresh.replace(path)
    except (OSError, TypeError) as error:
        log.warning("the configuration in force could not be kept for commands", error_type=type(error).__name__)
        fresh.unlink(missing_ok=True)


def last(path: Path) -> Config | None:
    """What was last in force of this file, whatever has become of it since. None: nobody knows. Blocking."""
    for folder in _folders(path):
        try:
            kept = orjson.loads((folder / _FILE).read_bytes())
            if kept["path"] == str(path):
                return read(kept["tables"], path)
        except (OSError, ValueError, LookupError, TypeError, ConfigError):
            continue  # none there, or one of another version
    return None


def where_it_was(path: Path) -> Config | None:
    """The defaults with the first database that lies where this file may mean; to look at it only. None: there is none,
    or the file names another. Blocking."""
    if any(re.match(r"\s*database\s*=", line) for line in _lines(path)):
        return None
    found = (folder for folder in _folders(path) if (folder / DATABASE_FILE).exists())
    folder = next(found, None)
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
                yield path.parent / Path(named).expanduser()
    yield default_state_dir()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_bytes().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
