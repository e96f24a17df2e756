"""The life of the daemon in phases, each named: rules and state → texts → http → delivery → inventory → sources →
watching → stopping.

A phase that was entered is left again at the end, in the other order. What goes on meanwhile is in the table of jobs.
A part that fails is started again or reported; none but the delivery takes the others down.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from monitor.common.failure import failure
from monitor.common.hardening import harden
from monitor.common.http import Http
from monitor.common.invocation import invocation
from monitor.common.listen import split_listen
from monitor.common.problems import Problem
from monitor.common.process import notify, spare_memory
from monitor.common.scheduler import Scheduler
from monitor.common.severity import Severity
from monitor.common.tasks import cancel
from monitor.config import in_force
from monitor.config.config import Config
from monitor.config.locate import ConfigError
from monitor.daemon.deadlines import Deadlines, Watched
from monitor.daemon.health import Health
from monitor.daemon.jobs import EndedError, Jobs
from monitor.daemon.listeners import Listeners
from monitor.daemon.reload import Reload, Running, build_sinks, warn_of_old_names
from monitor.daemon.requests import RequestRecorder, RequestWorker
from monitor.daemon.status import StatusDocument
from monitor.daemon.supervise import Sources, present
from monitor.delivery import Delivery
from monitor.domain.incidents import Incident
from monitor.report.view import Links
from monitor.rotation.automatic import Rotations
from monitor.runbook import Runbook
from monitor.site import Site, open_site
from monitor.snapshot import Snapshot
from monitor.store import Recovery, StoreError
from sinks.trial import trial

if TYPE_CHECKING:
    from monitor.daemon.issuers import Issuers
    from monitor.inventory.enrol import Enrolment

__all__ = ["Daemon"]

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

_DRAIN = 6.0  # seconds for notifications in flight at the end; systemd is promised an end within 10
_LONGEST_END = 9.5  # after so many seconds the end is not waited for any longer
_ENROL = 30.0  # seconds that managers of secrets may hold up the start
_ONCE_SETTLE = 60.0  # `--once` waits so long for the sinks


class _StoppedError(Exception):
    """Asked to end, before what is waited for."""


class Daemon:
    """One run of the monitor. `run` returns the exit code."""

    # Parts that its jobs work with, each from its phase on
    site: Site
    reloading: Reload
    rotations: Rotations
    issuers: Issuers
    enrolment: Enrolment
    requests: RequestWorker

    def __init__(self, config: Config, *, once: bool = False) -> None:
        self._config, self.once = config, once
        self.address: str | None = None  # of the HTTP server, once it listens
        self.phase = "rules and state"
        self.snapshot = Snapshot(started=time.time())
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._running: Running | None = None
        self._again: set[asyncio.Task[None]] = set()  # sources that begin anew
        self._schedule = Scheduler()
        self._jobs = Jobs(self, self._schedule, lambda title, text, key: self._tell(title, text, key=key), self._over)

    @property
    def config(self) -> Config:
        """The one in force."""
        return self._running.config if self._running else self._config

    @property
    def running(self) -> Running:
        """What is in force, from ready on."""
        assert self._running is not None, f"still at {self.phase}"
        return self._running

    async def run(self, on_ready: Callable[[Daemon], None] = lambda daemon: None) -> int:
        """Until a signal, or with `once` until everything is read and delivered. Raises ConfigError at start."""
        harden()
        asyncio.get_running_loop().set_exception_handler(_unhandled)
        with self._signals():
            try:
                async with self._phases() as running:
                    self.phase = "watching"
                    notify(f"READY=1\nSTATUS=watching {len(self.config.sources)} sources")
                    log.info("ready", rules=self.snapshot.rules, sources=len(self.config.sources), http=self.address)
                    on_ready(self)
                    return await (self._run_once(running) if self.once else self._run(running))
            except _StoppedError:
                return 0
            except EndedError:
                return 1
            finally:
                log.info("stopped")

    def stop(self) -> None:
        """End as SIGTERM does."""
        self._stop.set()

    def reload(self) -> None:
        """Read the configuration and the rules again, as SIGHUP does."""
        self._reload.set()

    # Phases

    @contextlib.asynccontextmanager
    async def _phases(self) -> AsyncIterator[Running]:
        config = self._config
        async with self._jobs, contextlib.AsyncExitStack() as stack:
            # Where sources begin is noted meanwhile: compiling takes a while, and what is written during it counts.
            noting = asyncio.create_task(asyncio.to_thread(present, config.sources))
            stack.push_async_callback(cancel, noting)
            opened = open_site(config, self._tell, self.snapshot, alone=True, waiting=_wait_for_store)
            self.site = site = await self._unless_stopped(stack.enter_async_context(opened))
            warn_of_old_names(config, site.scanner.engine)

            self.phase = "http"
            keeper = RequestRecorder(site, lambda: self._running.sinks if self._running else {})
            health = Health(
                site,
                lambda: None if self.phase == "watching" else f"at {self.phase}",
                self._ended,
                self._deaf,
                self._over,
            )
            http = Http()
            stack.push_async_callback(http.close)
            if config.http.listen and not self.once:  # nobody asks for it, and a daemon may have the port
                await stack.enter_async_context(self._serve(site, health, keeper, http))

            self.phase = "delivery"
            sources = Sources(site, await noting, once=self.once, over=self._over, schedule=self._schedule)
            self._running = await stack.enter_async_context(self._deliver(site, http, sources, health, keeper))
            self.requests = RequestWorker(self._running, keeper.kept)

            self.phase = "inventory"
            await stack.enter_async_context(self._jobs.during("inventory"))

            # They are not to delay the rules; and what sends is not to wait for the first alert, when its files
            # may be those of another version or no more of them may be opened.
            import aiohttp  # noqa: F401

            from monitor.daemon.issuers import Issuers
            from monitor.inventory.enrol import Enrolment

            self.issuers = Issuers(self._running)
            await self.issuers.begin()
            self.enrolment = Enrolment(
                site.store, site.scanner, self.snapshot.inventory, lambda: self.config, tell=site.tell, over=self._over
            )
            self.rotations = Rotations(site.store, site.scanner.key, lambda: self.config, self.enrolment.again)
            stack.push_async_callback(self.enrolment.end)
            await self.enrolment.begin(_ENROL)

            self.phase = "sources"
            sources.begin(config.sources)
            stack.push_async_callback(health.keep)
            stack.push_async_callback(sources.stop)
            await sources.begun(self._stop.is_set)
            await asyncio.to_thread(in_force.keep, config, site.scanner.redact)
            try:
                yield self._running
            finally:
                self.phase = "stopping"

    async def _unless_stopped(self, entering: Coroutine[Any, Any, _T]) -> _T:
        """Its result. Raises _StoppedError when we are asked to end first: a disk, a server or a source may be waited
        for."""
        entered, stopped = asyncio.create_task(entering), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({entered, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not entered.done():
                raise _StoppedError
            return entered.result()
        finally:
            await cancel(stopped)
            await cancel(entered)

    @contextlib.asynccontextmanager
    async def _deliver(
        self, site: Site, http: Http, sources: Sources, health: Health, keeper: RequestRecorder
    ) -> AsyncIterator[Running]:
        config, store = self._config, site.store
        sinks = build_sinks(config.sinks, http)
        delivery = Delivery(
            store,
            sinks,
            fallbacks={sink.name: sink.fallback for sink in config.sinks},
            links=self._links(),
            books=self._book,
            offers=self._offers,
        )
        self.snapshot.sinks = delivery.stats()  # type: ignore[assignment]  # a live view
        listeners = Listeners(keeper.ask, self._hears)
        deadlines = Deadlines(store, Watched(lambda: sources.names.difference(sources.failed), self.snapshot))
        self._running = Running(config, site, http, sinks, delivery, sources, health, deadlines, listeners)
        await health.resolve(config.sinks)

        store.on_degraded(self._store_degraded)
        store.on_recovery(self._recovered)
        if store.recovery is not None:
            self._recovered(store.recovery)
        async with self._jobs.during("delivery"):
            try:
                yield self._running
            finally:
                await delivery.drain(_DRAIN)

    @contextlib.asynccontextmanager
    async def _serve(self, site: Site, health: Health, keeper: RequestRecorder, http: Http) -> AsyncIterator[None]:
        """The HTTP server. Raises ConfigError when its address cannot be had."""
        # These bring aiohttp and cryptography along, which `--once` has no use for.
        from monitor.common.httpd import serve
        from monitor.daemon.console import ConsoleWork
        from monitor.daemon.drills import DrillWork
        from monitor.daemon.metrics import registry
        from monitor.web import api, console, hooks, status
        from monitor.web import app as web
        from monitor.web.health import Probes

        config, (host, port) = self._config, split_listen(self._config.http.listen)
        doors = hooks.routes(
            hooks.Vendors(),
            lambda: (*self.config.sources, *self.config.sinks),
            keeper.keep,
            lambda source, what: self.snapshot.malformed.update([(source, what)]),
            problem=self._unsigned,
        )
        tell = StatusDocument(site, health, lambda: self.config, lambda: self.phase)
        reception = console.Reception(site.store, lambda: self.config.console, http, self.snapshot.sign_ins)
        live = console.LiveUpdates(site.store, reception.still)
        work = ConsoleWork(site.store, lambda: self.config, lambda: getattr(self, "issuers", None), site.scanner.key)
        drills = DrillWork(site, lambda: self.config)
        pages = console.ConsoleContext(
            site.store,
            Links(console="", runbooks="/runbooks", program=invocation(config.path, sys.argv[0])),
            keeper.masked,
            tell,
            live,
            self._try_sink,
            reception,
            offers=self._offers,
            preview=work.preview,
            ask=work.ask,
            people=work.people,
            work=keeper.kept.set,
            rotation=work,
            rules=lambda: {rule.id for rule in site.scanner.engine.rules},
            drills=drills,
        )
        application = web.build(
            Probes(live=health.live, ready=health.ready, registry=registry(lambda: self.snapshot)),
            hosts=web.allowed_hosts(host, config.http.base_url, config.http.hosts),
            routes=[*doors, *status.routes(tell), *api.routes(pages), *console.routes(pages)],
            token=config.http.token,
            doorkeeper=reception,
            programs=api.TokenDoor(site.store),
            base_url=config.http.base_url,
            redact=keeper.masked,
        )
        server = serve(application, host, port)
        await self._listen(server)
        try:
            async with live.running():  # open requests are waited for, and a stream is one
                yield
        finally:
            await server.__aexit__(None, None, None)
            await drills.close()

    async def _listen(self, server: contextlib.AbstractAsyncContextManager[str]) -> None:
        """Raises ConfigError where its address cannot be had."""
        try:
            self.address = await server.__aenter__()
        except OSError as error:
            config = self._config
            why = os.strerror(error.errno) if error.errno else str(error)
            hint = '; is a monitor running already? Otherwise set another port, or "" for no HTTP'
            message = f"{config.http.listen}: {why}{hint if error.errno == errno.EADDRINUSE else ''}"
            raise ConfigError(config.path, [Problem("http.listen", message)]) from None

    def _links(self) -> Links:
        base = self._config.http.base_url or self.address or ""
        # A unix socket leads nobody anywhere.
        return Links.below(base if base.startswith("http") else None, invocation(self._config.path, sys.argv[0]))

    def _book(self, name: str | None) -> Runbook | None:
        return self.running.site.store.procedure.book(name)  # of the configuration in force

    def _offers(self, incident: Incident) -> list[tuple[str, int]]:
        fits = (one for one in self.config.actions if one.fits(incident.rule, incident.labels))
        return [(one.name, one.approvals) for one in fits]

    def _ended(self) -> str | None:
        failed = self._running.sources.failed if self._running else []
        return f"ended: {', '.join(failed)}" if failed else None

    def _deaf(self) -> str | None:
        return self.running.delivery.problem()

    # Until the end

    async def _run(self, running: Running) -> int:
        spare_memory()
        self.reloading = Reload(running, self._reload)
        async with self._jobs.during("watching"):
            try:
                await running.listeners.replace(running.sinks, running.config.sinks)
                await self._stop.wait()
                notify("STOPPING=1")
                log.info("stopping")
            finally:
                await running.listeners.close()
        return 0

    async def _run_once(self, running: Running) -> int:
        """Every source to its present end, then every notification; 1 when something failed or is left over. Raises
        _StoppedError."""
        if tasks := running.sources.tasks:
            await self._unless_stopped(asyncio.wait(tasks))
        await running.site.store.flush()
        await self._unless_stopped(self.issuers.once())
        await self.rotations.sweep()
        await running.site.store.runs.sweep(everything=True)
        left = await self._unless_stopped(running.delivery.settle(_ONCE_SETTLE))
        with contextlib.suppress(StoreError):  # the next run is early enough
            await running.site.store.retention.sweep(running.config.retention)
        failed = running.sources.failed
        if left:
            log.warning("not everything could be delivered; it is stored for the next run", notifications=left)
        if failed:
            log.error("sources could not be read to their end", sources=failed)
        if lost := sorted({source for (source, _), count in self.snapshot.losses.items() if count}):
            log.error("not everything could be read or searched", sources=lost)
        return 1 if left or failed or lost else 0

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
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

    async def _try_sink(self, name: str, by: str) -> str:
        sink = self._running.sinks.get(name) if self._running else None
        if sink is None:
            raise LookupError(f"no sink is called {name}")
        receipt = await trial(sink, by, self.site.store.node)
        return (receipt or {}).get("ticket", "")

    # Trouble

    def _tell(
        self, title: str, text: str = "", severity: Severity = "high", key: str | None = None, *, every: float = 3600.0
    ) -> asyncio.Future[None] | None:
        """Without the database, as it may be what is in trouble."""
        redact = self.site.scanner.redact
        title, text = redact(title), redact(text)
        log.warning(title, detail=text)
        if self._running is None:  # there is nobody to tell yet
            return None
        return self._running.delivery.operational(title, text, severity=severity, key=key, every=every)

    def _over(self, key: str, text: str) -> None:
        if self._running is not None:
            self._running.delivery.over(key, text)

    def _hears(self, sink: str, why: str | None) -> None:
        if why is None:
            self._over(f"listening:{sink}", "It hears them again.")
        else:
            text = f"{why}. Alerts are sent as before; what people press there is not heard. It is tried again."
            self._tell(f"Sink {sink} hears no buttons", text, key=f"listening:{sink}")

    def _unsigned(self, owner: str, why: str | None) -> None:
        if why is None:
            self._over(f"hook:{owner}", "Its secret can be read again.")
        else:
            text = f"{why}. What is announced to {owner} is answered with 503 until it can; others are heard."
            self._tell(f"The webhook secret of {owner} cannot be read", text, key=f"hook:{owner}")

    def _store_degraded(self, message: str | None) -> None:
        if message is None:
            log.info("the database can be written again")
            self.running.delivery.over("database", "It can be written again; reading goes on.")
        else:
            text = f"{message}. Reading has stopped where it was; nothing is lost, and it goes on by itself."
            self._tell("The state database cannot be written", text, "critical", "database")

    def _recovered(self, recovery: Recovery) -> None:
        self._tell(recovery.title, recovery.text, "critical", "recovery")
        if recovery.kind == "forgotten":
            again = asyncio.create_task(self.running.sources.again(recovery), name="sources again")
            self._again.add(again)
            again.add_done_callback(self._again.discard)


def _unhandled(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """asyncio's own handler prints the exception, whose text may quote what was being worked on."""
    error = context.get("exception")
    log.error("unhandled", detail=context["message"], **(failure(error) if error else {}))


def _wait_for_store(why: str) -> None:
    log.warning("waiting for the state database", reason=why)
    notify("STATUS=waiting for the state database\nEXTEND_TIMEOUT_USEC=60000000")


def _give_up() -> None:
    os.write(2, b"the end took too long; what was committed is safe\n")
    os._exit(0)
