"""The configuration file: TOML in, one frozen `Config` out, or every error at once with its key path.

Only the top level is described here. Each source and each sink brings its own `Config`, found by its `type`.
No message shows a value from the file: a literal credential is refused without being repeated anywhere.
"""

from __future__ import annotations

import re
import time
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from monitor.common.credential import Credential
from monitor.common.field_names import holds_secrets, is_field
from monitor.common.listen import split_listen
from monitor.common.problems import Problem, check, short, suggest
from monitor.common.text import token_like, toml_error
from monitor.config.locate import ConfigError, default_state_dir, default_workers, find
from monitor.domain.retention import RetentionConfig

if TYPE_CHECKING:
    from monitor.access.judge import Rules
    from monitor.access.policy import AccessConfig
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

__all__ = [
    "Config",
    "FaultyConfigError",
    "HttpConfig",
    "MonitorConfig",
    "RulesConfig",
    "lines",
    "load",
    "parse",
    "read",
]

_MOST_NAMES = 100  # in one pattern, which has a limit

_M = TypeVar("_M", bound=BaseModel)


# Tables without which an incident can be looked at; and those without which also nothing changes in who is told of one
_DECIDING = {"rules", "routes", "silences", "mute_times", "inhibitions", "escalation", "runbook", "actions", "access"}
_ASIDE = {"http", "retention", "sources", "sinks", "inventory", "verify", "audit", "waivers", "rotation"}


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


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class MonitorConfig(_Table):
    """`[monitor]`. `workers` is the number of scan threads; None: one a usable CPU, at most four.

    `node` tells this host from others that share a database, and is shown in alerts; None: its name.
    """

    state_dir: Path = Field(default_factory=default_state_dir)
    fingerprint_key: Credential | None = None
    database: Credential | None = None
    node: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,255}$")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = "auto"
    workers: int | None = Field(default=None, ge=1, le=256)

    @field_validator("state_dir")
    @classmethod
    def _expand(cls, value: Path) -> Path:
        return value.expanduser()

    @field_validator("node")
    @classmethod
    def _no_secret(cls, value: str | None) -> str | None:
        if value is not None and token_like(value):
            raise ValueError("looks like a secret, and it is shown in alerts: choose another name for this host")
        return value


class HttpConfig(_Table):
    """`[http]`. `listen` is HOST:PORT (port 0: any free one), `unix:/PATH`, or empty for no HTTP at all.

    `base_url` is how people reach it, for links in alerts. `hosts` are further names allowed in the Host header.
    `token`: what pages ask for; without one they are shown on this host only.
    """

    listen: str = "127.0.0.1:9321"
    base_url: str | None = None
    hosts: tuple[str, ...] = ()
    token: Credential | None = None

    @property
    def address(self) -> str | None:
        """How people reach it, as far as the file says; None: it does not."""
        host, port = split_listen(self.listen) if self.listen else ("", 0)
        return self.base_url or (f"http://{self.listen}" if port and not host.startswith("/") else None)

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        if value:
            split_listen(value)
        return value

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError('must be an http or https URL such as "https://monitor.example.org"')
        if parts.username or parts.password:
            raise ValueError("must not carry a user name or password: it is shown in alerts")
        return value.rstrip("/")


