"""From a line in a followed file to an AWS key that is deleted and seen to be refused, all by itself, against moto.

    python -m benchmarks.revocation [--keys 10]

Wall time: from just before write(2) to the state `completed` in the database. Five requests lie between: who has the key,
deactivate, delete, then what the key is still good for, and each of them moto answers in some milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.daemon import daemon
from tests.fakes.moto import aws

CONFIG = """
[[sources]]
name = "logs"
type = "file"
include = ["logs/*.log"]
start_at = "beginning"
[[sinks]]
name = "screen"
type = "console"
[verify]
providers = ["aws"]
private = ["aws"]
servers = {{ aws = "{url}" }}
rate = "10000/1m"
[[actions]]
name = "delete"
type = "aws-key-delete"
server = "{url}"
private = true
credential = "env:ADMIN_KEY"
approvals = 0
automatic = ['severity="critical"', 'rule=~"aws-.*"']
"""
MAY = ["iam:GetAccessKeyLastUsed", "iam:UpdateAccessKey", "iam:DeleteAccessKey"]


def completed(folder: Path) -> int:
    """Actions that came to their end so far."""
    with contextlib.closing(sqlite3.connect(folder / "state/state.db")) as database:
        query = "SELECT state, count(*) FROM actions GROUP BY state"
        states = dict(database.execute(query).fetchall())
    if states.keys() - {"approved", "running", "accepted", "completed"}:
        raise SystemExit(f"an action failed: {states}")
    return states.get("completed", 0)


async def measure(folder: Path, keys: int) -> list[float]:
    """Seconds for each of so many keys, one after the other."""
    log = folder / "logs/app.log"
    log.parent.mkdir(parents=True)
    log.touch()
    found = []
    with aws(folder) as cloud:
        admin = cloud.user("admin", MAY)
        leaked = [cloud.user(f"user-{number}") for number in range(keys)]
        async with daemon(folder, CONFIG.format(url=cloud.url), {"ADMIN_KEY": ":".join(admin)}):
            for number, (key_id, secret) in enumerate(leaked, 1):
                began = time.perf_counter()
                with log.open("a") as file:
                    file.write(f"AWS_ACCESS_KEY_ID={key_id} AWS_SECRET_ACCESS_KEY={secret}\n")
                while completed(folder) < number:
                    if time.perf_counter() - began > 60:
                        raise SystemExit("a key was not taken back within a minute")
                    await asyncio.sleep(0.01)
                found.append(time.perf_counter() - began)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        times = sorted(asyncio.run(measure(Path(folder), arguments.keys)))
    print(f"logged → deleted and seen refused: median {statistics.median(times):.2f} s, longest {times[-1]:.2f} s")


if __name__ == "__main__":
    main()
