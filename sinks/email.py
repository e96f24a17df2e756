"""Email by SMTP, plain text, all messages of one incident in one thread of the mail reader."""

from __future__ import annotations

import contextlib
import hashlib
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from monitor.common.credential import Credential
from monitor.common.fields import LocalPath
from monitor.common.http import Http, RemoteError, network_error
from monitor.common.notification import IncidentView, Notification, Receipt
from monitor.common.problems import refuse
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
from sinks.talks import Talks
from sinks.text import NAME, counter, first_steps, headline, link, links

__all__ = ["Email", "EmailConfig", "compose"]

CONNECT = 15.0  # seconds, also for the greeting
ANSWER = 60.0  # seconds for each answer: some servers take their time over a recipient
TAKEN = 600.0  # seconds for the answer to the whole mail; a try before would make a second one (RFC 5321, 4.5.3.2.6)
GOODBYE = 5.0  # seconds
KEEPALIVE = {socket.TCP_KEEPIDLE: 15, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3, socket.TCP_USER_TIMEOUT: 30_000}
PORTS = {"starttls": 587, "tls": 465, "none": 25}
SEVEN_BIT = SMTP.clone(cte_type="7bit")  # a server need not take 8-bit bodies (RFC 6152)
PLACES = 10  # shown of one incident
ROWS = 50  # incidents shown of a group


