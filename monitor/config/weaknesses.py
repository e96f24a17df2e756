"""What a configuration gives away: who may reach the pages, read the state or the key, or guess it. Only looks."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from monitor.common.credential import Credential, CredentialError
from monitor.common.http import loopback
from monitor.common.listen import split_listen
from monitor.config.config import Config
from monitor.config.state import KEY_FILE
from monitor.sources.syslog_config import SyslogConfig, address

__all__ = ["weaknesses"]

FOLDER = stat.S_IWGRP | stat.S_IRWXO  # a group may look on, as auditors do
KEY = stat.S_IRWXG | stat.S_IRWXO
LEAST_DIFFERENT = 8  # characters of a key; 32 random hex digits have fewer once in a million keys


def weaknesses(config: Config) -> Iterator[tuple[str, str]]:
    """Key path and what to do, for each weakness that is seen from here. Reads the file system, changes nothing."""
    if config.http.listen:
        host, _ = split_listen(config.http.listen)
        if not loopback(host):
            yield (
                "http.listen",
                f"whoever reaches {config.http.listen} reads metrics without a log-in, and on the way what pages show; "
                "listen on 127.0.0.1, behind a proxy with TLS",
            )
    yield from _open_doors(config)
    yield from _open_files(config)
    yield from _weak_key(config)


def _open_doors(config: Config) -> Iterator[tuple[str, str]]:
    """Sources of syslog that anybody may send to. Those of HTTP ask for a token."""
    for index, source in enumerate(config.sources):
        if not isinstance(source, SyslogConfig) or source.allow or source.client_ca:
            continue
        for text in source.listen:
            where = address(text)
            if where.kind != "unix" and not loopback(where.host):
                yield (
                    f"sources[{index}].listen",
                    f'source "{source.name}": whoever reaches {text} may send, and its alerts name what is sent; set '
                    "allow, or take tls: with client_ca",
                )


def _open_files(config: Config) -> Iterator[tuple[str, str]]:
    state = config.state_dir
    if (mode := _mode(state)) is not None and mode & FOLDER:
        yield "monitor.state_dir", f"{state} may be {_words(mode, FOLDER)} by others; chmod 700 it"

    key = config.monitor.fingerprint_key
    file = state / KEY_FILE if key is None else _file(key)
    if file is not None and (mode := _mode(file)) is not None and mode & KEY:
        name = "monitor.state_dir" if key is None else "monitor.fingerprint_key"
        shown = file if key is None else "the file"
        yield name, f"{shown} may be {_words(mode, KEY)} by others, who can then guess secrets; chmod 600 it"


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except OSError:
        return None  # not there yet, or out of sight: the start says so


def _file(credential: Credential) -> Path | None:
    scheme, _, name = credential.reference.partition(":")
    return Path(name) if scheme == "file" else None


def _words(mode: int, others: int) -> str:
    told = [word for word, bits in (("read", 0o044), ("written", 0o022)) if mode & others & bits]
    return " and ".join(told) or "entered"


def _weak_key(config: Config) -> Iterator[tuple[str, str]]:
    key = config.monitor.fingerprint_key
    try:
        value = key.resolve() if key else (config.state_dir / KEY_FILE).read_text(encoding="ascii").strip()
    except (CredentialError, OSError, ValueError):
        return
    if len(set(value)) < LEAST_DIFFERENT:
        name = "monitor.fingerprint_key" if key else "monitor.state_dir"
        yield name, "the fingerprint key repeats a few characters and can be guessed; make one: openssl rand -hex 32"
