"""Apprise: whatever service it knows, by an address that holds its credential. An extra, imported when it sends."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from monitor.common.credential import Credential
from monitor.common.fields import LISTED
from monitor.common.http import CLEAR, Http, RemoteError, loopback
from monitor.common.notification import Notification, Receipt
from monitor.common.problems import refuse
from monitor.common.severity import Severity
from monitor.common.text import clean
from sinks.base import Limits, SinkConfig
from sinks.talks import Talks
from sinks.text import NAME, headline, link, links, summary, unmarked

__all__ = ["Apprise", "AppriseConfig"]

PATIENCE = 25.0  # seconds for all addresses; a try that comes while they are still at it waits for the same
TRIES = 8  # in some four minutes; apprise does not say why a service did not take it
LOGGERS = ("apprise", "gntp", "httpx", "oauthlib", "paho", "requests_oauthlib", "slixmpp", "urllib3")  # write URLs
KINDS: Mapping[Severity, Literal["failure", "warning", "info"]] = {
    "critical": "failure",
    "high": "failure",
    "medium": "warning",
    "low": "info",
    "info": "info",
}


EXAMPLE = """
# Any service that Apprise has an address for (https://appriseit.com); needs the extra: exposure-monitor[apprise]
#[[sinks]]
#name = "push"
#type = "apprise"
#urls = ["credential:push-url"]
"""


class AppriseConfig(SinkConfig):
    """Sends a short message to any service that [Apprise](https://appriseit.com) knows, an extra:
    `pip install "exposure-monitor[apprise]"`.

    - `urls`: references to addresses of Apprise, as they hold credentials
    """

    type: Literal["apprise"]
    urls: Annotated[tuple[Credential, ...], LISTED] = Field(min_length=1)

    @model_validator(mode="after")
    def _there(self) -> Self:
        refuse(
            (find_spec("apprise") is None, 'needs Apprise: pip install "exposure-monitor[apprise]"'),
            (len(set(self.urls)) < len(self.urls), "urls: one stands there twice"),
        )
        return self


class Apprise:
    """All its addresses one after the other, in a thread that outlives whoever waits for it."""

    Config: ClassVar[type[SinkConfig]] = AppriseConfig
    limits = Limits(in_flight=2)

    def __init__(self, config: AppriseConfig, http: Http) -> None:
        self._config = config
        self._talks: Talks[list[str]] = Talks(f"apprise-{config.name}", "Apprise")

    async def send(self, notification: Notification) -> Receipt | None:
        names = {_name(url): url for url in self._config.urls}
        has = {name for name in (notification.partly or {}).get("has", "").split() if name in names}
        to = {name: url for name, url in names.items() if name not in has}
        try:
            async with asyncio.timeout(PATIENCE):
                took = await self._talks.outcome(notification.id, lambda: self._prepare(notification, to)) if to else []
        except TimeoutError:
            raise RemoteError(f"no answer within {PATIENCE:g} s", retry=True) from None

        has.update(took)
        if left := len(names) - len(names.keys() & has):
            text = f"{left} of {len(names)} addresses did not take it: apprise does not say why"
            partly = {"has": " ".join(sorted(has))} if has else None
            raise RemoteError(text, retry=True, tries=TRIES, partly=partly)
        return None

    def _prepare(
        self, notification: Notification, to: Mapping[str, Credential]
    ) -> Callable[[], list[str] | RemoteError]:
        addresses = {name: url.resolve("urls") for name, url in to.items()}
        title = headline(notification)
        text = unmarked(clean(summary(notification)).strip() or title.strip() or NAME)
        if url := link(links(notification)[0]):
            text += f"\n{url}"
        kind = "success" if notification.action == "resolve" else KINDS[notification.severity]

        def work() -> list[str] | RemoteError:
            made = {}
            for name, address in addresses.items():
                service = _service(address, insecure=self._config.insecure)
                if isinstance(service, str):
                    return RemoteError(f"urls: {to[name].shown}: {service}", retry=False)
                made[name] = service
            return [name for name, notify in made.items() if notify(unmarked(title), text, kind)]

        return work


def _name(url: Credential) -> str:
    """By which it is known which have a message."""
    return hashlib.sha256(url.reference.encode()).hexdigest()[:12]


def _service(address: str, *, insecure: bool) -> Callable[[str, str, str], bool] | str:
    """What sends to an address, or what is wrong with it."""
    import apprise

    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # and so those below it
    asset = apprise.AppriseAsset(plugin_paths=[], storage_mode="memory", async_mode=False, http_redirects=False)
    sender = apprise.Apprise(asset=asset)
    if not sender.add(address) or len(sender) != 1:
        return "no address that Apprise knows, or more than one"
    service = sender[0]
    clear = service.protocol or ()
    schemas: set[str] = {clear} if isinstance(clear, str) else set(clear)
    if not insecure and address.partition("://")[0].lower() in schemas and service.host and not loopback(service.host):
        return f"the message {CLEAR}"
    if service.overflow_mode == apprise.OverflowMode.UPSTREAM and "overflow=" not in address:
        service.overflow_mode = apprise.OverflowMode.TRUNCATE

    def notify(title: str, text: str, kind: str) -> bool:
        return bool(sender.notify(body=text, title=title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT))

    return notify
