"""Offline checks of a format: check digits, claims, account numbers. Pure functions from a value to what it tells."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson

from detectors.fingerprint import b64decode, normalise
from detectors.rules.rule import Confidence
from detectors.rules.template import base62_crc32
from monitor.common.severity import Severity

__all__ = ["CARRIERS", "CHECKS", "ChecksumResult", "proven"]


@dataclass(slots=True)  # not frozen: to set each field past that lock takes four times as long
class ChecksumResult:
    """`valid`: True proven, False disproven, None nothing to prove. `reject`: cannot be a secret at all.

    `value` replaces the secret when the text only carries it (the password inside Basic credentials).
    """

    valid: bool | None = None
    reason: str = ""
    reject: bool = False
    severity: Severity | None = None
    confidence: Confidence | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    value: bytes | None = None


def _proof(ok: bool, what: str) -> ChecksumResult:
    return ChecksumResult(valid=ok, reason=f"{what} {'matches' if ok else 'does not match'}")


def github_crc32(secret: bytes) -> ChecksumResult:
    """GitHub, npm: the last six characters are the base62 CRC32 of those between prefix and them.

    Source: https://github.blog/engineering/behind-githubs-new-authentication-token-formats/
    """
    body = secret.rpartition(b"_")[2]
    return _proof(base62_crc32(body[:-6]) == body[-6:].decode("ascii", "replace"), "base62 CRC32")


def github_token(secret: bytes) -> ChecksumResult:
    """A token whose check characters GitHub has not published, or that has none; with what its audit log calls it.

    The hash gives nothing away: a token has 160 bits and more. Source: GitHub's documentation, "Identifying audit log
    events performed by an access token".
    """
    hashed = base64.b64encode(hashlib.sha256(secret).digest()).decode("ascii")
    return ChecksumResult(reason="hashed for GitHub's audit log", labels={"hashed_token": hashed})


def github_issued(secret: bytes) -> ChecksumResult:
    """As `github_crc32`, with what GitHub's audit log calls the token."""
    check = github_crc32(secret)
    return replace(check, labels=github_token(secret).labels) if check.valid else check


def hex_crc32(secret: bytes) -> ChecksumResult:
    """Grafana, Cloudflare: eight hex digits of the CRC32 of what stands before them, with or without the prefix."""
    head, tail = secret[:-8].rstrip(b"_"), secret[-8:].lower().decode("ascii", "replace")
    bodies = (head, head.rpartition(b"_")[2], secret[:-8])
    return _proof(any(f"{zlib.crc32(body):08x}" == tail for body in bodies), "CRC32")


def supabase_key(secret: bytes) -> ChecksumResult:
    """Self-hosted keys end in eight characters of a hash of the rest; the rule of hosted ones is not published."""
    head, _, tail = secret[:-9], secret[-9:-8], secret[-8:]
    prefix, rand = head[:-22], head[-22:]
    digest = hashlib.sha256(b"supabase-self-hosted|" + prefix + rand).digest()
    if base64.urlsafe_b64encode(digest)[:8] == tail:
        return ChecksumResult(
            valid=True, reason="self-hosted check characters match", labels={"hosting": "self-hosted"}
        )
    return ChecksumResult(reason="not a self-hosted key: nothing to check offline")


def _json_part(part: bytes) -> dict[str, object] | None:
    raw = b64decode(part)
    try:
        data = orjson.loads(raw) if raw is not None else None
    except orjson.JSONDecodeError:
        return None
    return data if isinstance(data, dict) else None


_PRINTED_JWT_KEYS = (
    b"secret",
    b"your-secret-key",
    b"your-256-bit-secret",
    b"a-string-secret-at-least-256-bits-long",
    b"key",
    b"changeme",
)


def _signed_with_printed_key(parts: list[bytes]) -> bool:
    signature, text = b64decode(parts[2]), b".".join(parts[:2])
    return any(hmac.digest(key, text, "sha256") == signature for key in _PRINTED_JWT_KEYS)


