"""What people write about an incident, without the secret itself: quoted alone, no rule may know it by its looks, but
its fingerprint is known."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Mapping

from detectors.fingerprint import fingerprint

__all__ = ["Previews", "unquoted"]

Previews = Callable[[Collection[str]], Awaitable[Mapping[str, str]]]  # fingerprints → the masked form of those known

_LEAST = 6  # characters
_MOST = 2000  # words of one text that are looked at
_WORD = re.compile(rf"[^\s\"'`<>(){{}}\[\],;]{{{_LEAST},}}")
_SET = re.compile(r"[=:]")  # before a value


async def unquoted(text: str, key: bytes, previews: Previews) -> str:
    """`text` with each word of it that is the secret of an incident as its masked form."""
    words = {word for found in _WORD.findall(text)[:_MOST] for word in _forms(found)}
    prints = {word: fingerprint(key, word.encode("utf-8", "backslashreplace")) for word in words}
    if not prints:
        return text
    known = await previews(set(prints.values()))
    for word in sorted(words, key=len, reverse=True):
        if (masked := known.get(prints[word])) is not None:
            text = text.replace(word, masked)
    return text


def _forms(word: str) -> set[str]:
    """A word as it stands, without the marks of a sentence, and what comes after each sign that sets a value."""
    forms = {word, word.rstrip(".:!?"), word.strip(".:!?*_~|")}
    forms |= {word[sign.end() :].rstrip(".:!?") for sign in _SET.finditer(word)}
    return {form for form in forms if len(form) >= _LEAST}
