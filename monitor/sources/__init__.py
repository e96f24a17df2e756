"""Where bytes and ready-made alerts come from.

To add a source: one file with a class, its `Config` (the docstring is its documentation) and `EXAMPLE`; one line in
`SOURCES`; one test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.common.parts import part

if TYPE_CHECKING:
    from monitor.intake.protocol import Intake
    from monitor.sources.base import Source, SourceConfig

    class SourceClass(Source):
        """What the table names: a Source that is built from its own `Config`, its intake and a key for hashes."""

        def __init__(self, config: SourceConfig, intake: Intake, key: bytes) -> None: ...


__all__ = ["SOURCES", "load_source"]

# `type` in the configuration → "module:Class", imported when first used
SOURCES: dict[str, str] = {
    "cloudtrail": "monitor.sources.cloudtrail:CloudTrailSource",
    "container": "monitor.sources.container:ContainerSource",
    "feed": "monitor.sources.feed:FeedSource",
    "file": "monitor.sources.file.source:FileSource",
    "github": "monitor.github.source:GitHubSource",
    "github-actions": "monitor.github.ci:GitHubActionsSource",
    "gitlab-ci": "monitor.gitlab.source:GitLabSource",
    "http": "monitor.sources.http:HttpSource",
    "journal": "monitor.sources.journal.source:JournalSource",
    "mqtt": "monitor.sources.mqtt:MqttSource",
    "stdin": "monitor.sources.stdin:StdinSource",
    "syslog": "monitor.sources.syslog:SyslogSource",
}


def load_source(name: str) -> type[SourceClass]:
    """The class for a `type`; it carries its `Config`. Raises UnknownTypeError."""
    found: type[SourceClass] = part(SOURCES, "source", name)
    return found