_ROLE_SEVERITY: dict[str, Severity] = {"service_role": "critical", "supabase_admin": "critical", "anon": "info"}


# What may be told of a token: who issued it, for what. Whoever holds it (`sub`, `email`, …) is nobody's business, and a
# claim that does not look like what it should be may be anything.
_CLAIMS = {
    "role": re.compile(r"[A-Za-z][A-Za-z_-]{0,31}"),
    "iss": re.compile(r"(?:https?://)?[A-Za-z0-9.-]{1,64}(?::[0-9]{1,5})?(?:/[A-Za-z0-9._/-]{0,64})?"),
    "ref": re.compile(r"[a-z0-9-]{1,32}"),
}


def _public_claims(claims: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value[:64]
        for name, form in _CLAIMS.items()
        if isinstance(value := claims.get(name), str) and form.fullmatch(value)
    }


def jwt(secret: bytes) -> ChecksumResult:
    """Header and claims must be JSON (RFC 7519). A Supabase role sets the severity: `service_role` bypasses every
    policy, `anon` is public by design. An expired token is low."""
    parts = secret.split(b".")
    header = _json_part(parts[0])
    claims = _json_part(parts[1]) if len(parts) > 1 else None
    if header is None or not ({"alg", "typ", "kid", "enc"} & header.keys()):
        return ChecksumResult(reject=True, reason="the header is not a JOSE header")
    if claims is None:
        if "enc" in header:
            return ChecksumResult(reason="encrypted token: claims cannot be read", labels={"type": "JWE"})
        return ChecksumResult(reject=True, reason="the claims are not JSON")
    labels = _public_claims(claims)
    severity = _ROLE_SEVERITY.get(labels.get("role", ""))
    if labels.get("iss") == "supabase-demo":
        return ChecksumResult(reason="the local demo key of the Supabase CLI", labels=labels, severity="info")
    expires = claims.get("exp")
    if isinstance(expires, int | float) and expires < time.time():
        return ChecksumResult(
            reason="expired", labels=labels | {"expired": "true"}, severity="info" if severity == "info" else "low"
        )
    if str(header.get("alg", "")) == "HS256" and len(parts) == 3 and _signed_with_printed_key(parts):
        # Whoever reads the manual can sign another one, so this one is an example, or no protection at all.
        labels |= {"signing_key": "printed in manuals"}
        return ChecksumResult(
            reason="signed with the key of an example", labels=labels, severity="low", confidence="low"
        )
    if claims.get("sub") == "1234567890" and (claims.get("iat") == 1516239022 or claims.get("name") == "John Doe"):
        return ChecksumResult(reason="the claims of an example", labels=labels, severity="low", confidence="low")
    if severity is None and str(header.get("alg", "")).lower() == "none":
        return ChecksumResult(reason="unsigned token", labels=labels | {"alg": "none"}, severity="low")
    return ChecksumResult(reason="header and claims decode", labels=labels, severity=severity)


_UNSIGNED = re.compile(rb"eyJ[\w-]+\.eyJ[\w-]+\.?")


def bearer(secret: bytes) -> ChecksumResult:
    """A JWT without its signature opens nothing, nor do the messages of NTLM before the answer."""
    if secret.startswith((b"TlRMTVNTUAAB", b"TlRMTVNTUAAC")):
        return ChecksumResult(reject=True, reason="an NTLM message that carries no answer")
    if _UNSIGNED.fullmatch(secret):
        return ChecksumResult(reason="a token without its signature", severity="low", confidence="low")
    return ChecksumResult()


# Accounts that canary tokens are issued from (Thinkst's, and known look-alikes): a use rings somebody's bell, so the
# finding is labelled, and the key must never be verified.
_CANARY_ACCOUNTS = frozenset(
    "052310077262 171436882533 528757803018 534261010715 538784191382 595918472158 717712589309 729780141977 "
    "730335385048 819147034852 893192397702 992382622183 266735846894 044858866125 251535659677 344043088457 "
    "351906852752 390477818340 426127672474 427150556519 439872796651 445142720921 465867158099 637958123769 "
    "693412236332 732624840810 735421457923 959235150393 982842642351".split()
)


