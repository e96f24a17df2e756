"""What logs there are on a host, which of them a user may read, and the configuration that follows them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from monitor.machine.unit import STATE
from monitor.sources.container import ContainerConfig
from monitor.sources.file.globs import Globs
from monitor.sources.file.rights import remedy

__all__ = ["LogPlace", "configuration", "survey"]

_JOURNALS = ("/var/log/journal", "/run/log/journal")
_FILES = ("/var/log/**/*.log", "/var/log/syslog", "/var/log/messages", "/var/log/secure", "/var/log/maillog")
# Read by other sources, or of services that keep theirs to themselves
_NO_FILES = ("/var/log/journal/**", "/var/log/pods/**", "/var/log/containers/**", "/var/log/private/**")


class LogPlace(NamedTuple):
    """`source`: its table in the configuration. `refused`: what lets the service read what it may not, and how many
    files that is; None: that could not be tried."""

    about: str
    source: str
    refused: dict[str, int] | None


def survey(root: Path, user: str, tried: Callable[[Callable[[], Any]], Any] | None) -> list[LogPlace]:
    """`tried`: returns what is returned to who is `user`; None: nobody here may be that. Blocking."""
    places = []
    if any((root / folder.lstrip("/")).is_dir() for folder in _JOURNALS):
        places.append(LogPlace("the journal", _source("journal", "journal"), None))
    files = [pattern for pattern in _FILES if "*" in pattern or (root / pattern.lstrip("/")).exists()]
    named = ('include = ["' + '", "'.join(files) + '"]', 'exclude = ["' + '", "'.join(_NO_FILES) + '"]')
    for name, kind, include, exclude, lines in (
        ("system", "file", files, _NO_FILES, named),
        ("containers", "container", ContainerConfig.model_fields["include"].default, (), ()),
    ):
        paths = Globs(_below(root, include), _below(root, exclude)).paths()
        there = [path for path in paths if os.path.exists(path)]
        if there:
            refused = tried(partial(_refused, there, user)) if tried else None
            what = f"{len(there):,} files of {', '.join(include)}"
            places.append(LogPlace(what, _source(name, kind, *lines), refused))
    return places


def _below(root: Path, patterns: Sequence[str]) -> list[str]:
    return [str(root / pattern.lstrip("/")) for pattern in patterns]


def _refused(paths: Sequence[str], user: str) -> dict[str, int]:
    alike: dict[str, int] = {}
    for path in paths:
        if not os.access(path, os.R_OK):
            what = f"{os.path.dirname(path)}: {remedy(path, user)}"
            alike[what] = alike.get(what, 0) + 1
    return alike


def _source(name: str, kind: str, *lines: str) -> str:
    return "\n".join(["[[sources]]", f'name = "{name}"', f'type = "{kind}"', *lines, ""])


def configuration(places: Sequence[LogPlace]) -> str:
    """Ready to run: alerts go to the service's own journal until there is another sink."""
    sources = "\n".join(place.source for place in places)
    return f"""\
# Made by `monitor init --install` from what is on this host; `monitor init example.toml` shows every key.
# After a change: monitor check --environment, then systemctl reload exposure-monitor.

[monitor]
state_dir = "{STATE}"
fingerprint_key = "credential:fingerprint-key"

#[http]
#base_url = "https://monitor.example.org"   # how people reach its pages, for links in alerts

{sources}
# Alerts, in the journal: journalctl -u exposure-monitor
[[sinks]]
name = "screen"
type = "console"

#[[sinks]]
#name = "chat"
#type = "slack"
#webhook_url = "credential:slack-webhook"   # docs/operations.md says where its value goes
"""
