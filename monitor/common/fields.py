"""What keys of the configuration share: addresses, paths, references."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from monitor.common.http import loopback

__all__ = ["LISTED", "LocalGlob", "LocalPath", "ServerUrl", "anchored", "http_url"]


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
        raise ValueError('must be an address such as "https://vault.example.org:8200", without a user or a query')
    if parts.scheme == "http" and not loopback(parts.hostname):
        raise ValueError("secrets would go over the network unencrypted: use https")
    return url.rstrip("/")


# The address of a provider's server: https, or http on this machine.
ServerUrl = Annotated[str, AfterValidator(_address)]


def http_url(example: str, *, bare: bool = False, login: str = "it is shown in alerts") -> AfterValidator:
    """Of the type of a key: an address such as `example`. `bare`: without a path; `login`: why it may have none."""

    def check(url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or (bare and parts.path.strip("/")):
            raise ValueError(f'must be {"scheme and host only," if bare else "an http(s) URL"} such as "{example}"')
        if parts.username or parts.password:
            raise ValueError(f"must not carry a user name or password: {login}")
        return url.rstrip("/")

    return AfterValidator(check)


def anchored(path: str | Path, info: ValidationInfo) -> Path:
    """On this machine; a relative one lies beside the configuration."""
    # `Path.expanduser` raises for a user there is not; so it is no such file, which whoever reads it says.
    return Path((info.context or {}).get("folder") or "", os.path.expanduser(path))


# A file or folder on this machine; relative ones lie beside the configuration.
LocalPath = Annotated[Path, AfterValidator(anchored)]
# A pattern of such, likewise.
LocalGlob = Annotated[str, AfterValidator(lambda text, info: str(anchored(text, info)))]


# For a list in whose place one alone may stand.
LISTED = BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