_BASE32 = bytearray(b"!" * 256)  # of base32 the digits in which Python reads numbers of that base
_BASE32[50:56], _BASE32[65:91] = b"qrstuv", b"0123456789abcdefghijklmnop"


def aws_account(secret: bytes) -> ChecksumResult:
    """The account id is bits 7–46 of the first six bytes of the base32 body (keys issued since 2019)."""
    body = secret[4:20]
    try:
        number = int(body.translate(_BASE32), 32) >> (5 * len(body) - 48)  # Python's decoder takes five times as long
    except ValueError:
        return ChecksumResult(reason="an old key id: no account in it")
    account = f"{(number & 0x7FFFFFFFFF80) >> 7:012d}"
    if account in _CANARY_ACCOUNTS:
        return ChecksumResult(reason="a canary account", labels={"account": account, "canary": "true"}, severity="info")
    return ChecksumResult(reason=f"account {account}", labels={"account": account})


def basic_auth(secret: bytes) -> ChecksumResult:
    """RFC 7617: base64 of `user:password`; the password is the secret."""
    raw = b64decode(secret)
    if raw is None or b":" not in raw or not raw.isascii() or not raw.decode("ascii").isprintable():
        return ChecksumResult(reject=True, reason="not base64 of user:password")
    user, _, password = raw.partition(b":")
    if len(password) < 3 and len(user) < 16:
        return ChecksumResult(reject=True, reason="no password in the credentials")
    # Many APIs take the key as user name with an empty or dummy password.
    value = password if len(password) >= 6 else user
    return ChecksumResult(valid=True, reason="base64 of user:password", value=value)


def uri_password(secret: bytes) -> ChecksumResult:
    """Userinfo is percent-encoded (RFC 3986 §3.2.1): the decoded password is the secret."""
    return ChecksumResult(value=unquote_to_bytes(secret)) if b"%" in secret else ChecksumResult()


def base64_json(secret: bytes) -> ChecksumResult:
    """After the prefix stands base64 of a JSON object (1Password, Grafana Cloud, Railway, …)."""
    start = secret.find(b"eyJ")
    ok = start >= 0 and _json_part(secret[start:].split(b".")[0]) is not None
    return _proof(ok, "base64 JSON") if not secret.endswith(b"=") or ok else ChecksumResult(reason="cut short")


def base64_text(secret: bytes) -> ChecksumResult:
    """The whole value is base64."""
    return ChecksumResult() if b64decode(secret) is not None else ChecksumResult(reject=True, reason="not base64")


def discord_bot(secret: bytes) -> ChecksumResult:
    """The first part is base64 of the bot's numeric id."""
    raw = b64decode(secret.split(b".")[0])
    return (
        ChecksumResult(valid=True, reason="bot id decodes")
        if raw and raw.isdigit()
        else ChecksumResult(reject=True, reason="no bot id")
    )


