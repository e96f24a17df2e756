"""The value of an alert, asked of GitHub again: for one request to its issuer, and kept nowhere."""

from __future__ import annotations

import re
import time

from monitor.common.http import RemoteError
from monitor.github.alerts import Malformed, item
from monitor.github.auth import AuthError
from monitor.github.client import GitHubClient
from monitor.github.join import as_logged

__all__ = ["values_of"]

_ALERT = re.compile(r"(?P<repo>[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100})#(?P<number>[0-9]{1,15})")


async def values_of(client: GitHubClient, alert: str) -> tuple[bytes, bytes] | None:
    """The value of `OWNER/REPO#NUMBER`, and the text that rules look for secrets in; None: GitHub does not tell.

    Closes the client.
    """
    named = _ALERT.fullmatch(alert)
    try:
        if named is None:
            return None
        answer = await client.get(f"/repos/{named['repo']}/secret-scanning/alerts/{named['number']}")
        found = item(answer.body, time.time(), named["repo"])
        value = found.take_secret()
        return None if value is None else (value, as_logged(found.secret_type, value))
    except (RemoteError, AuthError, Malformed):
        return None
    finally:
        await client.close()
