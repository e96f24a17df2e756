"""Foreign text made fit to show, to store and to encode: the one place that does it."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

__all__ = [
    "clean",
    "clip",
    "legible",
    "one_line",
    "printable",
    "prose",
    "quotable",
    "token_like",
    "toml_error",
    "veiled",
    "web_address",
]

# What a name or a path has no use for: the heads of well-known tokens, and long runs of letters and digits mixed.
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:gh[opsur]_|github_pat_|glpat-|xox[a-z]-|xapp-|hf_|npm_|AIza|eyJ|whsec_)[A-Za-z0-9_.=/+-]{10,}"
    r"|(?=[0-9]*[A-Za-z])(?=[A-Za-z]*[0-9])[A-Za-z0-9]{20,}"
)
SHARED = 8  # a text that repeats so many characters of a credential is not quoted


def clean(text: str) -> str:
    """Encodable text: the lone surrogates of an undecodable file name become `\\udcff`; all else is untouched."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def legible(path: str) -> str:
    """A path with U+FFFD for what of it is no UTF-8, as files of patterns are read: RE2 takes no lone surrogates."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def printable(text: str) -> str:
    """One line without control, direction or surrogate characters, which a hostile path may carry; they are escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def prose(text: str) -> list[str]:
    """The lines of a text that say something, each printable."""
    return [printable(line.strip()) for line in text.splitlines() if line.strip()]


def one_line(text: str, *, mark: str = " ") -> str:
    """A text for people, with `mark` for each character that cannot be shown. `clip` cuts it, once it is masked."""
    return text if text.isprintable() else "".join(char if char.isprintable() else mark for char in text)


def clip(text: str, limit: int) -> str:
    """At most `limit` UTF-16 units (what vendors count is not said; this is the larger), with `…` for what is cut."""
    if len(text) * 2 <= limit or _units(text) <= limit:
        return text
    end = min(len(text), limit - 1)
    over = _units(text[:end]) - (limit - 1)
    while over > 0:
        end -= 1
        over -= _units(text[end])
    return text[:end] + "…"


def _units(text: str) -> int:
    return len(text) + sum(c > "\uffff" for c in text)


def quotable(text: str, *secrets: str, limit: int = 200) -> str:
    """Foreign text as one printable line of at most `limit` characters, cut between words only, as no rule has seen it
    yet; empty when it holds a part of one of these secrets."""
    line = " ".join(one_line(text).split())
    folded = _bare(line)
    for secret in secrets:
        for form in (_bare(secret), _bare(quote(secret, safe="", errors="replace"))):
            width = min(SHARED, len(form))
            if width and any(form[i : i + width] in folded for i in range(len(form) - width + 1)):
                return ""
    return line if len(line) <= limit else line[: line.rfind(" ", 0, limit) + 1] + "…"


def _bare(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isprintable() and not c.isspace())


def token_like(text: str) -> bool:
    """Whether a name may be a secret in the wrong place. For texts of the configuration, where no rules are at hand."""
    return _TOKEN.search(text) is not None


def toml_error(error: ValueError) -> str:
    """Why a text is no TOML, and where, without the name of a table that stands twice: it may be a secret."""
    said = re.sub(r" \(['\"].*[,'\"]\)", "", str(error))
    return said.replace("Cannot declare twice", "a table is declared twice")


def veiled(text: str) -> str:
    """`text` with at most four characters of each part of it that is `token_like`."""
    return _TOKEN.sub(lambda match: f"{match[0][:4]}…", text)


def web_address(value: object, limit: int = 2048) -> str | None:
    """An http(s) URL that may be kept and shown: one printable word, no user name or password in it; else None."""
    if not isinstance(value, str) or not 0 < len(value) <= limit or " " in value or not value.isprintable():
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    return value if parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc else None
