"""What pages take among very many incidents, and what viewers cost the reading of logs.

    python -m benchmarks.console [--incidents 100000] [--viewers 20] [--pages 100] [--size 1G] [--rounds 5]

First so many viewers watch the list live while leaks come in and pages are asked for one after the other: wall time
from the request to the last byte. Budget of each page: ≤ 100 ms at the median, ≤ 300 ms at p99, on two cores. What a
list says must be so: its rows and "more" are its total. The processor's time, of the daemon with all it did beside,
does not depend on how busy the machine is.
Then a file of generated logs is read, in turn without viewers and with them, each of whom asks for the list once a
minute: the ratio of the rates, median of the rounds. Budget: ≥ 0.95.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import insert

from benchmarks import incidents, loggen
from benchmarks.daemon import daemon
from benchmarks.idle import spent
from detectors.rules.template import expand
from monitor.store import Store
from monitor.store.inventory import Print, SecretVersion
from monitor.store.outbox_rows import new_row
from monitor.store.schema import outbox
from monitor.store.transaction import Transaction

CONFIG = """
[[sources]]
name = "logs"
type = "file"
include = ["logs/*.log"]
start_at = "beginning"
[[sinks]]
name = "out"
type = "console"
"""
_SETTLE = 2.0  # seconds until all watch
_PATIENCE = 12_000  # looks at how far it is
_LISTS = ("/overview", "/sources", "/sinks", "/outbox", "/silences", "/trail", "/inventory", "/checklist", "/noise")
_SECRETS, _WAITING, _SILENCED = 10_000, 10_000, 100
_LOOK = 60.0  # seconds from one look of a viewer at the list to the next


class Site:
    """A daemon that runs, and who asks it for pages."""

    def __init__(self, folder: Path, url: str, pid: int, session: aiohttp.ClientSession) -> None:
        self.folder, self.url, self.pid, self.session = folder, url, pid, session
        self.events = 0
        self._leaks = 0

    async def get(self, path: str) -> str:
        async with self.session.get(f"{self.url}{path}") as answer:
            assert answer.status == 200, (path, answer.status, (self.folder / "stderr").read_text()[-800:])
            return await answer.text()

    async def read(self) -> int:
        """Bytes of logs so far."""
        async with self.session.get(f"{self.url}/status") as answer:
            (source,) = (await answer.json())["sources"]
        return int(source["bytes"] or 0)

    def leak(self) -> None:
        self._leaks += 1
        with (self.folder / "logs" / "leaks.log").open("a") as log:
            log.write(f"ERROR push refused for {expand('ghp_{alnum:30}{crc32}', f'console-{self._leaks}')}\n")

    async def _watch(self) -> None:
        forever = aiohttp.ClientTimeout(None)
        async with self.session.get(f"{self.url}/events", timeout=forever) as answer:
            assert answer.status == 200
            async for line in answer.content:
                self.events += line.startswith(b"data: {")

    async def _look(self, first: float) -> None:
        await asyncio.sleep(first)
        while True:
            await self.get("/incidents")
            await asyncio.sleep(_LOOK)

    @asynccontextmanager
    async def viewers(self, count: int, *, look: bool) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._watch()) for _ in range(count)]
        tasks += [asyncio.create_task(self._look(_LOOK * n / count)) for n in range(count if look else 0)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if not isinstance(ended, asyncio.CancelledError):
                    raise RuntimeError("a viewer was sent away") from (ended or None)


async def beside(store: Store) -> None:
    """What the other lists have: secrets of our own, notifications that were refused, silences, and what people did."""
    prints = (Print("ab" * 32, "", 40, "hex"),)
    held = [SecretVersion(f"KEY_{n:05}", f"{n:064x}", environment="production", prints=prints) for n in range(_SECRETS)]
    await store.inventory.save("vault", held, whole=True)
    await store.write(_refused)
    for n in range(_SILENCED):
        await store.silences.add([f"rule=rule-{n}"], 86_400.0, actor="ada", reason="a benchmark")


def _refused(tx: Transaction) -> None:
    of = {"key": "", "reason": "new", "incidents": (), "severity": "high", "now": tx.now}
    rows: list[dict[str, Any]] = [new_row(sink="gone", title=f"Notice {n}", **of) for n in range(_WAITING)]  # type: ignore[arg-type]
    gone = {"state": "dead", "attempts": 9, "error": "HTTP 404", "finished_at": tx.now}
    tx.connection.execute(insert(outbox), [row | gone for row in rows])


@asynccontextmanager
async def site(folder: Path, count: int) -> AsyncIterator[Site]:
    (folder / "logs").mkdir()
    (folder / "state").mkdir(mode=0o700)
    async with await Store.open(folder / "state" / "state.db") as store:
        await incidents.fill(store, count, count)
        await incidents.work(store, count)
        await beside(store)
    connector = aiohttp.TCPConnector(limit=0)
    async with daemon(folder, CONFIG) as pid, aiohttp.ClientSession(connector=connector) as session:
        (url,) = re.findall(r'"http": "(http://[^"]+)"', (folder / "stderr").read_text())
        await settled(pid)
        yield Site(folder, url, pid, session)


async def settled(pid: int) -> None:
    """After its start it looks at the deadlines of all runbooks once."""
    for _ in range(600):
        before = spent(pid)
        await asyncio.sleep(1)
        if spent(pid) - before < 0.1:
            return
    raise TimeoutError("monitor run does not come to rest")


def counted(page: str, path: str) -> None:
    """That rows and "more" are the total, where a page says so."""
    said = re.search(r"<p>([\d,]+) [a-z ]+?(?:: ([\d,]+) on this page, ([\d,]+) more)?(?: ·|</p>)", page)
    if said is None:
        return
    total, shown, more = (int((text or "0").replace(",", "")) for text in said.groups())
    rows = page.partition("<tbody>")[2].partition("</tbody>")[0].count("<tr")
    assert rows + more == total, (path, rows, more, total)
    assert not more or rows == shown, (path, rows, shown)


async def pages(run: Site, times: int, viewers: int) -> None:
    """Prints the wall time of each kind of page, with so many viewers."""
    shown = await run.get("/incidents")
    rows = re.findall(r'href="(/incidents/[0-9a-f]{16})"', shown)
    behind = re.findall(r'rel="next" href="([^"]+)"', shown)[0].replace("&amp;", "&")
    kinds = {
        "list": lambda n: "/incidents",
        "list, the next page": lambda n: behind,
        "list, by severity and rule": lambda n: f"/incidents?severity=high&rule=rule-{n % 300}",
        "list, by path": lambda n: f"/incidents?q=service-{n}/",
        "incident": lambda n: rows[n % len(rows)],
        **{path[1:]: lambda n, path=path: path for path in _LISTS},
    }
    for path in ("/incidents", behind, *_LISTS):
        counted(await run.get(path), path)
    async with run.viewers(viewers, look=False):
        for name, address in kinds.items():
            took, busy = [], spent(run.pid)
            for n in range(times):
                if n % 10 == 0:
                    run.leak()
                began = time.perf_counter()
                await run.get(address(n))
                took.append(1000 * (time.perf_counter() - began))
                await asyncio.sleep(0.02)
            cuts = statistics.quantiles(took, n=100)
            cpu = 1000 * (spent(run.pid) - busy) / times
            print(
                f"{name:28} median {statistics.median(took):6.1f} ms  p99 {cuts[98]:6.1f} ms  CPU {cpu:5.1f} ms",
                flush=True,
            )
    print(f"{viewers} viewers heard {run.events} events", flush=True)


async def rate(run: Site, text: Path, number: int) -> tuple[float, float]:
    """(bytes a second, seconds of CPU) to read a file of logs."""
    before, busy = await run.read(), spent(run.pid)
    size = text.stat().st_size
    target = run.folder / "logs" / f"app-{number}.log"
    began = time.perf_counter()
    text.rename(target)
    for _ in range(_PATIENCE):
        if await run.read() >= before + size:
            break
        await asyncio.sleep(0.05)
    else:
        raise TimeoutError(f"{target.name} is not read")
    took = time.perf_counter() - began, spent(run.pid) - busy
    target.rename(text)
    return size / took[0], took[1]


async def throughput(run: Site, size: int, rounds: int, viewers: int) -> None:
    """Prints the ratio of the rates with viewers and without."""
    text = run.folder / "text"
    ratios, cpu = [], []
    for number in range(rounds):
        loggen.generate(size, text, seed=2 * number)
        alone = await rate(run, text, 2 * number)
        text.unlink()
        loggen.generate(size, text, seed=2 * number + 1)
        async with run.viewers(viewers, look=True):
            await asyncio.sleep(_SETTLE)
            watched = await rate(run, text, 2 * number + 1)
        text.unlink()
        ratios.append(watched[0] / alone[0])
        cpu.append(watched[1] / alone[1])
        print(f"round {number + 1}: {alone[0] / 1e6:.0f} MB/s alone, {watched[0] / 1e6:.0f} MB/s watched", flush=True)
    print(f"throughput with {viewers} viewers / without: {statistics.median(ratios):.2f} of the time, "
          f"{statistics.median(cpu):.2f} of the CPU (median of {rounds})")  # fmt: skip


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    parser.add_argument("--incidents", type=int, default=100_000)
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--size", type=loggen.size, default=1 << 30)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        async with site(Path(folder), given.incidents) as run:
            await pages(run, given.pages, given.viewers)
            if given.rounds:
                await throughput(run, given.size, given.rounds, given.viewers)


if __name__ == "__main__":
    asyncio.run(main())
