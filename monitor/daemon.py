"""The daemon: wires sources, scanner, store, delivery and HTTP together, and takes them through start, reload and end.

start → ready → (reload …) → drain → end. A part that fails is started again or reported; none takes the others down.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import glob
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import structlog

from detectors.engine import Engine
from detectors.load import load_rules
from detectors.rule import Rule, RuleError
from monitor import config as configuration
from monitor import runbook
from monitor.common.backoff import backoff
from monitor.common.http import Http
from monitor.common.severity import Severity
from monitor.config import Config, ConfigError
from monitor.delivery import Delivery, Links
from monitor.model import Alert, Block, Finding, HookDelivery, KnownAlert, Position, WriteBack
from monitor.process import harden, mask_logs, notify, spare_memory, watchdog_interval
from monitor.scanner import Scanner
from monitor.seal import Sealer
from monitor.snapshot import Snapshot
from monitor.sources import load_source
from monitor.sources.base import SourceConfig
from monitor.store import Recovery, Store, StoreError
from monitor.store.mark import BlockMarks
from monitor.store.records import AlertBatch
from sinks import load_sink
from sinks.base import Sink, SinkConfig

__all__ = ["Daemon", "Host", "SourceIntake", "build_engine", "build_sinks"]

log = structlog.get_logger(__name__)

_DRAIN = 6.0  # seconds for notifications in flight at the end; systemd is promised an end within 10
_STUCK = 60.0  # a scan of one block that takes so long will not end
_SLOW, _HANGS = 3.0, 10.0  # seconds at one write: from then on not ready; not healthy
_BEAT = 2.0  # seconds between looks at ourselves
_COUNT = 10.0  # seconds between counts of what is stored, when only other processes can have changed it
_RESTART_FIRST, _RESTART_LONGEST = 1.0, 60.0  # seconds
_RESTARTS = 3  # without a word
_LONGEST_END = 9.5  # after so many seconds the end is not waited for any longer
_WATCH = 0.5  # seconds between looks at the configuration and the rule files
_BEGIN = 30.0  # seconds that "ready" waits for sources to record where they begin
_ONCE_SETTLE = 60.0  # `--once` waits so long for the sinks


def build_engine(config: Config) -> Engine:
    """The rules the configuration asks for, compiled. Blocking. Raises RuleError with everything wrong about them."""
    cache = config.state_dir / "cache"
    rules = load_rules(config.rules.packs, config.rules.paths, config.rules.disable, cache)
    engine = Engine.build(rules, cache)
    # Built-in packs are checked by our tests; what comes from elsewhere is checked before it is used.
    own = [rule for rule in rules if rule.family == "custom"]
    if own:
        from detectors.check import check_rules

        problems = check_rules(engine, own)
        if problems:
            raise RuleError(problems)
    return engine


def _present(sources: Iterable[SourceConfig]) -> dict[str, Mapping[str, tuple[int, int]]]:
    """What is there at this moment, of the sources that can tell. Blocking."""
    found = {}
    for source in sources:
        tell = getattr(load_source(source.type), "present", None)
        if tell is not None:
            found[source.name] = tell(source)
    return found


def build_sinks(configs: Iterable[SinkConfig], http: Http) -> dict[str, Sink]:
    """Sinks by name."""
    return {config.name: load_sink(config.type)(config, http) for config in configs}


class Daemon:
    """One run of the monitor. `run` returns the exit code."""

    def __init__(self, config: Config, *, once: bool = False) -> None:
        self.config = config
        self.once = once
        self.address: str | None = None  # of the HTTP server, once it listens
        self.snapshot = Snapshot(started=time.time())
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._sources: dict[str, tuple[SourceConfig, asyncio.Task[None]]] = {}
        self._finished: set[str] = set()
        self._present: dict[str, Mapping[str, tuple[int, int]]] = {}  # source → see SourceIntake.present
        self._handles: dict[str, dict[tuple[int, int], int]] = {}  # source → see SourceIntake.handles
        self._beginning: set[str] = set()  # sources of which it is not durable yet where they begin
        self._ready = False
        self._loaded = _signature(config)  # the files as they were when they were last read
        self._lag = 0.0  # seconds the event loop was late at its last beat
        self._key = b""
        self._sinks: dict[str, Sink] = {}
        self._store: Store
        self._scanner: Scanner
        self._delivery: Delivery
        self._http: Http

    async def run(self, on_ready: Callable[[Daemon], None] = lambda daemon: None) -> int:
        """Until a signal, or with `once` until everything is read and delivered. Raises ConfigError at start."""
        harden()
        asyncio.get_running_loop().set_exception_handler(_unhandled)
        with self._signals():
            try:
                async with self._parts():
                    self._ready = True
                    notify(f"READY=1\nSTATUS=watching {len(self.config.sources)} sources")
                    log.info("ready", rules=self.snapshot.rules, sources=len(self.config.sources), http=self.address)
                    on_ready(self)
                    return await (self._run_once() if self.once else self._run())
            finally:
                log.info("stopped")

    def stop(self) -> None:
        """End as SIGTERM does."""
        self._stop.set()

    def reload(self) -> None:
        """Read the configuration and the rules again, as SIGHUP does."""
        self._reload.set()

    # Start and end

    @contextlib.asynccontextmanager
    async def _parts(self) -> AsyncIterator[None]:
        config = self.config
        self._key = await asyncio.to_thread(configuration.key, config)
        try:
            # Where sources begin is noted first: compiling takes a while, and what is written meanwhile counts.
            self._present, engine = await asyncio.gather(
                asyncio.to_thread(_present, config.sources), asyncio.to_thread(build_engine, config)
            )
        except RuleError as error:
            problems = [configuration.Problem("rules", text) for text in error.problems]
            raise ConfigError(config.path, problems) from None
        marks = BlockMarks(config.state_dir / "blocks.mark")
        self._scanner = Scanner(engine, self._key, config.workers, marks)
        mask_logs(self._scanner.scrub)
        self.snapshot.scanner = self._scanner.stats
        self.snapshot.rules = len(engine.rules)
        recovered: list[Recovery] = []
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(marks.close)
            stack.callback(self._scanner.close)
            stack.enter_context(_alone(config.state_dir))
            self._store = await Store.open(
                configuration.database(config), config.policy, node=config.monitor.node, waiting=_wait_for_store
            )
            stack.push_async_callback(self._close_store)
            if self._store.recovery is not None:
                recovered.append(self._store.recovery)
            self._http = Http()
            stack.push_async_callback(self._http.close)
            if config.http.listen and not self.once:  # nobody asks for it, and a daemon may have the port
                await stack.enter_async_context(self._serve())
            self._sinks = build_sinks(config.sinks, self._http)
            self._delivery = Delivery(
                self._store,
                self._sinks,
                fallbacks={sink.name: sink.fallback for sink in config.sinks},
                links=self._links(),
                first_step=_first_step,
            )
            self.snapshot.sinks = self._delivery.stats()  # type: ignore[assignment]  # a live view
            self._store.on_degraded(self._store_degraded)
            self._store.on_recovery(self._recovered)
            for recovery in recovered:
                self._recovered(recovery)
            delivering = asyncio.create_task(self._delivery.run(), name="delivery")
            stack.push_async_callback(_cancel, delivering)
            stack.push_async_callback(self._drain)
            beating = asyncio.create_task(self._beat_forever(), name="heartbeat")
            stack.push_async_callback(_cancel, beating)
            for source in config.sources:
                self._start(source)
            stack.push_async_callback(self._stop_sources)
            await self._begun()
            yield

    async def _run(self) -> int:
        spare_memory()
        tasks = [
            asyncio.create_task(self._watch_files(), name="configuration"),
            asyncio.create_task(self._reload_forever(), name="reload"),
        ]
        await self._stop.wait()
        notify("STOPPING=1")
        log.info("stopping")
        for task in tasks:  # a reload in progress is given up: it may wait for a sink longer than we have
            await _cancel(task)
        return 0

    async def _run_once(self) -> int:
        """Every source to its present end, then every notification; 1 when something failed or is left over."""
        stopped = asyncio.create_task(self._stop.wait())
        pending: set[asyncio.Task[Any]] = {task for _, task in self._sources.values()}
        while pending and not stopped.done():
            _, pending = await asyncio.wait({*pending, stopped}, return_when=asyncio.FIRST_COMPLETED)
            pending.discard(stopped)
        if stopped.done():
            return 0
        await self._store.flush()
        settling = asyncio.create_task(self._delivery.settle(_ONCE_SETTLE))
        await asyncio.wait({settling, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            await _cancel(settling)
            return 0
        stopped.cancel()
        left = settling.result()
        if left:
            log.warning("not everything could be delivered; it is kept for the next run", notifications=left)
        failed = [name for name in self._sources if name not in self._finished]
        if failed:
            log.error("sources could not be read to their end", sources=failed)
        return 1 if left or failed else 0

    async def _drain(self) -> None:
        await self._delivery.drain(_DRAIN)

    async def _close_store(self) -> None:
        await self._store.close(3.0)

    async def _stop_sources(self) -> None:
        self._ready = False
        await asyncio.gather(*(_cancel(task) for _, task in self._sources.values()))

    @contextlib.contextmanager
    def _signals(self) -> Any:
        loop = asyncio.get_running_loop()

        def end() -> None:
            if self._stop.is_set():
                os._exit(130)  # asked twice: at once, whatever is under way; nothing committed is lost
            self._stop.set()
            # A thread that hangs (a dead disk, a resolver) would hold up the interpreter's own end for ever.
            limit = threading.Timer(_LONGEST_END, _give_up)
            limit.daemon = True
            limit.start()

        handled = {signal.SIGTERM: end, signal.SIGINT: end, signal.SIGHUP: self.reload}
        for number, handler in handled.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)

    # Sources

    def _start(self, config: SourceConfig) -> None:
        self._finished.discard(config.name)
        if hasattr(load_source(config.type), "present"):
            self._beginning.add(config.name)
        task = asyncio.create_task(self._supervise(config), name=f"source {config.name}")
        self._sources[config.name] = (config, task)

    def _intake(self, name: str) -> SourceIntake:
        return SourceIntake(
            self,
            name,
            present=self._present.get(name),
            handles=self._handles.setdefault(name, {}),
            on_started=lambda: self._beginning.discard(name),
        )

    async def _begun(self) -> None:
        """Wait until it is durable where every source begins: what is written after "ready" is read, come what may."""
        due = time.monotonic() + _BEGIN
        while self._beginning and not self._stop.is_set():
            if time.monotonic() > due:
                log.warning("where sources begin could not be recorded yet", sources=sorted(self._beginning))
                return
            await asyncio.sleep(0.005)

    async def _restored(self, config: SourceConfig) -> SourceConfig:
        """The database lost what it knew of this source: it is no first start, and nothing may be skipped."""
        if self._store.recovery is None or getattr(config, "start_at", None) != "end":
            return config
        if await self._store.positions.of(config.name):
            return config
        log.warning("positions are lost; reading from the beginning", source=config.name)
        return config.model_copy(update={"start_at": "beginning"})

    async def _supervise(self, config: SourceConfig) -> None:
        """Run one source; start it again when it fails, ever later."""
        failures = 0  # in a row
        while True:
            began = time.monotonic()
            try:
                place = await self._restored(config)
                source = load_source(config.type)(place, self._intake(config.name), self._key)
                await source.run(self.once)
            except Exception as error:  # noqa: BLE001 - the supervision boundary
                log.error("source failed", source=config.name, error_type=type(error).__name__, exc_info=False)
                self._beginning.discard(config.name)
                self.snapshot.restarts[config.name] += 1
                if time.monotonic() - began > _RESTART_LONGEST:
                    failures = 0
                failures += 1
                if failures > _RESTARTS:
                    pauses = f"It is started again, after pauses of up to {_RESTART_LONGEST:.0f} s."
                    self.alert(f"Source {config.name} keeps failing", pauses)
                    if self.once:
                        return  # its name is missing among those that have come to their end
                await asyncio.sleep(backoff(failures, _RESTART_FIRST, _RESTART_LONGEST))
            else:
                self._finished.add(config.name)
                self._beginning.discard(config.name)
                log.info("source ended", source=config.name)
                return

    # Trouble

    def alert(
        self, title: str, text: str = "", severity: Severity = "high", key: str | None = None, *, every: float = 3600.0
    ) -> None:
        """Tell about the monitor itself, without the database; at most once `every` seconds for one `key`."""
        title, text = self._scanner.scrub(title), self._scanner.scrub(text)
        log.warning(title, detail=text)
        self._delivery.operational(title, text, severity=severity, key=key, every=every)

    def _store_degraded(self, message: str | None) -> None:
        if message is None:
            log.info("the database can be written again")
            self._delivery.over("database", "It can be written again; reading goes on.")
        else:
            text = f"{message}. Reading has stopped where it was; nothing is lost, and it goes on by itself."
            self.alert("The state database cannot be written", text, "critical", "database")

    def _recovered(self, recovery: Recovery) -> None:
        self.alert(recovery.title, recovery.text, "critical", "recovery")

    async def _beat_forever(self) -> None:
        """Look at ourselves, and feed the watchdog while there is progress to vouch for."""
        interval = min(_BEAT, watchdog_interval() or _BEAT)
        due = time.monotonic()
        counting: asyncio.Task[None] | None = None
        counted = (-1, float("-inf"))  # the store's transactions and the time of the last count
        try:
            while True:
                due = max(due + interval, time.monotonic())
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                self._lag = time.monotonic() - due
                if all(problem is None for problem in self._vital().values()):
                    notify("WATCHDOG=1")
                written = self._store.transactions
                news = written != counted[0] or due >= counted[1] + _COUNT
                if news and (
                    counting is None or counting.done()
                ):  # aside: a slow disk must not look like a hung daemon
                    counted = (written, due)
                    counting = asyncio.create_task(self._count())
        finally:
            if counting is not None:
                await _cancel(counting)

    async def _count(self) -> None:
        with contextlib.suppress(StoreError):  # a database in trouble reports itself
            self.snapshot.store = await self._store.stats()

    def live(self) -> Mapping[str, str | None]:
        """What `/healthz` shows: the parts of `_vital`, and whether the writer makes progress."""
        parts = dict(self._vital())
        parts["store"] = parts["store"] or self._stalled(_HANGS)
        return parts

    def _stalled(self, limit: float) -> str | None:
        """A disk that hangs gives no error: only that nothing comes back tells."""
        seconds = self._store.stalled()
        return f"a write has been under way for {seconds:.0f} s" if seconds > limit else None

    def _vital(self) -> Mapping[str, str | None]:
        """Parts without which only a restart helps: the watchdog is not fed for them. A disk that hangs is none."""
        stuck = self._scanner.longest()
        return {
            "event loop": f"late by {self._lag:.0f} s" if self._lag > _STUCK / 2 else None,
            "scanner": f"at one block for {stuck:.0f} s" if stuck > _STUCK else None,
            "store": None if self._store.alive else "the writer has ended",
        }

    def ready(self) -> Mapping[str, str | None]:
        """Parts that must work before the monitor does its job."""
        down = [name for name, (_, task) in self._sources.items() if task.done() and name not in self._finished]
        return {
            "started": None if self._ready else "starting or stopping",
            "sources": f"ended: {', '.join(down)}" if down else None,
            "store": self._store.degraded or self._stalled(_SLOW),
            "sinks": self._delivery.trouble() if self._ready else None,
        }

    # HTTP

    def _links(self) -> Links:
        base = self.config.http.base_url or self.address
        if base and not base.startswith("http"):  # a unix socket leads nobody anywhere
            base = None
        return Links(console=base, runbooks=f"{base}/runbooks" if base else None)

    @contextlib.asynccontextmanager
    async def _serve(self) -> AsyncIterator[None]:
        """The HTTP server. Raises ConfigError when its address cannot be had."""
        # These bring aiohttp and cryptography along, which `--once` has no use for.
        from prometheus_client import CollectorRegistry

        from monitor.github import hook as github_hook
        from monitor.metrics import DaemonCollector
        from monitor.web import app as web
        from monitor.web import console

        config = self.config
        host, port = configuration.split_listen(config.http.listen)
        registry = CollectorRegistry()
        registry.register(DaemonCollector(lambda: self.snapshot))
        hooks = github_hook.routes(
            lambda: self.config.sources,
            self._store.hooks.enqueue,
            lambda source, what: self.snapshot.malformed.update([(source, what)]),
        )
        application = web.build(
            web.Probes(live=self.live, ready=self.ready, registry=registry),
            hosts=web.allowed_hosts(host, config.http.base_url, config.http.hosts),
            routes=[*hooks, *console.routes(self._store)],
            token=config.http.token,
        )
        try:
            server = web.serve(application, host, port)
            self.address = await server.__aenter__()
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            hint = '; is a monitor running already? Otherwise set another port, or "" for no HTTP'
            message = f"{config.http.listen}: {why}{hint if error.errno == errno.EADDRINUSE else ''}"
            raise ConfigError(config.path, [configuration.Problem("http.listen", message)]) from None
        try:
            yield
        finally:
            await server.__aexit__(None, None, None)

    # Reload

    async def _watch_files(self) -> None:
        """Reload when the configuration or a rule file has changed and then rested for a moment.

        A look at a few files twice a second costs nothing, and unlike a watch it also sees files behind symbolic links
        (as Kubernetes mounts them), on network file systems, and in folders that come into being later.
        """
        before = self._loaded
        while True:
            await asyncio.sleep(_WATCH)
            now = await asyncio.to_thread(_signature, self.config)
            if now != self._loaded and now == before:
                self._reload.set()
            before = now

    async def _reload_forever(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            await self._reload_now()

    async def _reload_now(self) -> None:
        """Take over a changed configuration as a whole, or keep the old one as a whole."""
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            await self._take_over()
        except (ConfigError, RuleError) as error:
            self.snapshot.reloads["refused"] += 1
            text = f"The old one stays in force. {error}"
            # Every refusal is news: the file has changed since the last one.
            self.alert("A changed configuration was refused", text, key="reload", every=0.0)
        except Exception as error:  # noqa: BLE001 - a failed reload must not end a working daemon
            self.snapshot.reloads["refused"] += 1
            self.alert(
                "A reload failed", f"The old configuration stays in force ({type(error).__name__}).", key="reload"
            )
        else:
            self.snapshot.reloads["ok"] += 1
            spare_memory()
            self._delivery.over("reload", "The configuration is in force.")
            log.info("reloaded", rules=self.snapshot.rules, sources=len(self.config.sources))
        notify("READY=1")

    async def _take_over(self) -> None:
        old = self.config
        # Before they are read: a change made meanwhile is seen at the next look.
        self._loaded = await asyncio.to_thread(_signature, old)
        new = await asyncio.to_thread(configuration.load, old.path) if old.path else old
        if new.rules.paths != old.rules.paths:
            self._loaded = self._loaded[:1] + (await asyncio.to_thread(_signature, new))[1:]
        engine = await asyncio.to_thread(build_engine, new)
        sinks = build_sinks(new.sinks, self._http) if new.sinks != old.sinks else None
        for name in ("monitor", "http"):
            if getattr(new, name) != getattr(old, name):
                log.warning(f"[{name}] changed: it takes effect at the next start")
        new = replace(new, monitor=old.monitor, http=old.http)
        # From here on nothing can be refused any more.
        self._scanner.swap(engine)
        self.snapshot.rules = len(engine.rules)
        self.config = new
        self._store.policy = new.policy
        kept = set(new.sources)
        for name, (source, task) in list(self._sources.items()):
            if source not in kept:
                await _cancel(task)
                del self._sources[name]
        for source in new.sources:
            if source.name not in self._sources:
                self._start(source)
        if sinks is not None:
            before, self._sinks = self._sinks, sinks
            await self._delivery.replace(sinks, {sink.name: sink.fallback for sink in new.sinks})
            for sink in before.values():
                await sink.close()
        from detectors.tune import costly

        for warning in await asyncio.to_thread(costly, engine.rules):
            log.warning("a rule slows the scan down", rule=warning)

    # For sources

    @property
    def store(self) -> Store:
        return self._store

    @property
    def scanner(self) -> Scanner:
        return self._scanner


class Host(Protocol):
    """What sources live in: the daemon, or a command that runs one of them."""

    @property
    def store(self) -> Store: ...
    @property
    def scanner(self) -> Scanner: ...
    @property
    def snapshot(self) -> Snapshot: ...
    def alert(self, title: str, text: str = "", severity: Severity = "high", key: str | None = None) -> None: ...


class SourceIntake:
    """What one source sees of the daemon (monitor.sources.base.AlertIntake)."""

    def __init__(
        self,
        daemon: Host,
        name: str,
        *,
        present: Mapping[str, tuple[int, int]] | None = None,
        handles: dict[tuple[int, int], int] | None = None,
        on_started: Callable[[], object] = lambda: None,
    ) -> None:
        self._daemon = daemon
        self._name = name
        self.present = present
        self.handles = {} if handles is None else handles
        self._on_started = on_started
        self._sealer = Sealer(daemon.scanner.key, daemon.scanner.scrub)

    async def scan(self, blocks: Iterable[Block], positions: Callable[[], Iterable[Position]]) -> int:
        undecoded: list[tuple[str, int]] = []
        findings = await self._daemon.scanner.scan(blocks, undecoded)
        for path, count in undecoded:
            self.missed("undecoded", count, path)
        await self._daemon.store.commit(findings, self._sealer.seal(positions()))
        return len(findings)

    async def record(self, findings: Iterable[Finding], positions: Iterable[Position]) -> int:
        scrubber = self._daemon.scanner.scrubber()
        clean = [scrubber.finding(finding) for finding in findings]
        return await self._daemon.store.commit(clean, self._sealer.seal(positions))

    async def positions(self) -> Mapping[str, Mapping[str, Any]]:
        return self._sealer.open(await self._daemon.store.positions.of(self._name))

    async def started(self) -> None:
        await self._daemon.store.flush()
        self._on_started()

    def missed(self, reason: str, count: int, path: str = "") -> None:
        self._daemon.snapshot.missed[self._name, reason] += count
        text = f"{count} bytes of {path or self._name} ({reason}). See docs/reliability.md for what can be done."
        self._daemon.alert(f"Source {self._name} missed bytes", text, key=f"missed:{self._name}:{reason}")

    def degraded(self, what: str, message: str | None) -> None:
        message = message and self._daemon.scanner.scrub(message)
        if message is None:
            if self._daemon.snapshot.degraded.pop((self._name, what), None) is not None:
                log.info("works again", source=self._name, part=what)
        elif self._daemon.snapshot.degraded.get((self._name, what)) != message:
            self._daemon.snapshot.degraded[self._name, what] = message
            log.warning("cannot work", source=self._name, part=what, reason=message)

    async def record_alerts(
        self,
        alerts: Sequence[Alert],
        findings: Iterable[Finding],
        positions: Iterable[Position],
        *,
        handled: Iterable[str] = (),
        again: Iterable[HookDelivery] = (),
        summary: str | None = None,
    ) -> int:
        scrubber = self._daemon.scanner.scrubber()
        batch = AlertBatch(
            source=self._name,
            alerts=tuple(scrubber.alert(alert) for alert in alerts),
            findings=tuple(scrubber.finding(finding) for finding in findings),
            positions=tuple(self._sealer.seal(positions)),
            handled=tuple(handled),
            again=tuple(again),
            summary=summary,
        )
        return await self._daemon.store.alerts.record(batch)

    async def known_alerts(self, ids: Iterable[str]) -> Mapping[str, KnownAlert]:
        return await self._daemon.store.alerts.known(ids)

    async def deliveries(self, limit: int = 50) -> Sequence[HookDelivery]:
        return await self._daemon.store.hooks.due(self._name, limit)

    async def postpone(self, delivery: str, seconds: float) -> None:
        await self._daemon.store.hooks.postpone(delivery, seconds)

    async def write_backs(self, limit: int = 50) -> Sequence[WriteBack]:
        return await self._daemon.store.alerts.write_backs(self._name, limit)

    async def identify(self, text: bytes) -> Sequence[Finding]:
        return await self._daemon.scanner.identify(text)

    def rule(self, id: str) -> Rule | None:
        engine = self._daemon.scanner.engine
        try:
            return engine.rules[engine.number(id)]
        except KeyError:
            return None

    def malformed(self, what: str) -> None:
        self._daemon.snapshot.malformed[self._name, what] += 1


def _first_step(name: str | None) -> str | None:
    book = runbook.load(name)
    return book.first_step if book is not None else None


def _signature(config: Config) -> tuple[tuple[str, int, int, int], ...]:
    """What tells whether the configuration (first) or a rule file has changed."""
    paths = [str(config.path)] if config.path else []
    paths += sorted(path for pattern in config.rules.paths for path in glob.glob(pattern, recursive=True))
    found = []
    for path in paths:
        try:
            info = os.stat(path)
        except OSError:
            found.append((path, 0, 0, 0))
        else:
            found.append((path, info.st_ino, info.st_mtime_ns, info.st_size))
    return tuple(found)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second daemon away from the state of this one. Raises StoreError; the lock ends with the process."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield  # a full disk, say: the store tells what is wrong with the place
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:  # others: a file system without locks
            os.close(descriptor)
            raise StoreError(
                f"{folder}: a monitor is running on this state already; stop it, or set another monitor.state_dir"
            ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def _unhandled(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """asyncio's own handler prints the exception, whose text may quote what was being worked on."""
    error = context.get("exception")
    log.error("unhandled", detail=context["message"], error_type=type(error).__name__ if error else None)


def _wait_for_store(why: str) -> None:
    log.warning("waiting for the state database", reason=why)
    notify("STATUS=waiting for the state database\nEXTEND_TIMEOUT_USEC=60000000")


def _give_up() -> None:
    os.write(2, b"the end took too long; what was committed is safe\n")
    os._exit(0)


async def _cancel(task: asyncio.Task[Any]) -> None:
    """Returns when it has ended, however. Can be cancelled itself."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # nobody else asks for it