def pypi_macaroon(secret: bytes) -> ChecksumResult:
    """`pypi-` and a macaroon whose location is pypi.org or test.pypi.org."""
    raw = b64decode(secret[5:]) or b64decode(secret[5 : 5 + (len(secret) - 5) // 4 * 4]) or b""
    return _proof(b"pypi.org" in raw[:40], "macaroon location")


# Private keys that packages found on most machines carry for their own tests, as the first 16 hex digits of the SHA-256
# of their DER: the certificates of CPython's test suite and of moto's proxy.
_PUBLISHED_KEYS = frozenset(
    "30325068603a16a0 47698284e7e71daf 492e9dcc8cadbe00 5d0b7e7bbb03d7bf 83d4d09f6eb60626 8547eb983f31a400 "
    "85f11ff5a5107ed9 8ffef375b96e9528 a70f24304eba8198 aa937c270bfefeac cf1db3df60313e91 f022ad7b79455ba6 "
    "f139e02d7543073f fb7f6509e3ab7681".split()
)


_BODY = re.compile(rb"[A-Za-z0-9+/]{24}")  # longer than names in code mostly are


def pem(secret: bytes) -> ChecksumResult:
    """The body of a PEM is base64 of one DER SEQUENCE of the length it declares (RFC 5208, 5915, 8017), or opens with
    `openssh-key-v1`. Damaged, shortened and invented ones are still reported, with less confidence."""
    _, _, text = normalise(secret).partition(b" ")
    body = text.rsplit(b" ", 1)[-1]
    raw = b64decode(body)
    if raw is not None and hashlib.sha256(raw).hexdigest()[:16] in _PUBLISHED_KEYS:
        reason = "published for tests: everybody has it"
        return ChecksumResult(reason=reason, severity="info", confidence="low", labels={"published": "true"})
    if raw is not None and (raw.startswith(b"openssh-key-v1\0") or _der_length(raw) == len(raw)):
        return ChecksumResult(valid=True, reason="the body is a whole key")
    if not _BODY.search(secret):
        return ChecksumResult(reason="no body of a key", confidence="low")  # code that reads or writes one
    if b"..." in secret:
        return ChecksumResult(reason="parts of the key are left out", confidence="low")
    return ChecksumResult(
        reason=f"the body is not {'whole base64' if raw is None else 'a whole key'}", confidence="medium"
    )


def pem_body(secret: bytes) -> ChecksumResult:
    """Between the lines that frame it stands base64, not the code that reads or writes one."""
    return ChecksumResult() if _BODY.search(secret) else ChecksumResult(reason="no body of a key", confidence="low")


def _der_length(raw: bytes) -> int:
    """Bytes that the outermost DER SEQUENCE says it has, its header included; 0 when it is none."""
    if len(raw) < 2 or raw[0] != 0x30:
        return 0
    if raw[1] < 0x80:
        return 2 + raw[1]
    count = raw[1] & 0x7F
    return 2 + count + int.from_bytes(raw[2 : 2 + count], "big") if 0 < count <= 4 else 0


_TEST_MODE = re.compile(rb"^[a-z]{2}_test_|_test_|^sandbox")


def test_mode(secret: bytes) -> ChecksumResult:
    """Keys of a vendor's test mode move no money and reach no customer."""
    if _TEST_MODE.search(secret):
        return ChecksumResult(reason="a test-mode key", severity="info", labels={"mode": "test"})
    return ChecksumResult()


_JOINT = re.compile(rb"[\"']\s*[+.&]?\s*[\"']")


def joined(secret: bytes) -> ChecksumResult:
    """Literals that a program puts together: the value is what comes of it."""
    return ChecksumResult(value=_JOINT.sub(b"", secret))


CHECKS: dict[str, Callable[[bytes], ChecksumResult]] = {
    "joined": joined,
    "github-crc32": github_crc32,
    "github-issued": github_issued,
    "github-token": github_token,
    "hex-crc32": hex_crc32,
    "supabase-key": supabase_key,
    "jwt": jwt,
    "aws-account": aws_account,
    "basic-auth": basic_auth,
    "bearer": bearer,
    "uri-password": uri_password,
    "base64-json": base64_json,
    "base64": base64_text,
    "discord-bot": discord_bot,
    "pypi-macaroon": pypi_macaroon,
    "pem": pem,
    "pem-body": pem_body,
    "test-mode": test_mode,
}


CARRIERS = frozenset(("basic-auth",))  # their `value` is a part of the secret, beside the name of who it belongs to
# 32 bits and more: the others only read a format.
_PROOFS = frozenset(("github-crc32", "github-issued", "hex-crc32", "supabase-key"))


def proven(check: str | None, secret: bytes) -> bool:
    """Whether check digits say that `secret` was issued, whatever it looks like."""
    return check in _PROOFS and CHECKS[check](secret).valid is True
