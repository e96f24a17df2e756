"""Email by SMTP, plain text, all messages of one incident in one thread of the mail reader."""

from __future__ import annotations

import asyncio
import hashlib
import re
import smtplib
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from monitor.common.credential import Credential
from monitor.common.http import Http, RemoteError, network_error
from monitor.common.notification import IncidentView, Notification, Receipt
from monitor.common.text import clip, printable, prose
from monitor.common.wording import (
    claim,
    decision,
    facts,
    following,
    origin,
    place,
    seen,
    steps,
    sure,
    surroundings,
    works,
)
from sinks.base import Limits, SinkConfig
from sinks.text import NAME, first_steps, headline, link, links, tally

__all__ = ["Email", "EmailConfig", "compose"]

TIMEOUT = 15.0  # seconds for each step of the conversation
PORTS = {"starttls": 587, "tls": 465, "none": 25}
SEVEN_BIT = SMTP.clone(cte_type="7bit")  # a server need not take 8-bit bodies (RFC 6152)
REMEMBERED = 1000  # mails that some recipients are still to get
PLACES = 10  # shown of one incident
ROWS = 50  # incidents shown of a group


def _address(value: str) -> str:
    if not re.fullmatch(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+", value) or not value.isascii():
        raise ValueError("must be a plain address such as security@example.org")
    return value


MailAddress = Annotated[str, AfterValidator(_address)]


class EmailConfig(SinkConfig):
    """`tls`: `starttls` (port 587), `tls` (465) or `none` (25, without login). `ca_file`: a CA of one's own."""

    type: Literal["email"]
    host: str = Field(min_length=1)
    port: int = Field(default=0, ge=0, le=65535)
    tls: Literal["starttls", "tls", "none"] = "starttls"
    ca_file: Path | None = None
    username: str | None = None
    password: Credential | None = None
    sender: MailAddress
    to: tuple[MailAddress, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if self.password and self.tls == "none":
            raise ValueError('the password would be sent unencrypted: use tls = "starttls" or "tls"')
        return self


class Email:
    """One SMTP conversation a message, in a thread."""

    Config: ClassVar[type[SinkConfig]] = EmailConfig
    limits = Limits(in_flight=2)

    def __init__(self, config: EmailConfig, http: Http) -> None:
        self._config = config
        self._partly: dict[str, _Partly] = {}  # by notification: who is still to get it. Lost with the process

    async def send(self, notification: Notification) -> Receipt | None:
        password = self._config.password.resolve("password") if self._config.password else None
        mail = compose(notification, self._config.sender, self._config.to, datetime.now(UTC))
        partly = self._partly.pop(notification.id, _Partly(self._config.to))
        outcome = await asyncio.to_thread(_converse, self._config, password, mail, partly.to)
        if isinstance(outcome, RemoteError):
            if partly.to != self._config.to and outcome.retry:
                self._remember(notification.id, partly)
            raise outcome

        later = tuple(address for address, code in outcome.items() if code < 500)
        never = {**partly.never, **{address: code for address, code in outcome.items() if code >= 500}}
        if later:
            self._remember(notification.id, _Partly(later, never))
            codes = _codes(code for code in outcome.values() if code < 500)
            raise RemoteError(f"{len(later)} of {len(self._config.to)} recipients were put off ({codes})", retry=True)
        if never:  # the others have it: sending again would repeat it to them
            whole = len(self._config.to)
            many = "every recipient was" if len(never) == whole else f"{len(never)} of {whole} recipients were"
            raise RemoteError(f"{many} refused ({_codes(never.values())}): check to", retry=False)
        return None

    def _remember(self, identity: str, partly: _Partly) -> None:
        while len(self._partly) >= REMEMBERED:
            self._partly.pop(next(iter(self._partly)))
        self._partly[identity] = partly

    async def close(self) -> None:
        return


@dataclass(frozen=True, slots=True)
class _Partly:
    """A mail on its way: who is still to get it, and who was refused for good."""

    to: tuple[str, ...]
    never: Mapping[str, int] = field(default_factory=dict)


def _converse(
    config: EmailConfig, password: str | None, mail: EmailMessage, to: tuple[str, ...]
) -> RemoteError | dict[str, int]:
    """Hand the mail over; returns whom the server does not take, with its codes. A failure of the whole is returned
    too, so that the caller's traceback does not pass through the login."""
    port = config.port or PORTS[config.tls]
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
        name = socket.gethostname()
        server: smtplib.SMTP
        if config.tls == "tls":
            server = smtplib.SMTP_SSL(config.host, port, name, timeout=TIMEOUT, context=context)
        else:
            server = smtplib.SMTP(config.host, port, name, timeout=TIMEOUT)
        with server:
            if config.tls == "starttls":
                server.starttls(context=context)
            if config.username is not None and password is not None:
                server.login(config.username, password)
            refused = server.send_message(mail, config.sender, list(to))
    except smtplib.SMTPAuthenticationError as error:
        return RemoteError(
            "the mail server refuses the login: check username and password", retry=error.smtp_code < 500
        )
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
    except smtplib.SMTPNotSupportedError:
        return RemoteError("the mail server offers no STARTTLS or no login: check host, port and tls", retry=False)
    except smtplib.SMTPResponseException as error:
        return RemoteError(f"the mail server answered {_codes([error.smtp_code])}", retry=not error.smtp_code >= 500)
    except smtplib.SMTPException:
        return RemoteError("the mail server broke off the conversation or did not answer in time", retry=True)
    except (OSError, ValueError) as error:
        return network_error(error)
    return {address: code for address, (code, _) in refused.items()}


def _codes(codes: Iterable[int]) -> str:
    return ", ".join(str(code) for code in sorted(set(codes)))


def compose(notification: Notification, sender: str, to: tuple[str, ...], now: datetime) -> EmailMessage:
    """The mail. Its Message-ID stays the same over retries, so that a mail system may drop the second copy."""
    domain = sender.rpartition("@")[2]
    thread = f"<{NAME}-{hashlib.sha256(notification.key.encode('utf-8', 'replace')).hexdigest()[:32]}@{domain}>"
    identity = hashlib.sha256(f"{notification.key}\0{notification.id}".encode("utf-8", "replace")).hexdigest()[:32]
    mail = EmailMessage(policy=SEVEN_BIT)
    mail["Subject"] = clip(f"[{notification.severity}] {headline(notification)}", 200)
    mail["From"] = Address(NAME, addr_spec=sender)
    mail["To"] = ", ".join(to)
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{identity}@{domain}>"
    mail["References"] = thread
    mail["In-Reply-To"] = thread
    mail["Auto-Submitted"] = "auto-generated"
    if notification.severity == "critical":
        mail["Importance"] = "high"
    mail.set_content(_body(notification))
    return mail


def _body(notification: Notification) -> str:
    url, runbook = links(notification)
    if len(notification.incidents) == 1:
        lines = _one(notification.incidents[0])
    elif notification.incidents:
        lines = [_row(incident) for incident in notification.incidents[:ROWS]]
        if len(notification.incidents) > ROWS:
            lines += [f"and {len(notification.incidents) - ROWS:,} more; all of them by rule:", *tally(notification)]
        lines += ["", *(f"First:    {step}" for step in first_steps(notification))]
    else:
        lines = prose(notification.text)
    if good := link(runbook):
        lines.append(f"Runbook:  {good}")
    if good := link(url):
        lines.append(f"Console:  {good}")
    return "\n".join([headline(notification), "", *lines]) + "\n"


def _one(incident: IncidentView) -> list[str]:
    lines = [f"Secret:   {printable(incident.masked)}"]
    if known := facts(incident):
        lines.append(f"Facts:    {known}")
    for index, location in enumerate(incident.locations[:PLACES]):
        lines.append(f"{'' if index else 'Where:':<10}{place(location)} ({origin(location)})")
    hidden = min(len(incident.locations), incident.occurrences) - PLACES
    if hidden > 0:
        lines.append(f"          and {hidden:,} more")
    if around := surroundings(incident):
        lines.append(f"Line:     {around}")
    lines.append(f"Seen:     {seen(incident)}")
    if confident := sure(incident):
        lines.append(f"Sure:     {confident}")
    if answer := works(incident):
        lines.append(f"Works:    {answer}")
    if decided := decision(incident):
        lines.append(f"Decided:  {decided}")
    if incident.owner:
        lines.append(f"Owner:    {printable(incident.owner)}")
    if incident.first_step and incident.state != "resolved":
        lines.append(f"First:    {printable(incident.first_step)}")
    if progress := steps(incident):
        lines.append(f"Steps:    {progress}")
    if typed := following(incident):
        lines.append(f"{'Ack:' if incident.state == 'open' else 'Resolve:':<10}{typed}")
    if typed := claim(incident):
        lines.append(f"Claim:    {typed}")
    return lines


def _row(incident: IncidentView) -> str:
    where = f"  {place(incident.locations[0])}" if incident.locations else ""
    name, masked = printable(incident.name), printable(incident.masked)
    return f"{incident.severity:<9} {name}  {masked}{where}  {incident.occurrences:,} times  {printable(incident.id)}"
