"""The configuration of a Slack sink: one way by a webhook or a bot, or two-way with the people who may press."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from monitor.common.credential import Credential
from monitor.common.fields import http_url
from monitor.common.http import CLEAR, in_the_clear
from monitor.common.inbound import Verb
from monitor.common.problems import refuse, short
from monitor.common.user_name import folded
from sinks.base import SinkConfig, people_by

__all__ = ["SlackConfig"]

_BY_MEMBER = people_by(
    r"[UW][A-Z0-9]{2,20}", 'a member id such as U012AB3CD: "Copy member ID" in the menu of a profile'
)


EXAMPLE = """
# Slack by an incoming webhook: each alert is a message of its own.
#[[sinks]]
#name = "chat"
#type = "slack"
#webhook_url = "credential:slack-webhook"

# Slack by a bot token (scope chat:write): one message an incident, kept current.
#[[sinks]]
#name = "chat-bot"
#type = "slack"
#token = "credential:slack-token"
#channel = "#incidents"
#api_url = "https://slack.com/api"
# With buttons (docs/slack.md): one of these, and the people who may press.
#app_token = "credential:slack-app-token"
#signing_secret = "credential:slack-signing-secret"
#[sinks.people]
#U012AB3CD = "ana"
#U045EF6GH = "ben"
# Who may do what; what is not here may all of them: ack, claim, done, skip, silence, resolve, run.
#[sinks.allow]
#run = ["ana", "ben"]
"""


class SlackConfig(SinkConfig):
    """Posts to Slack: by an incoming webhook, each alert a message of its own; or by a bot with the scope `chat:write`,
    one message an incident, which stays current. With buttons: [slack](slack.md).

    - `webhook_url` (this, or the next two): an incoming webhook
    - `token`, `channel`: of a bot; id or name of the channel
    - `api_url`: where Slack's API is
    - `app_token`, `signing_secret` (one of them, for buttons): how presses come: by Socket Mode, or at `/hooks/slack`
    - `people`: Slack's id of a user → their name in the history; nobody else may press
    - `allow` (everybody all): what is pressed (`ack`, `claim`, `done`, `skip`, `silence`, `resolve`, `run`) → the names
      of those who may
    """

    type: Literal["slack"]
    webhook_url: Credential | None = None
    token: Credential | None = None
    channel: str | None = Field(default=None, min_length=1)
    api_url: Annotated[str, http_url("https://slack.com/api")] = "https://slack.com/api"
    app_token: Credential | None = None
    signing_secret: Credential | None = None
    people: Annotated[Mapping[str, str], _BY_MEMBER] = {}
    allow: Mapping[Verb, tuple[Annotated[str, AfterValidator(folded)], ...]] = {}

    def servers(self) -> Sequence[str]:
        return (self.webhook_url.resolve() if self.webhook_url else self.api_url,)

    @property
    def two_way(self) -> bool:
        return self.app_token is not None or self.signing_secret is not None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        missing = "channel" if self.token else "token" if self.channel else "webhook_url, or token and channel,"
        known = set(self.people.values())
        strangers = ((verb, name) for verb, names in self.allow.items() for name in names if name not in known)
        refuse(
            (self.webhook_url and (self.token or self.channel), "give webhook_url, or token and channel, not both"),
            (
                (self.token or self.app_token) and not self.insecure and in_the_clear(self.api_url),
                f"api_url: token {CLEAR}",
            ),
            (not self.webhook_url and not (self.token and self.channel), f"{missing} is missing"),
            (
                self.two_way and not self.token,
                "app_token and signing_secret go with token and channel: a webhook_url has no buttons",
            ),
            (self.two_way and not self.people, "people is missing: without it nobody may press a button"),
            (
                not self.two_way and (self.people or self.allow),
                "people and allow go with app_token or signing_secret",
            ),
            *((True, f'allow.{verb} names "{short(name)}", who is not among people') for verb, name in strangers),
        )
        return self

    def person(self, user: str, verb: Verb) -> tuple[str, str]:
        """Their name, and why they may not do this; empty: they may."""
        name = self.people.get(user)
        if name is None:
            return user, f"{user} is not among the people who may press here: [sinks.people] of the configuration"
        if verb in self.allow and name not in self.allow[verb]:
            return name, f"{name} may not do this: [sinks.allow] of the configuration says who may"
        return name, ""
