"""The configuration of a PagerDuty sink: pages alone, or also what people do about them there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from monitor.common.credential import Credential
from monitor.common.fields import LISTED, http_url
from monitor.common.http import CLEAR, in_the_clear
from monitor.common.problems import refuse
from monitor.common.severity import Severity
from sinks.base import SinkConfig, people_by

__all__ = ["NOTE", "PagerDutyConfig"]

NOTE = "exposure-monitor: "  # begins every note of ours, by which we know it when it is announced
_Host = Annotated[str, http_url("https://events.eu.pagerduty.com", bare=True)]
_BY_USER = people_by(r"[A-Z0-9]{2,24}", "the id of a user such as PLH1HKV, the end of the address of their profile")
_HOSTS = {
    "us": ("https://events.pagerduty.com", "https://api.pagerduty.com"),
    "eu": ("https://events.eu.pagerduty.com", "https://api.eu.pagerduty.com"),
}


EXAMPLE = """
#[[sinks]]
#name = "pager"
#type = "pagerduty"
#routing_key = "file:/etc/exposure-monitor/pagerduty-key"
#region = "us"                  # or "eu"
#base_url = "https://events.pagerduty.com"      # instead of the region's
#api_url = "https://api.pagerduty.com"
# What people do there is taken over (docs/incidents.md): a V3 webhook subscription to …/hooks/pagerduty.
#webhook_secret = ["credential:pagerduty-webhook"]      # several while one replaces another
#service = "PF9KMXH"            # where sinks share a subscription
#people = { PLH1HKV = "ada" }   # id of a user there: their name in the history; default: as they are named there
#resolve_as = "revoked"         # what a resolve there says; "none": it only acknowledges
# Notes there of who did what here, and priority and urgency by severity: a REST API key, and whose name it signs with.
#api_token = "credential:pagerduty-token"
#from_email = "oncall@example.org"
#priorities = { critical = "P1", high = "P2" }          # default: left alone
#urgencies = { critical = "high", medium = "low" }      # default: left alone
"""


class PagerDutyConfig(SinkConfig):
    """Pages through PagerDuty's Events API; also [two-way](incidents.md#pagerduty-two-way): what people do there is
    taken over.

    - `routing_key`: of an integration of the service
    - `region`: or `"eu"`
    - `base_url`, `api_url` (the region's): of the events, and of the REST API
    - `webhook_secret`: of the V3 webhook subscription to `/hooks/pagerduty`; a list while one replaces another
    - `service`: the id of this sink's service, where sinks share a subscription
    - `people` (as they are named there): id of a user → their name in the history
    - `resolve_as`: what a resolve there says: also `false_positive`, `wont_fix`, `used_in_tests`; `"none"`: it only
      acknowledges
    - `api_token`, `from_email`: a REST API key, and whose name it signs notes with
    - `priorities`, `urgencies` (left alone): severity → the priority, and `high` or `low`, that an incident there gets
    """

    pages: ClassVar[bool] = True

    type: Literal["pagerduty"]
    routing_key: Credential
    region: Literal["us", "eu"] = "us"
    base_url: _Host | None = None
    api_url: _Host | None = None
    webhook_secret: Annotated[tuple[Credential, ...], LISTED] = ()
    service: str | None = Field(default=None, pattern=r"^[A-Z0-9]{2,24}$")
    people: Annotated[Mapping[str, str], _BY_USER] = {}
    resolve_as: Literal["revoked", "false_positive", "wont_fix", "used_in_tests", "none"] = "revoked"
    api_token: Credential | None = None
    from_email: str | None = Field(default=None, pattern=r"^[^@\s]+@[^@\s]+$")
    priorities: Mapping[Severity, str] = {}
    urgencies: Mapping[Severity, Literal["high", "low"]] = {}

    def servers(self) -> Sequence[str]:
        return (self.events_url, *((self.rest_url,) if self.api_token else ()))

    @property
    def events_url(self) -> str:
        return self.base_url or _HOSTS[self.region][0]

    @property
    def rest_url(self) -> str:
        return self.api_url or _HOSTS[self.region][1]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        writes = self.api_token is not None
        refuse(
            (not self.insecure and in_the_clear(self.events_url), f"base_url: routing_key {CLEAR}"),
            (writes and not self.insecure and in_the_clear(self.rest_url), f"api_url: api_token {CLEAR}"),
            (
                writes != (self.from_email is not None),
                "api_token and from_email (of a user there, who signs the notes) go together",
            ),
            (
                (self.priorities or self.urgencies) and not (writes and self.webhook_secret),
                "priorities and urgencies go with api_token, from_email and webhook_secret",
            ),
            (self.people and not self.webhook_secret, "people goes with webhook_secret"),
        )
        return self
