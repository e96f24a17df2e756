"""Where the configuration lies, and what says that something is wrong with it.

Quick to import: a hook looks for a configuration at every commit, and mostly there is none.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from monitor.common.problems import Problem
from monitor.common.text import veiled

__all__ = ["LOCAL_PATH", "SYSTEM_PATH", "ConfigError", "default_state_dir", "default_workers", "find"]

SYSTEM_PATH = Path("/etc/exposure-monitor/config.toml")
LOCAL_PATH = Path("config.toml")


class ConfigError(Exception):
    """Everything that is wrong with the configuration. `str()` gives one line a problem, safe to print and log."""

    def __init__(
        self,
        path: Path | None,
        problems: Sequence[Problem],
        lines: Mapping[str, int] | None = None,
    ) -> None:
        self.path = path
        self.problems = list(problems)
        self._lines = dict(lines or {})
        super().__init__(veiled(self._text()))  # a key, a name or a path may be a secret in the wrong place

    def line(self, key: str) -> int | None:
        """The line of a key path in the file, as far as it could be found."""
        return self._lines.get(key)

    def _text(self) -> str:
        name = str(self.path) if self.path else "configuration"
        places = [f"{name}:{line}" if (line := self.line(problem.key)) else name for problem in self.problems]
        rows = zip(places, self.problems, strict=True)
        return "\n".join(": ".join(filter(None, (place, problem.key, problem.message))) for place, problem in rows)


def default_state_dir() -> Path:
    """$STATE_DIRECTORY (systemd gives a colon-separated list, ours is the first), else one below the home directory."""
    given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    home = os.path.expanduser("~")
    # Where no home is known, as of many users in containers: what cannot be stored is made each time.
    return Path("/nonexistent" if home == "~" else home, ".local/state/exposure-monitor")


def default_workers() -> int:
    """One a usable CPU, at most four."""
    return min(4, len(os.sched_getaffinity(0)))


def find(given: Path | None = None, *, here: bool = True) -> Path:
    """The file to use: the one given, $MONITOR_CONFIG, ./config.toml, the system's. Raises ConfigError.

    `here` False leaves out ./config.toml: it may lie in what a command looks at, and be somebody else's.
    """
    if given is not None:
        return given
    if named := os.environ.get("MONITOR_CONFIG"):
        return Path(named)
    if here and os.path.exists(LOCAL_PATH):  # not where this user may not look, as by sudo from the home of another
        if problem := _untrusted(LOCAL_PATH):
            raise ConfigError(LOCAL_PATH.absolute(), [Problem("", problem)])
        return LOCAL_PATH
    if SYSTEM_PATH.exists():
        return SYSTEM_PATH
    local = f", ./{LOCAL_PATH}" if here else f" (this command takes no ./{LOCAL_PATH} by itself)"
    message = (
        f"no configuration found: looked for $MONITOR_CONFIG{local} and {SYSTEM_PATH}; "
        "make one with `monitor init`, or name a file with --config"
    )
    raise ConfigError(None, [Problem("", message)])


def _untrusted(path: Path) -> str | None:
    """Why a file that nobody named is not taken: it says where secrets are sent and which commands' state is used."""
    name_it = "; name it with --config if it is meant"
    for place in (path, path.absolute().parent):
        info = place.stat()
        what = "it" if place == path else "its folder"
        if info.st_uid not in (0, os.geteuid()):
            return f"found in the current folder, but {what} belongs to another user{name_it}"
        others = info.st_mode & 0o002 or (info.st_mode & 0o020 and info.st_gid != os.getegid())
        if others and not info.st_mode & stat.S_ISVTX:
            return f"found in the current folder, but others can write to {what}{name_it}"
    return None
