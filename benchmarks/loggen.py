"""A seeded generator of realistic logs: nginx, JSON, logfmt, syslog, stack traces, base64 blobs. No secret in them.

python -m benchmarks.loggen 1G var/bench/app.log
"""

from __future__ import annotations

import base64
import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

__all__ = ["generate", "size"]

_WORDS = (
    "request response user session order payment cache database query timeout retry worker queue message "
    "upstream connection pool index shard replica leader follower snapshot checkpoint batch stream consumer producer "
    "embedding inference model prompt completion latency bucket object upload download invoice customer account login "
    "logout authorized forbidden config deploy rollout health ready live metric"
).split() * 8
# Words that every secret scanner must look at twice: in about one line of five, which is more than most services write.
_WORDS += ["token_count", "password_reset", "key_id", "secret_rotation", "api_key_name", "auth_token"]
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile/15E148 Safari/604.1",
    "curl/8.5.0",
    "python-requests/2.32.3",
    "kube-probe/1.30",
)
_PATHS = (
    "/rest/v1/orders",
    "/auth/v1/user",
    "/v1/embeddings",
    "/v1/chat/completions",
    "/static/js/main.9f8a7c.js",
    "/healthz",
)
_CLASSES = ("OrderService", "PaymentGateway", "SessionStore", "EmbeddingClient", "TokenBucket", "KeyRotationJob")


def _hex(rng: random.Random, size: int) -> str:
    return rng.randbytes(size // 2).hex()


def _nginx(rng: random.Random, now: datetime) -> str:
    query = rng.choice(
        ("", "", "", "?select=*&limit=50", f"?id=eq.{rng.randrange(10**6)}", f"?page={rng.randrange(90)}")
    )
    if rng.random() < 0.1:
        query = f"?q={rng.choice(_WORDS)}%20{rng.choice(_WORDS)}&next=https%3A%2F%2Fapp.example%2F{rng.choice(_WORDS)}%2F{rng.randrange(999)}"
    return (
        f"{rng.randrange(1, 224)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)} - - "
        f'[{now:%d/%b/%Y:%H:%M:%S} +0000] "{rng.choice(("GET", "GET", "POST", "PUT"))} {rng.choice(_PATHS)}{query} HTTP/1.1" '
        f'{rng.choice((200, 200, 200, 201, 204, 301, 404, 500))} {rng.randrange(80000)} "-" "{rng.choice(_AGENTS)}" rt={rng.random():.3f}\n'
    )


def _json(rng: random.Random, now: datetime) -> str:
    return (
        f'{{"time":"{now.isoformat()}","level":"{rng.choice(("info", "info", "warn", "error", "debug"))}","logger":"{rng.choice(_CLASSES)}",'
        f'"msg":"{" ".join(rng.choices(_WORDS, k=rng.randrange(4, 14)))}","trace_id":"{_hex(rng, 32)}","span_id":"{_hex(rng, 16)}",'
        f'"user":{{"id":{rng.randrange(10**7)},"session":"{_hex(rng, 24)}"}},"duration_ms":{rng.random() * 900:.2f}}}\n'
    )


def _logfmt(rng: random.Random, now: datetime) -> str:
    return (
        f"ts={now.isoformat()} level=info caller={rng.choice(_WORDS)}.go:{rng.randrange(900)} component={rng.choice(_WORDS)} "
        f'msg="{" ".join(rng.choices(_WORDS, k=rng.randrange(3, 10)))}" attempt={rng.randrange(5)} tokens={rng.randrange(4096)} '
        f"commit={_hex(rng, 40)} elapsed={rng.random() * 10:.3f}s\n"
    )


def _syslog(rng: random.Random, now: datetime) -> str:
    return (
        f"{now:%b %d %H:%M:%S} host-{rng.randrange(40)} {rng.choice(('sshd', 'systemd', 'kernel', 'CRON', 'postfix/smtpd'))}"
        f"[{rng.randrange(30000)}]: {' '.join(rng.choices(_WORDS, k=rng.randrange(5, 16)))} uid={rng.randrange(2000)}\n"
    )


def _trace(rng: random.Random, now: datetime) -> str:
    lines = [f"{now.isoformat()} ERROR {rng.choice(_CLASSES)} Traceback (most recent call last):"]
    for _ in range(rng.randrange(4, 14)):
        lines.append(
            f'  File "/srv/app/{rng.choice(_WORDS)}/{rng.choice(_WORDS)}.py", line {rng.randrange(900)}, in {rng.choice(_WORDS)}'
        )
        lines.append(f"    return self.{rng.choice(_WORDS)}({rng.choice(_WORDS)}, key={rng.choice(_WORDS)})")
    lines.append(f"TimeoutError: {rng.choice(_WORDS)} did not answer in {rng.randrange(30)} s\n")
    return "\n".join(lines)


def _blob(rng: random.Random, now: datetime) -> str:
    return f"{now.isoformat()} DEBUG body={base64.b64encode(rng.randbytes(rng.randrange(200, 3000))).decode()}\n"


_KINDS: tuple[tuple[Callable[[random.Random, datetime], str], int], ...] = (
    (_nginx, 34), (_json, 30), (_logfmt, 14), (_syslog, 16), (_trace, 3), (_blob, 1),
)  # fmt: skip
SEGMENT = 64 << 20  # distinct text; longer logs repeat it, which no stage can profit from (it is larger than any cache)


def generate(total: int, path: Path, seed: int = 1) -> None:
    """Write `total` bytes of log lines to `path`."""
    rng = random.Random(seed)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    kinds, weights = [k for k, _ in _KINDS], [w for _, w in _KINDS]
    parts, have = [], 0
    while have < min(total, SEGMENT):
        now += timedelta(milliseconds=rng.randrange(400))
        line = rng.choices(kinds, weights)[0](rng, now).encode()
        parts.append(line)
        have += len(line)
    segment = b"".join(parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        while total > 0:
            piece = segment if total >= len(segment) else segment[: segment.rfind(b"\n", 0, total) + 1]
            file.write(piece)
            if len(piece) < len(segment):
                break
            total -= len(piece)


def size(text: str) -> int:
    """`64M`, `1G`, `4096` → bytes."""
    return int(float(text.rstrip("KMGkmg")) * {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}.get(text[-1].lower(), 1))


if __name__ == "__main__":
    generate(size(sys.argv[1]), Path(sys.argv[2]))
