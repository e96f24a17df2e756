"""What the process asks of the operating system: memory back, systemd's notifications, logs."""

from __future__ import annotations

import ctypes
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import structlog

from monitor.common.text import printable

__all__ = ["log_apart", "log_to_stderr", "mask_logs", "notify", "spare_memory", "watchdog_interval"]


def spare_memory() -> None:
    """Give back what is free: to read and compile rules takes some thirty megabytes that nothing needs afterwards."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc
        libc.malloc_trim(0)


_SUPERVISOR = 2.0  # seconds for which a message waits for room, and the event loop with it


def notify(state: str) -> None:
    """Tell systemd (sd_notify(3)); nothing when it did not start us."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            connection.settimeout(_SUPERVISOR)
            connection.connect(address)
            connection.sendall(state.encode())
    except OSError:
        return  # a supervisor that is missing, or reads nothing, must not end the daemon


def watchdog_interval() -> float | None:
    """Seconds between signs of life: a third of WatchdogSec; None without a watchdog."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()) or not microseconds.isdigit():
        return None
    return int(microseconds) / 3e6


def _no_exception_text(_logger: Any, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Exceptions may quote what was being worked on: logs get their type, never their text."""
    error = event.pop("exc_info", None)
    if error:
        if not isinstance(error, BaseException):
            error = sys.exc_info()[1]
        event["error_type"] = type(error).__name__
    return event


_redact: list[Callable[[str], str]] = []  # one at most, once there are rules


def mask_logs(redact: Callable[[str], str]) -> None:
    """From now on every text of a log entry goes through `redact`: paths and names come from outside."""
    _redact[:] = [redact]


def _masked(_logger: Any, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    for redact in _redact:
        for key, value in event.items():
            if isinstance(value, str):
                event[key] = redact(value)
            elif isinstance(value, list | tuple):
                event[key] = [redact(part) if isinstance(part, str) else part for part in value]
    return event


def _escaped(_logger: Any, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """A file's name may hold what moves a terminal's cursor or its window's title."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = printable(value)
    return event


def log_to_stderr(level: str = "info", form: str = "auto") -> None:
    """Structured logs: coloured text on a terminal, one JSON object a line elsewhere. Also what libraries say, and what
    fails where nobody handles it."""
    log_apart(level, form)
    # Libraries use the standard library's logging; only their warnings matter here.
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(handlers=[_Entries()], level=max(number, logging.WARNING))
    # What fails where nobody handles it would be printed with its text.
    threading.excepthook = lambda args: _say("a thread failed", args.exc_type)
    sys.unraisablehook = lambda args: _say("ignored failure", args.exc_type)


def log_apart(level: str = "warning", form: str = "text") -> None:
    """Our own entries on standard error, where what a command prints is not."""
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _no_exception_text,
            _masked,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # JSON escapes all that is not ASCII by itself.
            *(
                [_escaped, structlog.dev.ConsoleRenderer(colors=colours)]
                if text
                else [structlog.processors.JSONRenderer()]
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_names: structlog.PrintLogger(sys.stderr),  # as it is then
        cache_logger_on_first_use=False,
    )


class _Entries(logging.Handler):
    """What libraries say, as entries of our own log: of exceptions their type, never their text."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0] if record.exc_info else None
        error = {"error_type": kind.__name__} if kind else {}
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):  # its arguments are not those that it has places for
            text = str(record.msg)
        level = min(record.levelno // 10 * 10, logging.CRITICAL)  # structlog knows only those that have names
        structlog.get_logger().log(level, text, logger=record.name, **error)


def _say(what: str, kind: type[BaseException]) -> None:
    structlog.get_logger(__name__).error(what, error_type=kind.__name__)
