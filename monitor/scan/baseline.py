"""A baseline: fingerprints of what is known and accepted, so that only what is new is shown. Holds no secret."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from detectors.fingerprint import fingerprint
from monitor.common.text import clean

if TYPE_CHECKING:
    from monitor.domain.model import Finding

__all__ = ["BaselineError", "read", "write"]

VERSION = 1


class BaselineError(Exception):
    """A baseline that cannot be used; the message names the file and what to do."""


def _check(key: bytes) -> str:
    # With another key nothing in the file would ever be recognised, and nobody would notice.
    return fingerprint(key, b"exposure-monitor baseline")


def read(path: Path, key: bytes) -> frozenset[str]:
    """Its fingerprints. Raises BaselineError."""
    try:
        data = orjson.loads(path.read_bytes())
    except OSError as error:
        raise BaselineError(f"{path}: {error.strerror or 'cannot be read'}; make one with --write-baseline") from None
    except orjson.JSONDecodeError:
        raise BaselineError(f"{path}: not a baseline: it is not JSON; make one with --write-baseline") from None
    if not isinstance(data, dict) or data.get("version") != VERSION or not isinstance(data.get("secrets"), list):
        raise BaselineError(f"{path}: not a baseline of version {VERSION}; make one with --write-baseline")
    if data.get("key") != _check(key):
        raise BaselineError(
            f"{path}: made with another fingerprint key, so it knows nothing here; "
            "set monitor.fingerprint_key to the key it was made with, or make a new one with --write-baseline"
        )
    try:
        return frozenset(str(entry["fingerprint"]) for entry in data["secrets"])
    except (TypeError, KeyError):
        raise BaselineError(f"{path}: damaged: an entry of `secrets` has no fingerprint") from None


def write(path: Path, key: bytes, found: Iterable[Finding]) -> int:
    """Replace the file; says how many secrets are in it. Raises BaselineError."""
    known: dict[str, dict[str, str]] = {}
    for one in found:
        known.setdefault(one.fingerprint, {"fingerprint": one.fingerprint, "rule": one.rule, "path": clean(one.path)})
    data = {"version": VERSION, "key": _check(key), "secrets": sorted(known.values(), key=lambda e: e["fingerprint"])}
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        fresh.write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2) + b"\n")
        fresh.replace(path)
    except OSError as error:
        raise BaselineError(f"{path}: {error.strerror or 'cannot be written'}") from None
    return len(known)
