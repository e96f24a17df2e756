"""The configuration file: TOML in, one frozen `Config` out, or every error at once with its key path.

Only what tables there are is said here. Each source, sink and manager brings its own `Config`, found by its `type`.
No message shows a value from the file: a literal credential is refused without being repeated anywhere.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from monitor.common.problems import Problem
from monitor.common.text import toml_error
from monitor.config import references
from monitor.config.lines import lines_of
from monitor.config.locate import ConfigError, default_workers, find
from monitor.config.reader import TableReader
from monitor.config.tables import HttpConfig, MonitorConfig, RulesConfig
from monitor.domain.retention import RetentionConfig

if TYPE_CHECKING:
    from monitor.access.judge import Rules
    from monitor.access.policy import AccessConfig
    from monitor.accounts.settings import SignInConfig
    from monitor.actions.config import ActionConfig
    from monitor.audit.settings import AuditConfig, Waiver
    from monitor.inventory.managers.base import ManagerConfig
    from monitor.rotation.settings import RotationConfig
    from monitor.routing.inhibit import Inhibition
    from monitor.routing.mute import MuteTime
    from monitor.routing.routes import Policy, Route, Silence
    from monitor.runbook.progress import Procedure
    from monitor.runbook.runbook_store import RunbookStore
    from monitor.runbook.settings import Escalation, RunbookConfig
    from monitor.sources.base import SourceConfig
    from monitor.verify.config import VerifyConfig
    from sinks.base import SinkConfig

__all__ = ["Config", "FaultyConfigError", "load", "parse", "read"]

# Imported when the file is read whole, or when a command asks for one: a scan never does, and starts sooner.
_SINGLE = {
    "verify": "monitor.verify.config:VerifyConfig",
    "runbook": "monitor.runbook.settings:RunbookConfig",
    "audit": "monitor.audit.settings:AuditConfig",
    "rotation": "monitor.rotation.settings:RotationConfig",
    "console": "monitor.accounts.settings:SignInConfig",
}
_ARRAYS = {
    "routes": "monitor.routing.routes:Route",
    "silences": "monitor.routing.routes:Silence",
    "mute_times": "monitor.routing.mute:MuteTime",
    "inhibitions": "monitor.routing.inhibit:Inhibition",
    "escalation": "monitor.runbook.settings:Escalation",
    "waivers": "monitor.audit.settings:Waiver",
    "actions": "monitor.actions.config:ActionConfig",
    "access": "monitor.access.policy:AccessConfig",
}
_COMPONENTS = {
    "sources": ("monitor.sources:SOURCES", "monitor.sources:load_source"),
    "sinks": ("sinks:SINKS", "sinks:load_sink"),
    "inventory": ("monitor.inventory.managers:MANAGERS", "monitor.inventory.managers:load_manager"),
}
_RULES: dict[str, type[Any]] = {
    "monitor": MonitorConfig,
    "http": HttpConfig,
    "rules": RulesConfig,
    "retention": RetentionConfig,
}

# Tables without which an incident can be looked at; and those without which also nothing changes in who is told of one
_DECIDING = {"rules", "routes", "silences", "mute_times", "inhibitions", "escalation", "runbook", "actions", "access"}
_ASIDE = {"http", "console", "retention", "sources", "sinks", "inventory", "verify", "audit", "waivers", "rotation"}


class FaultyConfigError(ConfigError):
    """A file with mistakes in some tables."""

    def __init__(
        self,
        path: Path | None,
        problems: Sequence[Problem],
        lines: Mapping[str, int],
        rest: Config,
        stubs: Sequence[SinkConfig],
    ) -> None:
        """`rest`: what of the file is right, for a check that wants to go on. `stubs`: the sinks that are wrong, as
        they stand there; good for their names only."""
        super().__init__(path, problems, lines)
        self.rest, self.stubs = rest, tuple(stubs)

    def usable(self, *, act: bool, needs: Collection[str] = ()) -> Config | None:
        """What commands can go by that need the database only, and the tables `needs`. None: they cannot, as nobody
        knows which database it is, or (`act`: of commands that change something) who is to be told, or what may be kept
        of a note."""
        tables = {re.split(r"[.\[]", problem.key)[0] for problem in self.problems}
        needed = {*needs, *(_DECIDING if act else ())}
        nameless = any(re.fullmatch(r"sinks(\[\d+\](\.name|\.type)?)?", problem.key) for problem in self.problems)
        if not tables <= (_ASIDE | _DECIDING) - needed or ("routes" in needed and nameless):
            return None
        return replace(self.rest, sinks=(*self.rest.sinks, *self.stubs))


_LATER: Any = object()


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration that passed every check which needs nothing but the file."""

    path: Path | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)  # its tables as they stand there
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    http: HttpConfig = field(default_factory=HttpConfig)
    rules: RulesConfig = field(default_factory=RulesConfig)
    retention: RetentionConfig = field(default_factory=RetentionConfig)
    sources: tuple[SourceConfig, ...] = ()
    sinks: tuple[SinkConfig, ...] = ()
    routes: tuple[Route, ...] = ()
    silences: tuple[Silence, ...] = ()
    mute_times: tuple[MuteTime, ...] = ()
    inhibitions: tuple[Inhibition, ...] = ()
    actions: tuple[ActionConfig, ...] = ()
    inventory: tuple[ManagerConfig, ...] = ()
    access: tuple[AccessConfig, ...] = ()
    rotation: RotationConfig = _LATER
    console: SignInConfig = _LATER
    verify: VerifyConfig = _LATER
    runbook: RunbookConfig = _LATER
    escalation: tuple[Escalation, ...] = ()
    audit: AuditConfig = _LATER
    waivers: tuple[Waiver, ...] = ()

    def __post_init__(self) -> None:
        for name in _SINGLE:
            if getattr(self, name) is _LATER:
                object.__delattr__(self, name)

    if not TYPE_CHECKING:  # which would take every name for one that there is

        def __getattr__(self, name: str) -> Any:
            """Of what was not given the default, made when it is asked for: a scan never does, and starts sooner."""
            if name not in _SINGLE:
                raise AttributeError(name)
            object.__setattr__(self, name, value := resolve_name(_SINGLE[name])())
            return value

    @property
    def state_dir(self) -> Path:
        return self.monitor.state_dir

    @property
    def policy(self) -> Policy:
        from monitor.routing.routes import Policy

        names = tuple(sink.name for sink in self.sinks)
        pagers = frozenset(sink.name for sink in self.sinks if sink.pages)
        threads = frozenset(sink.name for sink in self.sinks if sink.two_way)
        return Policy(names, self.routes, self.silences, pagers, threads, self.mute_times, self.inhibitions)

    @property
    def runbook_store(self) -> RunbookStore:
        """The runbooks, one's own before the shipped ones."""
        from monitor.runbook.runbook_store import RunbookStore

        if self.runbook.folder is None:
            return RunbookStore()
        from monitor.verify.probe import providers

        return RunbookStore(self.runbook.folder, probes=providers(), actions=[one.name for one in self.actions])

    @property
    def procedure(self) -> Procedure:
        from monitor.runbook.settings import procedure

        return procedure(self.runbook, self.escalation, self.runbook_store)

    @property
    def access_rules(self) -> Rules:
        from monitor.access.judge import Rules

        return Rules(self.access)

    @property
    def workers(self) -> int:
        return self.monitor.workers or default_workers()


