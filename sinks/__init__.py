"""Notification → network. Knows of ours only `monitor.common`.

To add a sink: one file with a class, its `Config` (the docstring is its documentation) and `EXAMPLE`; one line in
`SINKS`; one test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.common.parts import part

if TYPE_CHECKING:
    from monitor.common.http import Http
    from sinks.base import Sink, SinkConfig

    class SinkClass(Sink):
        """What the table names: a Sink that is built from its own `Config` and the shared HTTP client."""

        def __init__(self, config: SinkConfig, http: Http) -> None: ...


__all__ = ["SINKS", "load_sink"]

# `type` in the configuration → "module:Class", imported when first used
SINKS: dict[str, str] = {
    "alertmanager": "sinks.alertmanager:Alertmanager",
    "apprise": "sinks.apprise:Apprise",
    "console": "sinks.console:Console",
    "email": "sinks.email:Email",
    "mqtt": "sinks.mqtt:Mqtt",
    "pagerduty": "sinks.pagerduty.sink:PagerDuty",
    "slack": "sinks.slack.sink:Slack",
    "webhook": "sinks.webhook:Webhook",
}


def load_sink(name: str) -> type[SinkClass]:
    """The class for a `type`; it carries its `Config`. Raises UnknownTypeError."""
    found: type[SinkClass] = part(SINKS, "sink", name)
    return found
