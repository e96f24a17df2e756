"""A month of audit records as OpenBao writes them: people and programs with habits, and one anomaly of each kind."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

DAY = 86_400.0
START = datetime(2026, 10, 5, tzinfo=UTC).timestamp()  # a Monday
DAYS = 30


@dataclass(frozen=True)
class Asked:
    at: float
    who: str
    secret: str
    address: str
    denied: bool = False


@functools.cache
def month(seed: int) -> tuple[Asked, ...]:
    """Nothing in it is out of order. In the order of time."""
    random_ = random.Random(seed)
    return tuple(sorted(_month(random_), key=lambda one: one.at))


def _month(random_: random.Random) -> Iterator[Asked]:
    for day in range(DAYS):
        begin, workday = START + day * DAY, day % 7 < 5

        def within(first: float, last: float, begin: float = begin) -> float:
            return begin + random_.uniform(first, last) * 3600

        for hour in range(24):  # a service that never sleeps, from two hosts
            yield Asked(within(hour, hour + 1), "approle:gateway", "secret/gateway", f"10.0.{hour % 2}.7")
        for _ in range(random_.randint(4, 16) if workday else random_.randint(0, 3)):
            yield Asked(within(6, 20), "approle:billing", "secret/stripe", f"10.0.2.{random_.randint(2, 250)}")
        for _ in range(random_.randint(1, 4) if workday else 0):  # a person, in the office or at home
            place = random_.choice(("198.51.100.20", "203.0.113.77"))
            yield Asked(within(8, 17.5), "ldap-anna", random_.choice(("secret/stripe", "secret/gateway")), place)
        for _ in range(60 if day % 7 == 6 else 3):  # a nightly job, with more to do on Sundays
            yield Asked(within(2.1, 2.4), "kubernetes-jobs-backup", "secret/backup", "10.1.0.9")
        if workday:  # a build, with as many addresses as it has runners
            for _ in range(random_.randint(3, 25)):
                yield Asked(within(7, 19), "jwt-ci", "secret/registry", f"10.9.{random_.randint(0, 200)}.3")
        if random_.random() < 0.3:  # mistyped
            yield Asked(within(9, 16), "ldap-anna", "secret/stirpe", "198.51.100.20", denied=True)


def anomalies(last: float = START + (DAYS - 1) * DAY) -> dict[str, list[Asked]]:
    """One of each kind on the last day."""
    noon = last + 12 * 3600
    return {
        "policy": [Asked(noon, "approle:web", "secret/gateway", "10.0.0.9")],
        "first": [Asked(noon + 60, "ldap-mallory", "secret/backup", "10.0.0.9")],
        "denied": [Asked(noon + n, "ldap-mallory", f"secret/guess-{n}", "10.0.0.9", denied=True) for n in range(6)],
        "volume": [Asked(noon + n, "approle:billing", "secret/stripe", "10.0.2.9") for n in range(400)],
        "address": [Asked(noon + 5, "approle:gateway", "secret/gateway", "192.0.2.66")],
        "breadth": [Asked(last + 11_100 + n, "ldap-eve", f"secret/unread-{n}", "192.0.2.7") for n in range(25)],
        "hour": [Asked(last + 23.5 * 3600, "kubernetes-jobs-backup", "secret/backup", "10.1.0.9")],
    }


def lines(asked: Sequence[Asked], prefix: str) -> Iterator[str]:
    """As the file audit device writes them, request and response."""
    for number, one in enumerate(asked):
        record = _record(one, f"{prefix}-{number:08}")
        yield json.dumps({**record, "type": "request"})
        answer: dict[str, Any] = {
            "data": {"data": {"KEY": f"hmac-sha256:{number % 7:064x}"}, "metadata": {"version": 1}}
        }
        yield json.dumps({**record, "response": answer} if not one.denied else {**record, "error": "permission denied"})


def _record(one: Asked, id_: str) -> dict[str, Any]:
    name, _, role = one.who.partition(":")
    mount, _, rest = one.secret.partition("/")
    return {
        "time": datetime.fromtimestamp(one.at, UTC).isoformat().replace("+00:00", "Z"),
        "type": "response",
        "auth": {"display_name": name, **({"metadata": {"role_name": role}} if role else {})},
        "request": {
            "id": id_,
            "operation": "read",
            "mount_point": f"{mount}/",
            "path": f"{mount}/data/{rest}",
            "remote_address": one.address,
        },
    }