def load(path: Path | None = None, *, rules_only: bool = False) -> Config:
    """Read and check a configuration file. Raises ConfigError with every problem found.

    `rules_only`: leave sources, sinks, routes and silences alone, and out of the result.
    """
    path = find(path).absolute()
    try:
        raw = path.read_bytes()
    except OSError as error:
        reason = "is a directory" if path.is_dir() else (error.strerror or type(error).__name__).lower()
        raise ConfigError(path, [Problem("", f"cannot be read: {reason}")]) from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(path, [Problem("", f"not UTF-8 text at byte {error.start} (line {line})")]) from None
    return parse(text, path, rules_only=rules_only)


def parse(text: str, path: Path | None = None, *, rules_only: bool = False) -> Config:
    """`load` of a text. Relative paths in it count from the folder of `path`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, [Problem("", f"invalid TOML: {toml_error(error)}")]) from None
    # All pods of a cluster have one file, and each is to be known by the node that it is on.
    if (node := os.environ.get("MONITOR_NODE")) and isinstance(table := data.setdefault("monitor", {}), dict):
        table.setdefault("node", node)
    return read(data, path, text, rules_only=rules_only)


def read(data: dict[str, Any], path: Path | None, text: str = "", *, rules_only: bool = False) -> Config:
    """`parse` of what is in a text; that tells the lines of what is wrong."""
    reader = TableReader(data, (path or Path("config.toml")).absolute().parent)
    config = Config(path=path, raw=data, **{name: reader.table(name, model) for name, model in _RULES.items()})
    if not rules_only:
        config = replace(config, **_rest(reader))
        config = replace(config, verify=_among(config))
        reader.problems += references.sinks(data)
        reader.problems += references.rotations(config.rotation, config.inventory)
        reader.problems += references.sign_in(config.console, config.http)
        if not any(problem.key.startswith(("routes", "mute_times")) for problem in reader.problems):  # some are missing
            reader.problems += references.mute_times(config.routes, config.mute_times)
    reader.unknown(_RULES | _SINGLE | _ARRAYS | _COMPONENTS)
    if reader.problems:
        keys = [problem.key for problem in reader.problems]
        raise FaultyConfigError(path, reader.problems, lines_of(text, keys), config, reader.stubs)
    return config


def _rest(reader: TableReader) -> dict[str, Any]:
    """All tables beside those that commands for rules need."""
    tables: dict[str, Any] = {name: reader.table(name, resolve_name(_SINGLE[name])) for name in _SINGLE}
    for name, (known, load) in _COMPONENTS.items():
        tables[name] = reader.components(name, resolve_name(known), resolve_name(load))
    return tables | {name: reader.tables(name, resolve_name(_ARRAYS[name])) for name in _ARRAYS}


def _among(config: Config) -> VerifyConfig:
    from monitor.verify.place import servers_of

    return config.verify.beside(servers_of([*config.sources, *config.inventory]))