class RulesConfig(_Table):
    """`[rules]`. `packs` are names of shipped packs, `paths` globs of rule files of one's own, `disable` rule ids.

    Names of fields, in any case: no value of `identifiers` is a secret to a rule that goes by names, and each of
    `credentials` is one.
    """

    packs: tuple[str, ...] = ("default",)
    paths: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()

    @field_validator("identifiers", "credentials")
    @classmethod
    def _names(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.field_name == "credentials" and len(value) > _MOST_NAMES:
            raise ValueError(
                f"holds {len(value)} names, and one rule finds {_MOST_NAMES} at most: write others as rules"
            )
        for number, name in enumerate(value, 1):
            if not is_field(name):
                raise ValueError(
                    f"number {number} is no name of a field, such as dedup_key: letters, digits and _ . -, at most 64, "
                    "and nothing that looks like a secret"
                )
            if info.field_name == "identifiers" and holds_secrets(name):
                raise ValueError(
                    f"{name} is what secrets are called, and none behind it would be found: give the whole name of the "
                    "field, such as page_token or event.token"
                )
        return value

    @model_validator(mode="after")
    def _one_of_them(self) -> RulesConfig:
        if both := {name.lower() for name in self.identifiers} & {name.lower() for name in self.credentials}:
            raise ValueError(f"{min(both)} is among identifiers and credentials: take it out of one of them")
        return self


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
    verify: VerifyConfig = _LATER
    runbook: RunbookConfig = _LATER
    escalation: tuple[Escalation, ...] = ()
    audit: AuditConfig = _LATER
    waivers: tuple[Waiver, ...] = ()

    def __post_init__(self) -> None:
        for name in _TABLES:
            if getattr(self, name) is _LATER:
                object.__delattr__(self, name)

    if not TYPE_CHECKING:  # which would take every name for one that there is

        def __getattr__(self, name: str) -> Any:
            """Of what was not given the default, made when it is asked for: a scan never does, and starts sooner."""
            if name not in _TABLES:
                raise AttributeError(name)
            object.__setattr__(self, name, value := _TABLES[name]()())
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
    def shelf(self) -> RunbookStore:
        """The runbooks, one's own before the shipped ones."""
        from monitor.runbook.runbook_store import RunbookStore

        if self.runbook.folder is None:
            return RunbookStore()
        from monitor.verify.probe import providers

        return RunbookStore(self.runbook.folder, probes=providers(), actions=[one.name for one in self.actions])

    @property
    def procedure(self) -> Procedure:
        from monitor.runbook.settings import procedure

        return procedure(self.runbook, self.escalation, self.shelf)

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
    return read(data, path, text, rules_only=rules_only)


def read(data: dict[str, Any], path: Path | None, text: str = "", *, rules_only: bool = False) -> Config:
    """`parse` of what is in a text; that tells the lines of what is wrong."""
    folder = (path or Path("config.toml")).absolute().parent
    reader = _Reader(data, folder)
    config = Config(
        path=path,
        raw=data,
        monitor=_anchored(reader.table("monitor", MonitorConfig), folder),
        http=_anchored_http(reader.table("http", HttpConfig), folder),
        rules=_anchored_rules(reader.table("rules", RulesConfig), folder),
        retention=reader.table("retention", RetentionConfig),
    )
    if rules_only:
        reader.known += ["sources", "sinks", "routes", "silences", "verify", "actions", "runbook", "escalation"]
        reader.known += ["inventory", "audit", "waivers", "access", "rotation", "mute_times", "inhibitions"]
    else:
        verify = _anchored_verify(reader.table("verify", _verify_table()), folder)
        books = _anchored_runbook(reader.table("runbook", _runbook_table()), folder)
        config = replace(
            config,
            **reader.wiring(),
            verify=verify,
            runbook=books,
            audit=reader.table("audit", _audit_table()),
            rotation=reader.table("rotation", _rotation_table()),
        )
        config = replace(config, verify=_among(config))
        reader.references()
        _check_automatic(reader, config)
        reader.mutes(config)
    reader.unknown_tables()
    if reader.problems:
        keys = [problem.key for problem in reader.problems]
        raise FaultyConfigError(path, reader.problems, _lines(text, keys), config, reader.stubs)
    return config


def _check_automatic(reader: _Reader, config: Config) -> None:
    """A policy by which providers make new values needs one that may."""
    if any(getattr(entry, "rotate", None) is not None for entry in config.inventory):
        return
    for number, policy in enumerate(config.rotation.policies):
        if policy.automatic:
            needed = "no [[inventory]] has a table `rotate`, which says who may have new values made (docs/rotation.md)"
            reader.report(f"rotation.policies[{number}].automatic", needed)


def lines(config: Config, keys: Iterable[str]) -> dict[str, int]:
    """Line numbers of key paths in the file, as far as they are found."""
    try:
        return _lines(config.path.read_text(encoding="utf-8"), keys) if config.path else {}
    except (OSError, UnicodeDecodeError):
        return {}


def _anchored_credential(value: Credential | None, folder: Path) -> Credential | None:
    scheme, _, name = value.reference.partition(":") if value else ("", "", "")
    return Credential(f"file:{folder / name}") if scheme == "file" else value


def _anchored(table: MonitorConfig, folder: Path) -> MonitorConfig:
    return table.model_copy(
        update={
            "state_dir": folder / table.state_dir,
            "fingerprint_key": _anchored_credential(table.fingerprint_key, folder),
            "database": _anchored_credential(table.database, folder),
        }
    )


def _anchored_http(table: HttpConfig, folder: Path) -> HttpConfig:
    return table.model_copy(update={"token": _anchored_credential(table.token, folder)})


def _verify_table() -> type[VerifyConfig]:
    from monitor.verify.config import VerifyConfig  # brings routing along, which commands for rules do without

    return VerifyConfig


def _anchored_action(table: ActionConfig, folder: Path) -> ActionConfig:
    return table.model_copy(update={"credential": _anchored_credential(table.credential, folder)})


def _anchored_verify(table: VerifyConfig, folder: Path) -> VerifyConfig:
    return table.model_copy(update={"proxy": _anchored_credential(table.proxy, folder)})


def _among(config: Config) -> VerifyConfig:
    from monitor.verify.place import servers_of

    return config.verify.beside(servers_of([*config.sources, *config.inventory]))


def _rotation_table() -> type[RotationConfig]:
    from monitor.rotation.settings import RotationConfig

    return RotationConfig


def _runbook_table() -> type[RunbookConfig]:
    from monitor.runbook.settings import RunbookConfig  # brings routing along, too

    return RunbookConfig


def _audit_table() -> type[AuditConfig]:
    from monitor.audit.settings import AuditConfig

    return AuditConfig


_TABLES = {"rotation": _rotation_table, "verify": _verify_table, "runbook": _runbook_table, "audit": _audit_table}


def _anchored_runbook(table: RunbookConfig, folder: Path) -> RunbookConfig:
    return table if table.folder is None else table.model_copy(update={"folder": folder / table.folder.expanduser()})


def _anchored_rules(table: RulesConfig, folder: Path) -> RulesConfig:
    return table.model_copy(update={"paths": tuple(str(folder / Path(path).expanduser()) for path in table.paths)})


class _Reader:
    """Validates the parsed file piece by piece and collects the problems."""

    def __init__(self, data: dict[str, Any], folder: Path) -> None:
        self.data = data
        self.folder = folder
        self.context = {"folder": str(folder)}  # for validators that make relative paths absolute
        self.problems: list[Problem] = []
        self.known: list[str] = []
        self.stubs: list[SinkConfig] = []

    def report(self, key: str, message: str) -> None:
        self.problems.append(Problem(key, message))

    def table(self, name: str, model: type[_M]) -> _M:
        """One `[name]` table; its defaults when it is absent or wrong."""
        self.known.append(name)
        value = self.data.get(name, {})
        if not isinstance(value, dict):
            self.report(name, f"must be a table: [{name}]")
            return model()
        return self._validate(model, value, name) or model()

    def _tables(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The tables of a `[[name]]` array, each with its key path."""
        self.known.append(name)
        value = self.data.get(name, [])
        if not isinstance(value, list):
            self.report(name, f"must be an array of tables: write [[{name}]], one for each")
            return
        for index, item in enumerate(value):
            path = f"{name}[{index}]"
            if isinstance(item, dict):
                yield path, item
            else:
                self.report(path, f"must be a table: write [[{name}]], one for each")

    def wiring(self) -> dict[str, Any]:
        """All tables that say what is read and who is told."""
        from monitor.access.policy import AccessConfig
        from monitor.actions.config import ActionConfig
        from monitor.audit.settings import Waiver
        from monitor.inventory.managers import MANAGERS, load_manager
        from monitor.routing.inhibit import Inhibition
        from monitor.routing.mute import MuteTime
        from monitor.routing.routes import Route, Silence
        from monitor.runbook.settings import Escalation
        from monitor.sources import SOURCES, load_source
        from sinks import SINKS, load_sink

        return {
            "sources": tuple(self.components("sources", SOURCES, load_source)),
            "sinks": tuple(self.components("sinks", SINKS, load_sink, self.stubs)),
            "inventory": tuple(self.components("inventory", MANAGERS, load_manager)),
            "routes": tuple(self.tables("routes", Route)),
            "silences": tuple(self.tables("silences", Silence)),
            "mute_times": tuple(self.named("mute_times", MuteTime)),
            "inhibitions": tuple(self.tables("inhibitions", Inhibition)),
            "escalation": tuple(self.tables("escalation", Escalation)),
            "waivers": tuple(self.tables("waivers", Waiver)),
            "actions": tuple(_anchored_action(one, self.folder) for one in self.named("actions", ActionConfig)),
            "access": tuple(self.named("access", AccessConfig)),
        }

    def named(self, name: str, model: type[_M]) -> list[_M]:
        """`tables` whose names must differ."""
        return self._models(name, model, self._distinct(name))

    def tables(self, name: str, model: type[_M]) -> list[_M]:
        return self._models(name, model, self._tables(name))

    def _models(self, name: str, model: type[_M], tables: Iterator[tuple[str, dict[str, Any]]]) -> list[_M]:
        found = [self._validate(model, item, path, _who(name, item)) for path, item in tables]
        return [item for item in found if item is not None]

    def components(
        self, name: str, table: Mapping[str, str], load: Callable[[str], Any], stubs: list[Any] | None = None
    ) -> list[Any]:
        """Sources or sinks: the `type` names the class whose `Config` checks the rest. `stubs`: gets those that are
        wrong but for `name` and `type`, unchecked."""
        found = []
        for path, item in self._distinct(name):
            kind = item.get("type")
            if not isinstance(kind, str):
                message = "missing" if kind is None else "must be a string"
                self.report(f"{path}.type", f"{_who(name, item)}{message}; known types: {', '.join(table)}")
                continue
            try:
                model = load(kind).Config
            except ValueError as error:
                self.report(f"{path}.type", f"{_who(name, item)}{error}")
                continue
            config = self._validate(model, item, path, _who(name, item))
            if config is not None:
                found.append(config)
            elif stubs is not None and not any(problem.key == f"{path}.name" for problem in self.problems):
                stubs.append(model.model_construct(**{key: item[key] for key in model.model_fields if key in item}))
        return found

    def _distinct(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """`_tables`; two of one name are reported."""
        seen: dict[str, str] = {}
        for path, item in self._tables(name):
            who = item.get("name")
            if isinstance(who, str) and who in seen:
                self.report(f"{path}.name", f'"{short(who)}" is already the name of {seen[who]}; names must be unique')
            elif isinstance(who, str):
                seen[who] = path
            yield path, item

    def _validate(self, model: type[_M], value: dict[str, Any], path: str, who: str = "") -> _M | None:
        checked, problems = check(model, value, path, self.context, who)
        self.problems += problems
        return checked

    def unknown_tables(self) -> None:
        for name in self.data:
            if name not in self.known:
                self.report(name, f"unknown table{suggest(name, self.known)}")

    def references(self) -> None:
        """Names of sinks, wherever they stand. Checked against every name in the file, also of broken sinks."""
        raw = self.data.get("sinks", [])
        items = [item for item in raw if isinstance(item, dict)] if isinstance(raw, list) else []
        names = [item["name"] for item in items if isinstance(item.get("name"), str)]
        for index, item in enumerate(items):
            fallback = item.get("fallback")
            if isinstance(fallback, str):
                if fallback not in names:
                    self.report(f"sinks[{index}].fallback", self._no_sink(fallback, names))
                elif fallback == item.get("name"):
                    self.report(f"sinks[{index}].fallback", "names the sink itself; name another one")
        for table in ("routes", "escalation"):
            entries = self.data.get(table, [])
            for index, entry in enumerate(entries if isinstance(entries, list) else []):
                wanted = entry.get("sinks", []) if isinstance(entry, dict) else []
                for place, name in enumerate(wanted if isinstance(wanted, list) else []):
                    if isinstance(name, str) and name not in names:
                        self.report(f"{table}[{index}].sinks[{place}]", self._no_sink(name, names))

    def mutes(self, config: Config) -> None:
        """Mute times that routes name: each is there, and they leave a moment of the week to tell what they held."""
        if any(problem.key.startswith(("routes", "mute_times")) for problem in self.problems):
            return  # some are missing here
        from monitor.routing.mute import muted_until

        times = {one.name: one for one in config.mute_times}
        for index, route in enumerate(config.routes):
            for place, name in enumerate(route.mute):
                if name not in times:
                    known = f"; there are {', '.join(times)}" if times else "; there are no [[mute_times]]"
                    message = f'no mute time is named "{short(name)}"{suggest(name, times)}{known}'
                    self.report(f"routes[{index}].mute[{place}]", message)
            if muted_until((times[name] for name in route.mute if name in times), time.time()) == float("inf"):
                message = "leaves no moment of the week, so nothing of this route would ever be told"
                self.report(f"routes[{index}].mute", message)

    @staticmethod
    def _no_sink(name: str, names: Sequence[str]) -> str:
        known = f"; known sinks: {', '.join(map(short, names))}" if names else "; there are no [[sinks]]"
        return f'no sink is named "{short(name)}"{suggest(name, names)}{known}'


def _who(table: str, item: Mapping[str, Any]) -> str:
    """`source "services": ` when the table has a name, to find it without counting."""
    name = item.get("name")
    kind = table if table == "access" else table.removesuffix("s").replace("_", " ")
    return f'{kind} "{short(name)}": ' if isinstance(name, str) and name else ""


def _lines(text: str, keys: Iterable[str]) -> dict[str, int]:
    """Line numbers of key paths, as far as a plain reading of the text finds them (tomllib tells none)."""
    headers: dict[str, int] = {}
    places: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*\[\[\s*([A-Za-z0-9_-]+)\s*\]\]", line):
            name = match[1]
            table = f"{name}[{counts.get(name, 0)}]"
            counts[name] = counts.get(name, 0) + 1
            headers[table] = number
        elif match := re.match(r"\s*\[\s*([A-Za-z0-9_.-]+)\s*\]", line):
            table = match[1]
            headers[table] = number
        elif match := re.match(r"\s*([A-Za-z0-9_-]+)\s*=", line):
            places.setdefault(f"{table}.{match[1]}" if table else match[1], number)
    found = {}
    for key in keys:
        shorter = key
        while shorter and shorter not in places and shorter not in headers:
            shorter, longer = re.sub(r"(\.[^.\[]+|\[\d+\]|^[^.\[]+)$", "", shorter), shorter
            if shorter == longer:  # no path that a file could have
                shorter = ""
        if shorter:
            found[key] = places.get(shorter) or headers[shorter]
    return found