def _address(value: str) -> str:
    plain = re.fullmatch(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+", value) and value.isascii()
    refuse((not plain, "must be a plain address such as security@example.org"))
    return value


MailAddress = Annotated[str, AfterValidator(_address)]


EXAMPLE = """
#[[sinks]]
#name = "mail"
#type = "email"
#host = "mail.example.org"
#port = 0                       # 0: the port that fits tls
#tls = "starttls"               # or "tls", "none"
#ca_file = "/etc/ssl/certs/ca-certificates.crt"
#username = "monitor"
#password = "credential:mail-password"
#sender = "monitor@example.org"
#to = ["security@example.org"]
"""


class EmailConfig(SinkConfig):
    """Sends mails.

    - `host`: of the mail server
    - `port`: `0`: 587 for `"starttls"`, 465 for `"tls"`, 25 for `"none"`
    - `tls`: or `"tls"`, `"none"` (without login)
    - `ca_file` (the system's): whom to trust
    - `username`, `password`: a name, and a credential reference
    - `sender`: the address that mails are from
    - `to`: a list of addresses

    A mail that some recipients are put off from (a code 4xx) is tried again for those only, also after a restart. Where
    some are refused for good (5xx), the others have it, and `monitor outbox retry` sends it to the rest. A server may
    take ten minutes to say that it has a mail; until then it is not sent again. Only a connection that breaks, or a
    monitor that ends, between the last line of a mail and that answer makes a second one, with the same `Message-ID`.
    """

    type: Literal["email"]
    host: str = Field(min_length=1)
    port: int = Field(default=0, ge=0, le=65535)
    tls: Literal["starttls", "tls", "none"] = "starttls"
    ca_file: LocalPath | None = None
    username: str | None = None
    password: Credential | None = None
    sender: MailAddress
    to: tuple[MailAddress, ...] = Field(min_length=1)

    def servers(self) -> Sequence[str]:
        return (f"{'smtps' if self.tls == 'tls' else 'smtp'}://{self.host}:{self.port or PORTS[self.tls]}",)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse(
            ((self.username is None) != (self.password is None), "username and password go together"),
            (
                self.password and self.tls == "none",
                'the password would be sent unencrypted: use tls = "starttls" or "tls"',
            ),
        )
        return self


class Email:
    """One SMTP conversation a message, in a thread of its own that outlives whoever waits for it: a mail that is handed
    over cannot be called back, so a try that comes too soon waits for what comes of the one before."""

    Config: ClassVar[type[SinkConfig]] = EmailConfig
    limits = Limits(in_flight=2)

    def __init__(self, config: EmailConfig, http: Http) -> None:
        self._config = config
        self._talks: Talks[dict[str, int]] = Talks(f"mail-{config.name}", "the mail server")
        self._closed = threading.Event()

    async def send(self, notification: Notification) -> Receipt | None:
        whole, partly = self._config.to, notification.partly or {}
        has = set(_listed(partly, "has"))
        never = {address: int(code) for code, _, address in (one.partition(":") for one in _listed(partly, "never"))}
        to = tuple(address for address in whole if address not in has | never.keys())

        outcome = await self._talks.outcome(notification.id, lambda: self._prepare(notification, to)) if to else {}

        has.update(address for address in to if address not in outcome)
        later = {address: code for address, code in outcome.items() if code < 500}
        never |= {address: code for address, code in outcome.items() if code >= 500}
        known = {"has": " ".join(sorted(has))} if has else {}
        if later:
            known |= {"never": " ".join(f"{code}:{address}" for address, code in never.items())} if never else {}
            text = f"{len(later)} of {len(whole)} recipients were put off ({_codes(later.values())})"
            raise RemoteError(text, retry=True, partly=known or None)
        if never:
            many = f"{len(never)} of {len(whole)} recipients were" if has else "every recipient was"
            raise RemoteError(
                f"{many} refused ({_codes(never.values())}): check to",
                retry=False,
                partly=known if known or partly else None,
            )
        return None

    def _prepare(self, notification: Notification, to: tuple[str, ...]) -> Callable[[], RemoteError | dict[str, int]]:
        password = self._config.password.resolve("password") if self._config.password else None
        mail = compose(notification, self._config.sender, self._config.to, datetime.now(UTC))
        return lambda: _converse(self._config, password, mail, to, self._closed)

    async def close(self) -> None:
        """What is not handed over yet will not be: it is sent by another."""
        self._closed.set()


def _listed(partly: Mapping[str, str], key: str) -> list[str]:
    return partly.get(key, "").split()


def _converse(
    config: EmailConfig, password: str | None, mail: EmailMessage, to: tuple[str, ...], closed: threading.Event
) -> RemoteError | dict[str, int]:
    """Hand the mail over; returns whom the server does not take, with its codes. A failure of the whole is returned
    too, so that the caller's traceback does not pass through the login."""
    port = config.port or PORTS[config.tls]
    server: smtplib.SMTP | None = None
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
        name = socket.gethostname()
        if config.tls == "tls":
            server = smtplib.SMTP_SSL(config.host, port, name, timeout=CONNECT, context=context)
        else:
            server = smtplib.SMTP(config.host, port, name, timeout=CONNECT)
        _patient(server, ANSWER)
        if config.tls == "starttls":
            server.starttls(context=context)
        if config.username is not None and password is not None:
            server.login(config.username, password)
        refused = _hand_over(server, config.sender, mail, to, closed)
        with contextlib.suppress(smtplib.SMTPException, OSError):  # whatever it says to that, it has the mail
            _patient(server, GOODBYE)
            server.quit()
    except smtplib.SMTPAuthenticationError as error:
        return RemoteError(
            "the mail server refuses the login: check username and password", retry=error.smtp_code < 500
        )
    except smtplib.SMTPNotSupportedError:
        return RemoteError("the mail server offers no STARTTLS or no login: check host, port and tls", retry=False)
    except smtplib.SMTPResponseException as error:
        return RemoteError(f"the mail server answered {_codes([error.smtp_code])}", retry=not error.smtp_code >= 500)
    except smtplib.SMTPException:
        return RemoteError("the mail server broke off the conversation or did not answer in time", retry=True)
    except (OSError, ValueError) as error:
        return network_error(error)
    finally:
        if server is not None:
            server.close()
    return refused


def _patient(server: smtplib.SMTP, seconds: float) -> None:
    """Wait so long for each answer, as long as the machine at the other end is there."""
    if (connection := server.sock) is None:
        raise smtplib.SMTPServerDisconnected
    connection.settimeout(seconds)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _hand_over(
    server: smtplib.SMTP, sender: str, mail: EmailMessage, to: tuple[str, ...], closed: threading.Event
) -> dict[str, int]:
    """One transaction; returns who was refused or put off, with the codes. Who is not among them has the mail.

    Not `SMTP.sendmail`: that forgets those whose turn did not come when a 421 ends it, and takes an end of the patience
    after the last line for a failure, while the mail may well have been taken (RFC 5321, 4.5.3.2.6).
    """
    raw = mail.as_bytes(policy=SEVEN_BIT)
    server.ehlo_or_helo_if_needed()
    _need(server.mail(sender, [f"size={len(raw)}"] if server.has_extn("size") else []), 2)
    refused: dict[str, int] = {}
    for address in to:
        code, _ = server.rcpt(address)
        if code == 421:  # it hangs up: nobody gets it
            return refused | dict.fromkeys([one for one in to if one not in refused], code)
        if code // 100 != 2:
            refused[address] = max(code, 400)
    if len(refused) == len(to) or closed.is_set():
        return refused | dict.fromkeys([one for one in to if one not in refused], 421)

    _need(server.docmd("DATA"), 3)
    server.send(re.sub(rb"(?m)^\.", b"..", raw).removesuffix(b"\r\n") + b"\r\n.\r\n")
    _patient(server, TAKEN)
    _need(server.getreply(), 2)
    return refused


def _need(answer: tuple[int, bytes], kind: int) -> None:
    code, text = answer
    if code // 100 != kind:
        raise smtplib.SMTPResponseException(max(code, 400), text)


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
            lines += [f"and {len(notification.incidents) - ROWS:,} more; all of them by rule:", *counter(notification)]
        lines += ["", *(f"First:    {step}" for step in first_steps(notification))]
    else:
        lines = prose(notification.text)
    if good := link(runbook):
        lines.append(f"Runbook:  {good}")
    if good := link(url):
        lines.append(f"Console:  {good}")
    return "\n".join([headline(notification), "", *lines]) + "\n"


def _one(incident: IncidentView) -> list[str]:
    where = [f"{place(location)} ({origin(location)})" for location in incident.locations[:PLACES]]
    hidden = min(len(incident.locations), incident.occurrences) - PLACES
    if hidden > 0:
        where.append(f"and {hidden:,} more")
    rows = (
        ("Secret:", printable(incident.masked)),
        ("Facts:", facts(incident)),
        *(("" if index else "Where:", line) for index, line in enumerate(where)),
        ("Line:", surroundings(incident)),
        ("Seen:", seen(incident)),
        ("Sure:", sure(incident)),
        ("Works:", works(incident)),
        ("Decided:", decision(incident)),
        ("Owner:", printable(incident.owner or "")),
        ("First:", "" if incident.state == "resolved" else printable(incident.first_step)),
        ("Steps:", steps(incident)),
        ("Ack:" if incident.state == "open" else "Resolve:", following(incident)),
        ("Claim:", claim(incident)),
    )
    return [f"{label:<10}{said}" for label, said in rows if said]


def _row(incident: IncidentView) -> str:
    where = f"  {place(incident.locations[0])}" if incident.locations else ""
    name, masked = printable(incident.name), printable(incident.masked)
    return f"{incident.severity:<9} {name}  {masked}{where}  {incident.occurrences:,} times  {printable(incident.id)}"
