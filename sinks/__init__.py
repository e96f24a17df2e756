"""Notification → network. Knows of ours only `monitor.common`.

To add a sink: one file with a class and its `Config`, one line in `SINKS`, one test, one section in the example
configuration.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monitor.common.http import Http
    from sinks.base import Sink, SinkConfig

    class SinkClass(Sink):
        """What the table names: a Sink that is built from its own `Config` and the shared HTTP client."""

        def __init__(self, config: SinkConfig, http: Http) -> None: ...


__all__ = ["SINKS", "UnknownSinkError", "load_sink"]

# `type` in the configuration → "module:Class", imported when first used
SINKS: dict[str, str] = {
    "alertmanager": "sinks.alertmanager:Alertmanager",
    "console": "sinks.console:Console",
    "email": "sinks.email:Email",
    "mqtt": "sinks.mqtt:Mqtt",
    "pagerduty": "sinks.pagerduty.sink:PagerDuty",
    "slack": "sinks.slack.sink:Slack",
    "webhook": "sinks.webhook:Webhook",
}


class UnknownSinkError(ValueError):
    """A `type` that is not in the table. The message offers what was probably meant."""

    def __init__(self, name: str) -> None:
        close = get_close_matches(name, SINKS, n=2)
        meant = f"did you mean {' or '.join(close)}?" if close else f"known types: {', '.join(SINKS)}"
        super().__init__(f"unknown sink type {name!r}: {meant}")


def load_sink(name: str) -> type[SinkClass]:
    """The class for a `type`; it carries its `Config`. Raises UnknownSinkError."""
    try:
        module, _, attribute = SINKS[name].partition(":")
    except KeyError:
        raise UnknownSinkError(name) from None
    sink: type[SinkClass] = getattr(import_module(module), attribute)
    return sink
