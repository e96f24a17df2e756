"""The table `[console]`: who may sign in to the pages, how, and as whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from monitor.accounts.people import Person, Role, higher
from monitor.common.credential import Credential
from monitor.common.duration import Duration
from monitor.common.fields import ServerUrl
from monitor.common.problems import refuse
from monitor.common.table import Table
from monitor.common.text import token_like
from monitor.common.user_name import folded, user_name

__all__ = ["OpenIdConfig", "PersonConfig", "ProxyConfig", "SignInConfig", "within"]

_HOUR = 3600.0


def _network(text: object) -> IPv4Network | IPv6Network | Literal["unix"]:
    if text == "unix":
        return "unix"
    try:
        network = ip_network(text) if isinstance(text, str) else None
    except ValueError:
        network = None
    if network is None:
        raise ValueError('must be an address or a network, such as "10.0.0.5" or "10.1.0.0/24", or "unix"')
    if network.prefixlen == 0:
        raise ValueError("is everybody: name the proxy")
    return network


def _listed(people: Mapping[str, PersonConfig]) -> Mapping[str, PersonConfig]:
    refuse(
        (not all(user.strip() == user and user.isprintable() and 0 < len(user) <= 128 for user in people),
         "a key is the name that somebody signs in by"),
        (any(token_like(user) for user in people), "a key looks like a secret, and is the name somebody signs in by"),
        (len({folded(user) for user in people}) < len(people), "two keys differ in capital letters only"),
    )  # fmt: skip
    return people


Network = Annotated[IPv4Network | IPv6Network | Literal["unix"], BeforeValidator(_network)]
# Empty: they are refused.
_Others = Annotated[Role | None, BeforeValidator(lambda value: value or None)]
_Header = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]


class PersonConfig(Table):
    """One of `[console.people]`. `name`: in the history; `role`: whatever else gives them one."""

    name: Annotated[str, AfterValidator(user_name)]
    role: Role | None = None


class ProxyConfig(Table):
    """`[console.proxy]`: a proxy that signs people in. `user`: the header with their name, `groups`: one with their
    groups, with commas between them; `from`: addresses of the proxy (`unix`: the socket); `secret`: what it sends in
    the header `secret_header`, so that nobody else on its address can speak for people; `others`: the role of who is
    in no list."""

    user: _Header
    groups: _Header | None = None
    from_: tuple[Network, ...] = Field(alias="from", min_length=1)
    secret_header: _Header = "X-Proxy-Secret"  # noqa: S105 - the name of a header
    secret: Credential
    others: _Others = "viewer"

    @model_validator(mode="after")
    def _apart(self) -> Self:
        headers = [name.lower() for name in (self.user, self.groups, self.secret_header) if name]
        refuse((len(set(headers)) < len(headers), "user, groups and secret_header have to be headers of their own"))
        return self


class OpenIdConfig(Table):
    """`[console.openid]`: OpenID Connect. `claim`: what names people; `groups`: the claim with their groups; `others`:
    the role of who is in no list; none: they are refused, as whoever has an account there would come in."""

    issuer: ServerUrl
    client_id: str = Field(min_length=1, max_length=200)
    client_secret: Credential
    claim: str = Field(default="email", min_length=1, max_length=64)
    groups: str | None = Field(default=None, min_length=1, max_length=64)
    scope: tuple[Annotated[str, Field(pattern=r"^[!#-\[\]-~]+$")], ...] = ("openid", "email", "profile")
    others: _Others = None

    @model_validator(mode="after")
    def _open(self) -> Self:
        refuse(("openid" not in self.scope, 'scope needs "openid"'))
        return self


class SignInConfig(Table):
    """`[console]`. Without any of it the pages are read only. `sign_in`: with a name and a password (`monitor users`).

    `people`: the name that somebody signs in by → who they are in the history. `groups`: of a proxy or an issuer → the
    role. `idle`, `longest`: when a session ends. `proxies`: whose X-Forwarded-For says where guesses come from.
    """

    sign_in: bool = False
    idle: Duration = Field(default=12 * _HOUR, ge=60.0)
    longest: Duration = Field(default=7 * 24 * _HOUR, ge=60.0)
    people: Annotated[Mapping[str, PersonConfig], AfterValidator(_listed)] = {}
    groups: Mapping[str, Role] = {}
    proxies: tuple[Network, ...] = ()
    proxy: ProxyConfig | None = None
    openid: OpenIdConfig | None = None

    @property
    def asks(self) -> bool:
        """Whether pages ask who somebody is."""
        return self.sign_in or self.proxy is not None or self.openid is not None

    def person(self, user: str, role: Role | None) -> Person | None:
        """Who signs in by this name. `role`: as it is known from elsewhere. None: nobody who may look. Raises
        ValueError for a name that has to be listed, as it is no plain one."""
        entry = next((one for name, one in self.people.items() if folded(name) == folded(user)), None)
        if (role := (entry and entry.role) or role) is None:
            return None
        try:
            return Person(entry.name if entry else user_name(user), role)
        except ValueError as error:
            raise ValueError(f"{error}: give who signs in by another one theirs in [console.people]") from None

    def role_of(self, groups: Iterable[str], others: Role | None) -> Role | None:
        """By the groups that somebody is in the one that may most."""
        return higher(*(self.groups.get(group) for group in groups)) or others


def within(address: str | None, networks: Iterable[Network]) -> bool:
    """Whether an address is of one of these. None: it is a unix socket."""
    networks = tuple(networks)
    if address is None:
        return "unix" in networks
    number = ip_address(address.partition("%")[0])
    number = getattr(number, "ipv4_mapped", None) or number
    return any(number in one for one in networks if one != "unix")
