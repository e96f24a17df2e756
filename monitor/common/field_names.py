"""Names of fields, as a configuration says what they hold."""

from __future__ import annotations

import re

from monitor.common.text import token_like

__all__ = ["holds_secrets", "identifier", "is_field"]

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
# Names by which everybody calls a secret: as names of identifiers they would hide all passwords, or all tokens.
_EVERYBODYS = frozenset(
    "accesskey accesstoken apikey apitoken authorization authtoken bearer clientsecret credential credentials pass "
    "passphrase passwd password privatekey pw pwd refreshtoken secret secretkey secrets token tokens".split()
)


def is_field(name: str) -> bool:
    """Whether a configuration may name a field so; not where the name may be a secret itself."""
    return _FIELD.fullmatch(name) is not None and not token_like(name)


def holds_secrets(name: str) -> bool:
    """Whether what is called so is a secret nearly everywhere. A name with a dot is that of one field."""
    return name.lower().translate({ord("_"): None, ord("-"): None}) in _EVERYBODYS


def identifier(name: str) -> str:
    """The line of a configuration that says that a field holds no secrets, to paste; empty where it takes none."""
    return f'[rules] identifiers = ["{name}"]' if is_field(name) and not holds_secrets(name) else ""
