"""What people write about an incident, without the secret itself: quoted alone, no rule may know it by its looks, but
its fingerprint is known.

Nothing says where in a text a secret begins and ends: it may hold spaces and commas, or stand between them. Therefore
every stretch between two places where a word could begin or end is looked at, the likeliest first, up to a bound.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from itertools import islice
from urllib.parse import unquote

from detectors.fingerprint import fingerprint

__all__ = ["Previews", "unquoted"]

Previews = Callable[[Collection[str]], Awaitable[Mapping[str, str]]]  # fingerprints → the masked form of those known

_LEAST = 6  # characters
_MOST = 10_000  # stretches of one text that are looked at: some 50 ms
_WIDEST = 64  # places between the two ends of a stretch that is neither a line nor between white space
_LONGEST = 1000  # characters of such a stretch

_WORD = re.compile(r"[A-Za-z0-9]+|[^A-Za-z0-9]")
_PREFIX = re.compile(r"(?<!\S)-[A-Za-z]|\\[nrtu]|%[0-9A-Fa-f]{2}")  # an option, an escape: the value may come next
_ESCAPED = re.compile(r"\\(\W)")
_SET = re.compile(r"[=:]")  # before a value
_BLANK = "\"'` \t\r\n"  # at its ends no part of a value: its fingerprint is the same without
_MARKS = ".,:;!?…´‘’“”«»()[]{}<>*_~|—–" + _BLANK
_EDGE = 4  # marks at an end
_SETS = 16  # signs in a word that may set a value


async def unquoted(text: str, key: bytes, previews: Previews) -> str:
    """`text` with each stretch of it that is the secret of an incident as its masked form."""
    prints = await asyncio.to_thread(_prints, text, key)
    if not prints:
        return text
    known = await previews({one for either in prints.values() for one in either})
    for stretch in sorted(prints, key=len, reverse=True):
        for masked in (known[one] for one in prints[stretch] if one in known):
            text = text.replace(stretch, masked)
    return text


def _prints(text: str, key: bytes) -> dict[str, list[str]]:
    """The stretches, with the fingerprints of what each says: itself, and what it is if it is written for a URL, a page
    or a shell."""
    prints: dict[str, list[str]] = {}
    for stretch in islice(_stretches(text), 8 * _MOST):
        if len(stretch) < _LEAST or stretch in prints or stretch != stretch.strip(_BLANK):
            continue
        if len(prints) == _MOST:
            break
        readings = {stretch}
        if "%" in stretch:
            readings.add(unquote(stretch))
        if "&" in stretch:
            readings.add(html.unescape(stretch))
        if "\\" in stretch:
            readings.add(_ESCAPED.sub(r"\1", stretch))
        prints[stretch] = [fingerprint(key, one.encode("utf-8", "backslashreplace")) for one in readings]
    return prints


def _stretches(text: str) -> Iterator[str]:
    yield from _trimmed(text)
    for line in text.splitlines():
        yield from _trimmed(line)
    for word in text.split():
        yield from _trimmed(word)
        for sign in islice(_SET.finditer(word), _SETS):
            yield from _trimmed(word[sign.end() :])

    ends = sorted({0} | {at.end() for at in _WORD.finditer(text)} | {at.end() for at in _PREFIX.finditer(text)})
    for width in range(1, _WIDEST + 1):
        for start, end in zip(ends, islice(ends, width, None), strict=False):
            if end - start <= _LONGEST:
                yield text[start:end]


def _trimmed(stretch: str) -> Iterator[str]:
    """It, without each of the signs at its ends that may be the sentence's and not its own."""
    stretch = stretch.strip(_BLANK)
    before = len(stretch) - len(stretch.lstrip(_MARKS))
    after = len(stretch) - len(stretch.rstrip(_MARKS))
    for start in range(min(before, _EDGE) + 1):
        for end in range(min(after, _EDGE) + 1):
            yield stretch[start : len(stretch) - end]
