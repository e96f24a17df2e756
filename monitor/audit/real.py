"""Whether a variable holds a secret's real value, told by its name and by what the value is not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from detectors.match.filters import placeholder, words

__all__ = ["assigned", "is_public", "is_real", "is_secret_name"]

_NAME = re.compile(
    r"(?i)(?:^|[_.-])(?:secret|token|passw(?:or)?d|pwd|pass|passphrase|credentials?|pat|dsn|salt|pepper"
    r"|(?:api|auth|access|private|secret|service|service_?role|signing|encryption|master|admin|root|account|hmac|jwt"
    r"|webhook|deploy|license|storage|shared)_?(?:access_?)?key|[a-z]*_key)(?:_?(?:value|base64|b64|hex|raw|\d))?$"
    r"|(?:secret|password|passwd|token|apikey)$"
)
_NO_SECRET = re.compile(
    r"(?i)^(?:next_public|nuxt_public|vite|react_app|expo_public|public|gatsby)_|publishable|anon_?key|public_?key"
    r"|(?:^|_)(?:key_?id|cache_?key|site_?key|primary_?key|foreign_?key|sort_?key|partition_?key)$"
)
_ELSEWHERE = re.compile(
    r"(?i)^(?:%[a-z])?(?:/[\w.@%-]+)+/?$|^(?:true|false|yes|no|on|off|null|none|nil|auto|default)$|^\d{1,5}$"
    r"|^[a-z][a-z0-9+.-]*://(?![^/\s]*:[^/\s@]+@)|^(?:vault|op|aws|gcp|secret|env|file|credential|arn|ref\+\w+):"
)

_LONGEST_NAME = 256
_LOOKED_AT = 4096  # characters of a value: longer ones are no stand-ins


def is_public(name: str) -> bool:
    """A key that is meant to be seen, or the name of one."""
    return bool(_NO_SECRET.search(name))


def is_secret_name(name: str) -> bool:
    return len(name) <= _LONGEST_NAME and bool(_NAME.search(name)) and not is_public(name)


def is_real(value: str, *, least: int = 6, wordy: bool = True) -> bool:
    """A value rather than a stand-in, a reference or a switch. Without `wordy` words are no value, either."""
    text = value.strip()[:_LOOKED_AT]
    raw = text.encode("utf-8", "surrogateescape")
    if len(raw) < least or _ELSEWHERE.search(text) or placeholder(raw) is not None:
        return False
    return wordy or words(raw) is None


def assigned(pairs: Iterable[tuple[str, str]], *, wordy: bool = True) -> Iterator[str]:
    """The names among pairs of name and value that hold a secret."""
    for name, value in pairs:
        if is_secret_name(name) and is_real(value, wordy=wordy):
            yield name
