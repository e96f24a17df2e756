"""A command of one's own: no shell, a bare environment, the secret by a descriptor, an end after its time."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from monitor.actions.config import ActionConfig
from monitor.common.program import Ran, run, untrusted
from monitor.common.text import quotable

__all__ = ["ActionOutcome", "execute"]

_HOLE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_SAFE = re.compile(r"[A-Za-z0-9_.:@/+=-]{0,512}")
_SECRET = frozenset({"value", "credential", "secret_key", "token", "password"})
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MOST = 64 << 10  # bytes of output that are kept, the last
_SHOWN = 300  # characters of it


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """`accepted`: the issuer took it, which is not yet that the secret is refused; `failed`: it had no effect, or its
    later steps had none; `unknown`: it was sent, and nobody knows; `limited`: nothing was done, as the issuer takes no
    more for another `wait` seconds. `reason` is safe to show. `apart`: one secret alone may fare otherwise.
    """

    state: Literal["accepted", "failed", "unknown", "limited"]
    reason: str
    wait: float = 0.0
    apart: bool = False


async def execute(action: ActionConfig, parts: Mapping[str, str], redact: Callable[[str], str]) -> ActionOutcome:
    """Run it once. Exit code 0: accepted; another: failed; no end in time: unknown."""
    filled = [_filled(item, parts) for item in action.command]
    arguments = [item for item in filled if item is not None]
    if len(arguments) < len(filled):
        return ActionOutcome(
            "failed", "an argument has a hole for which there is no public fact that is safe to fill in"
        )
    if problem := untrusted(arguments[0]):
        return ActionOutcome("failed", problem)

    environment = {"PATH": _PATH, "LANG": "C.UTF-8"}
    value = b"" if action.value == "none" else parts["value"].encode()
    # By a pipe that nobody else has open. It holds 64 KiB; a page where this user has many of them.
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        if _written(writing, value) < len(value):
            return ActionOutcome("failed", "the secret is longer than a pipe holds, and was not handed over")
        by_fd = action.value == "fd"
        if by_fd:
            environment["MONITOR_VALUE_FILE"] = f"/dev/fd/{reading}"
        try:
            ran = await run(
                arguments,
                environment,
                seconds=action.timeout,
                most=_MOST,
                stdin=asyncio.subprocess.DEVNULL if by_fd else reading,
                pass_fds=(reading,) if by_fd else (),
            )
        except OSError as error:
            return ActionOutcome("failed", f"it cannot be started: {(error.strerror or 'refused').lower()}")
    finally:
        os.close(reading)
    return _ended(ran, action, parts, redact)


def _written(writing: int, value: bytes) -> int:
    """How many bytes the pipe has taken; it is closed then."""
    try:
        return os.write(writing, value) if value else 0
    except BlockingIOError:
        return 0
    finally:
        os.close(writing)


def _ended(ran: Ran, action: ActionConfig, parts: Mapping[str, str], redact: Callable[[str], str]) -> ActionOutcome:
    # Masked before it is cut, and searched beyond the cut: what is left of a secret there would not be known for one.
    said = redact(ran.said.decode("utf-8", "replace").strip())
    hidden = [parts[name] for name in _SECRET if parts.get(name)]
    shown = quotable(said[-_SHOWN:], *hidden, limit=_SHOWN) if quotable(said[-2 * _SHOWN :], *hidden) else ""
    tail = f": {shown}" if shown else ""
    code = ran.code
    if code is None:
        return ActionOutcome(
            "unknown", f"no end within {action.timeout:g} s: whether it took effect cannot be known{tail}"
        )
    if code == 0:
        return ActionOutcome("accepted", f"the command has ended well{tail}")
    if code < 0:
        return ActionOutcome("unknown", f"ended by signal {-code}: whether it took effect cannot be known{tail}")
    return ActionOutcome("failed", f"exit code {code}{tail}")


def _filled(item: str, parts: Mapping[str, str]) -> str | None:
    """An argument with its public facts; never a secret, as others on this host see arguments."""
    for name in _HOLE.findall(item):
        if name in _SECRET or name not in parts or not _SAFE.fullmatch(parts[name]) or parts[name].startswith("-"):
            return None
    return _HOLE.sub(lambda found: parts[found[1]], item)
