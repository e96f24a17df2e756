"""What every provider's file shares: the keys of its entry, and how a value that holds several is taken apart."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from monitor.common.credential import Credential
from monitor.common.duration import Duration
from monitor.common.http import loopback
from monitor.common.text import token_like
from monitor.inventory.held import Held

__all__ = ["LocalPath", "ManagerConfig", "Reference", "ServerUrl", "described", "expiry", "instant", "members"]

_DEPTH = 6  # of objects within objects; what lies deeper is one value
# Members that name a place or a person. Taken for secrets, they would be found in every log line that says where.
_PUBLIC = frozenset(
    ("dbclusteridentifier", "dbinstanceidentifier", "dbname", "engine", "host", "hostname", "port", "username")
)
_ACCOUNT = frozenset(("private_key",))  # all that is secret of a service account's file of Google


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
        raise ValueError('must be an address such as "https://vault.example.org:8200", without a user or a query')
    if parts.scheme == "http" and not loopback(parts.hostname):
        raise ValueError("secrets would go over the network unencrypted: use https")
    return url.rstrip("/")


# The address of a provider's server: https, or http on this machine.
ServerUrl = Annotated[str, AfterValidator(_address)]


def _anchored(path: Path, info: ValidationInfo) -> Path:
    return Path((info.context or {}).get("folder") or "") / path.expanduser()


def _anchored_reference(given: Credential, info: ValidationInfo) -> Credential:
    scheme, _, name = given.reference.partition(":")
    return Credential(f"file:{_anchored(Path(name), info)}") if scheme == "file" else given


# A file or folder on this machine; relative ones lie beside the configuration.
LocalPath = Annotated[Path, AfterValidator(_anchored)]
# A credential's reference, whose file likewise.
Reference = Annotated[Credential, AfterValidator(_anchored_reference)]


class ManagerConfig(BaseModel):
    """Keys that every `[[inventory]]` entry has; each provider's `Config` adds its own beside its code.

    What a provider says of a single secret goes before the entry's `environment` and `owner`; `consumers` and `tags`
    are added to its. `exclude`: names, or patterns of names, that are no secrets. `timeout`: seconds for all that a
    manager says when it is read once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    type: str
    environment: str = ""
    owner: str = ""
    consumers: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    interval: Duration = Field(default=900.0, ge=1.0)
    timeout: Duration = Field(default=120.0, ge=1.0)

    @property
    def stale_after(self) -> float:
        """Seconds without a whole reading after which what is known of it is not up to date any more."""
        return 2 * self.interval + self.timeout

    @field_validator("name")
    @classmethod
    def _no_secret(cls, value: str) -> str:
        if token_like(value):
            raise ValueError("looks like a secret, and names are shown in alerts, logs and metrics: choose another")
        return value


def members(held: Held) -> Iterator[Held]:
    """`held`, or where its value is a JSON object one for each member: NAME.member, NAME.member.part, NAME.list.0.

    Members that name a host, a database or a user are passed over: they are no secrets.
    """
    body = _object(held.value)
    if body is None:
        yield held
        return
    for name, value in _leaves(held.name, body, _DEPTH):
        yield replace(held, name=name, value=value)


def _object(value: bytes | None) -> dict[str, Any] | None:
    if value is None or not value.lstrip().startswith(b"{"):
        return None
    try:
        body = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


def _leaves(name: str, value: Any, depth: int) -> Iterator[tuple[str, bytes]]:
    if isinstance(value, str):
        value = _object(value.encode()) or value
    if isinstance(value, str):
        yield name, value.encode()
    elif not isinstance(value, dict | list) or not depth:
        yield name, orjson.dumps(value)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(f"{name}.{number}", item, depth - 1)
    else:
        google = value.get("type") == "service_account"
        for member, item in value.items():
            if member in _ACCOUNT if google else member.lower() not in _PUBLIC:
                yield from _leaves(f"{name}.{member}", item, depth - 1)


def described(labels: Mapping[Any, Any]) -> dict[str, Any]:
    """What a provider's tags or labels say of a secret, as fields of Held: each as `key=value`, and an owner and an
    environment where a key is called so."""
    texts = {str(key): str(value) for key, value in labels.items()}
    lower = {key.lower(): value for key, value in texts.items()}
    return {
        "owner": lower.get("owner", ""),
        "environment": lower.get("environment", lower.get("env", "")),
        "tags": tuple(sorted(f"{key}={value}" if value else key for key, value in texts.items())),
    }


def instant(value: object) -> float | None:
    """Seconds since 1970 of a time as providers write it: RFC 3339 or a number of seconds; None when it is neither."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def expiry(token: str) -> float | None:
    """When a JSON Web Token ends, by what it says itself (seconds since 1970); None when it is none, or never ends."""
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    except (IndexError, ValueError):
        return None
    return instant(claims.get("exp")) if isinstance(claims, dict) else None
