"""Whether a value may be enrolled: pure. What could be guessed, or stands in logs by itself, is refused with a reason.

A fingerprint is as good as the value to who can try all values, and a word that is enrolled is found in every log.
No reason quotes a part of the value.
"""

from __future__ import annotations

import math
import re

from detectors.match.filters import entropy, placeholder, words
from detectors.match.score import RANDOM, randomness, surprise

__all__ = ["LARGEST", "LEAST", "LEAST_BITS", "alphabet", "bits", "refusal"]

LEAST, LARGEST = 12, 64 << 10  # bytes of a value
LEAST_BITS = 64.0  # that a value must carry, as far as can be told from it alone
_WORDY = 1.5  # bits of a letter in words: fewer than eleven for most of a dictionary
_SEPARATORS = re.compile(rb"[-_.:/,@=?& ;\t\r\n]+")
_DATE = re.compile(rb"(?:19|20)\d\d[-/.]?(?:0[1-9]|1[0-2])[-/.]?(?:[0-2]\d|3[01])|(?:19|20)\d\d(?!\d)")
_PUBLIC = re.compile(
    rb"sb_publishable_|pk_(?:live|test)_|-----BEGIN (?:CERTIFICATE|[A-Z ]{0,20}PUBLIC KEY)-----|ssh-(?:rsa|ed25519) A"
    rb"|ecdsa-sha2-|age1[0-9a-z]{20}"
)
_ALPHABETS = (
    ("digits", re.compile(rb"[0-9]+"), 10),
    ("hex", re.compile(rb"[0-9a-f]+|[0-9A-F]+"), 16),
    ("lower case", re.compile(rb"[a-z]+"), 26),
    ("upper case", re.compile(rb"[A-Z]+"), 26),
    ("letters", re.compile(rb"[A-Za-z]+"), 52),
    ("base32", re.compile(rb"[A-Z2-7]+=*"), 32),
    ("lower case and digits", re.compile(rb"[a-z0-9]+"), 36),
    ("letters and digits", re.compile(rb"[A-Za-z0-9]+"), 62),
    ("base64", re.compile(rb"[A-Za-z0-9+/_-]+=*"), 64),
    ("text", re.compile(rb"[\x20-\x7e\t\r\n]+"), 94),
)


def alphabet(value: bytes) -> str:
    """The class of characters that a value is of, in words."""
    return _class(value)[0]


def _class(value: bytes) -> tuple[str, int]:
    return next(((name, size) for name, pattern, size in _ALPHABETS if pattern.fullmatch(value)), ("bytes", 256))


def refusal(value: bytes) -> str | None:
    """Why a value is not enrolled, or None."""
    if not value:
        return "empty"
    if len(value) > LARGEST:
        return f"longer than {LARGEST} bytes"
    text = alphabet(value) != "bytes"
    if text and (why := placeholder(value)):
        return "a placeholder" if "placeholder word" in why else "an expression, or a value that everybody knows"
    if len(value) < LEAST:
        return f"shorter than {LEAST} bytes"
    if _PUBLIC.match(value):
        return "a public key or certificate: it is meant to be seen"
    if text and words(value):
        return "words, a name, a path or an address: it stands in logs by itself"
    if bits(value) < LEAST_BITS:
        return "too easy to guess: too few random characters"
    return None


def bits(value: bytes) -> float:
    """How much has to be guessed to know the value, by its characters alone."""
    if alphabet(value) == "bytes":
        return entropy(value) * len(value)
    tokens = _SEPARATORS.split(_DATE.sub(b"", value))
    return sum(map(_token, tokens)) + len(tokens) - 1.0


def _token(token: bytes) -> float:
    """Of what stands between separators."""
    size = len(token)
    if not size:
        return 0.0
    beyond, letters = surprise(token)
    _, of = _class(token)
    if size >= LEAST and of > 10 and _repeats(token):
        return _WORDY * size
    if size <= 4 and (token.isdigit() or (token.isalpha() and token.islower())):
        return _WORDY * size
    known = beyond + RANDOM * letters if beyond > 0 else _WORDY * letters
    most = size * math.log2(of)
    if size >= LEAST and of > 10 and randomness(token) < -4.0:
        most = entropy(token) * size  # few characters, again and again
    return min(max(0.0, known) + (size - letters) * math.log2(of), most)


def _repeats(token: bytes) -> bool:
    """Whether it is made of the same pieces again and again. Hardly a random value has three characters twice; their
    mere frequencies are as uneven as a doubled value's in one of two hundred random ones."""
    pieces = [token[at : at + 3] for at in range(len(token) - 2)]
    return 4 * len(set(pieces)) <= 3 * len(pieces)
