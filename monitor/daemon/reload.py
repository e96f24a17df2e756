"""Reload: a changed configuration or rule file is taken over as a whole, or the old one stays as a whole."""

from __future__ import annotations

import asyncio
import glob
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

import structlog

from detectors.match.engine import Engine
from monitor.common.http import Http
from monitor.common.process import notify, spare_memory
from monitor.config import config as configuration
from monitor.config import in_force
from monitor.config.config import Config
from monitor.config.locate import ConfigError
from monitor.config.outdated import outdated
from monitor.daemon.deadlines import Deadlines
from monitor.daemon.health import Health
from monitor.daemon.listeners import Listeners
from monitor.daemon.supervise import Sources
from monitor.delivery import Delivery
from monitor.site import Site, build_engine, check_books
from sinks import load_sink
from sinks.base import Closes, Sink, SinkConfig

__all__ = ["Reload", "Running", "build_sinks", "warn_of_old_names"]

log = structlog.get_logger(__name__)

_WATCH = 0.5  # seconds between looks at the configuration and the rule files


@dataclass(slots=True)
class Running:
    """What is in force. Made whole by the lifecycle; only a reload changes it."""

    config: Config
    site: Site
    http: Http
    sinks: Mapping[str, Sink]
    delivery: Delivery
    sources: Sources
    health: Health
    deadlines: Deadlines
    listeners: Listeners


def build_sinks(configs: Iterable[SinkConfig], http: Http) -> dict[str, Sink]:
    """Sinks by name."""
    return {config.name: load_sink(config.type)(config, http) for config in configs}


class Reload:
    """`run`, and beside it `watch`, until cancelled."""

    def __init__(self, running: Running, asked: asyncio.Event) -> None:
        """`asked` brings a reload on at once."""
        self._running, self._asked = running, asked
        self._read = _signature(running.config)  # the files as they were when they were last read

    async def run(self) -> NoReturn:
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self._reload()

    async def watch(self) -> NoReturn:
        """Ask for a reload when the configuration or a rule file has changed and then rested for a moment.

        A look at a few files twice a second costs nothing, and unlike a watch it also sees files behind symbolic links
        (as Kubernetes mounts them), on network file systems, and in folders that come into being later.
        """
        before = self._read
        while True:
            await asyncio.sleep(_WATCH)
            now = await asyncio.to_thread(_signature, self._running.config)
            if now != self._read and now == before:
                self._asked.set()
            before = now

    async def _reload(self) -> None:
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        site = self._running.site
        try:
            await self._take_over()
        except ConfigError as error:
            site.snapshot.reloads["refused"] += 1
            text = f"The old one stays in force. {error}"
            # Every refusal is news: the file has changed since the last one.
            site.tell("A changed configuration was refused", text, key="reload", every=0.0)
        except Exception as error:  # noqa: BLE001 - a failed reload must not end a working daemon
            site.snapshot.reloads["refused"] += 1
            text = f"The old configuration stays in force ({type(error).__name__})."
            site.tell("A reload failed", text, key="reload")
        else:
            site.snapshot.reloads["ok"] += 1
            spare_memory()
            self._running.delivery.over("reload", "The configuration is in force.")
            log.info("reloaded", rules=site.snapshot.rules, sources=len(self._running.config.sources))
        notify(f"READY=1\nSTATUS=watching {len(self._running.config.sources)} sources")

    async def _take_over(self) -> None:
        running = self._running
        old, site = running.config, running.site
        # Before they are read: a change made meanwhile is seen at the next look.
        self._read = await asyncio.to_thread(_signature, old)
        new = await asyncio.to_thread(configuration.load, old.path) if old.path else old
        if (new.rules.paths, new.runbook.folder) != (old.rules.paths, old.runbook.folder):
            self._read = self._read[:1] + (await asyncio.to_thread(_signature, new))[1:]
        await asyncio.to_thread(check_books, new)
        engine = await asyncio.to_thread(build_engine, new)
        sinks = build_sinks(new.sinks, running.http) if new.sinks != old.sinks else None
        for name in ("monitor", "http"):
            if getattr(new, name) != getattr(old, name):
                log.warning(f"[{name}] changed: it takes effect at the next start")
        raw = {**new.raw, **{name: old.raw.get(name, {}) for name in ("monitor", "http")}}

        # From here on nothing can be refused any more.
        running.config = new = replace(new, monitor=old.monitor, http=old.http, raw=raw)
        site.scanner.swap(engine)
        site.snapshot.rules = len(engine.rules)
        site.store.policy, site.store.procedure, site.store.access_rules = new.policy, new.procedure, new.access_rules
        running.deadlines.look_again()
        for name in _names(old) - _names(new):
            running.delivery.over(f"hook:{name}", "It is not configured any more.")
        await running.sources.replace(new.sources)
        if sinks is not None:
            before, running.sinks = running.sinks, sinks
            await running.listeners.replace(sinks, new.sinks)
            await running.delivery.replace(sinks, {sink.name: sink.fallback for sink in new.sinks})
            for name in before.keys() - sinks.keys():
                for problem in ("listening", "answers"):
                    running.delivery.over(f"{problem}:{name}", "It is not configured any more.")
            for sink in before.values():
                if isinstance(sink, Closes):
                    await sink.close()

        await running.health.resolve(new.sinks)  # also where only what a reference leads to has changed
        await asyncio.to_thread(in_force.keep, new, site.scanner.redact)

        warn_of_old_names(new, engine)
        from detectors.author.tune import costly

        for warning in await asyncio.to_thread(costly, engine.rules):
            log.warning("a rule slows the scan down", rule=warning)


def warn_of_old_names(config: Config, engine: Engine) -> None:
    """Of rules that went, in settings: they go on, or do nothing any more."""
    for one in outdated(config, (rule.id for rule in engine.rules if rule.family == "custom")):
        log.warning("a setting names a rule by an old id", key=one.key, detail=one.message)


def _signature(config: Config) -> tuple[tuple[str, int, int, int], ...]:
    """What tells whether the configuration (first), a rule file or a runbook has changed."""
    paths = [str(config.path)] if config.path else []
    paths += sorted(path for pattern in config.rules.paths for path in glob.glob(pattern, recursive=True))
    paths += sorted(map(str, config.runbook.folder.glob("*.toml"))) if config.runbook.folder else []
    return tuple(map(_state, paths))


def _state(path: str) -> tuple[str, int, int, int]:
    try:
        info = os.stat(path)
    except OSError:
        return path, 0, 0, 0
    return path, info.st_ino, info.st_mtime_ns, info.st_size


def _names(config: Config) -> set[str]:
    return {source.name for source in config.sources} | {sink.name for sink in config.sinks}
