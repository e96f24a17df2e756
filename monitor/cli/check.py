"""`monitor check`: everything that is wrong, before it matters."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from monitor.cli.check_console import pages
from monitor.cli.common import ConfigOption, command_app, fail_if, paint, person, printable, read_config
from monitor.cli.kit import FormatOption, emit
from monitor.cli.silences import quiet_rules, rule_in_words
from monitor.common.http import Http, RemoteError
from monitor.common.text import veiled
from monitor.config.lines import lines
from monitor.config.locate import ConfigError
from monitor.config.state import database, existing_key
from monitor.machine.finding import CheckFinding
from monitor.sources.file.globs import Globs, literal
from monitor.sources.file.rights import entered, mend, remedy

if TYPE_CHECKING:
    from monitor.common.inbound import Owner
    from monitor.config.config import Config

app = command_app()

EX_CONFIG = 78
_KINDS = ("configuration", "rules", "environment", "notice")  # what ends `monitor run` comes first
_NAMED = 6  # rules named in one note


_EnvironmentOption = Annotated[
    bool | None,
    typer.Option(
        "--environment/--no-environment",
        help="Also check all that the service needs of this host; or nothing that depends on it.",
        show_default=False,
    ),
]


@app.command(
    epilog="Examples:\n\n  monitor check --config /etc/exposure-monitor/config.toml\n\n  monitor check --environment",
    help="Check the configuration, the rules, and what they need of this machine; show all problems at once.\n\n"
    "Rules are compiled, and the examples of your own rules run (`monitor rules test` runs all). Credentials are "
    "resolved (and not shown), paths and the state folder tried, sinks constructed; nothing is sent.\n\n"
    "With --environment also this host, by the service's unit and as its user (as root): limits of files and inotify, "
    "the clock, the disk, rights, whether servers of sinks can be reached, what drop-ins undo; each with the command "
    "that mends it; without a valid configuration, what can be said without one.\n\n"
    "Exit code 78: the configuration or a rule is wrong; 1: only this machine is.",
)
def check(
    environment: _EnvironmentOption = None,
    form: FormatOption = "text",
    config: ConfigOption = None,
) -> None:
    from monitor.config.config import FaultyConfigError

    findings: list[CheckFinding] = []
    settings: Config | None = None
    name = ""
    try:
        settings = read_config(config, enter=environment is not False)
        name = str(settings.path)
        findings += _impossible(settings)
        findings += _database(settings, reach=environment is not False)
        findings += _notices(settings)
        if environment is not False:
            findings += _key(settings)
            findings += _quiet(settings)
            findings += _environment(settings)
            findings += [*_places(settings), *_unloaded(settings)] if environment is None else _host(settings)
        findings += _rules(settings)
    except ConfigError as error:
        name = str(error.path or "configuration")
        findings += [CheckFinding("configuration", p.key, p.message, error.line(p.key)) for p in error.problems]
        if isinstance(error, FaultyConfigError):  # mistakes in rules are shown too, not at the next attempt
            findings += _rules_as_read(error.rest)
            broken = {_table(problem.key) for problem in error.problems}  # notes on these would follow from mistakes
            findings += [
                finding
                for finding in (*_impossible(error.rest), *_notices(error.rest))
                if _table(finding.key) not in broken
            ]
            places = lines(error.rest.path, [finding.key for finding in findings])
            findings = [finding._replace(line=finding.line or places.get(finding.key)) for finding in findings]
        if environment:
            findings += _host_alone()
    else:
        places = lines(settings.path, [finding.key for finding in findings])
        findings = [finding._replace(line=places.get(finding.key)) for finding in findings]

    name = veiled(name)
    findings = sorted(map(_veiled, findings), key=lambda one: (_KINDS.index(one.kind), one.line is None, one.line or 0))

    def text(_rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        for finding in findings:
            yield from _shown(finding, name)
        wrong = sum(finding.kind != "notice" for finding in findings)
        if wrong:
            yield paint(f"{wrong} problem{'s' if wrong > 1 else ''}", "red", bold=True)
        elif settings is not None:
            yield paint("ok", "green", bold=True) + f": {len(settings.sources)} sources, {len(settings.sinks)} sinks"

    emit([finding._asdict() for finding in findings], form, text)
    kinds = {finding.kind for finding in findings}
    fail_if(kinds & {"configuration", "rules"}, code=EX_CONFIG)
    fail_if("environment" in kinds)


def _veiled(finding: CheckFinding) -> CheckFinding:
    key, message, mended = (text and veiled(text) for text in (finding.key, finding.message, finding.mend))
    return finding._replace(key=key or "", message=message or "", mend=mended)


def _shown(finding: CheckFinding, name: str) -> Iterator[str]:
    """What is wrong, and the command that mends it. `name`: of the file, in which the host has no place."""
    place = f"{name}:{finding.line}: " if finding.line else f"{name}: "
    mark = paint("note: ", "cyan") if finding.kind == "notice" else ""
    said = ": ".join(filter(None, (finding.key, finding.message)))
    yield ("" if finding.key.startswith("host.") else printable(place)) + mark + printable(said)
    if finding.mend:
        yield paint("  mend: ", dim=True) + printable(finding.mend)


def _rules(config: Config) -> list[CheckFinding]:
    from monitor.config.outdated import outdated
    from monitor.site import build_engine

    try:
        engine = build_engine(config)  # as `monitor run` does it, with the examples of the user's own rules
    except ConfigError as error:
        return [CheckFinding("rules", problem.key, problem.message) for problem in error.problems]
    from detectors.author.check import shadowed
    from detectors.author.tune import costly

    own = [rule for rule in engine.rules if rule.family == "custom"]
    notes = [*costly(engine.rules), *_known_already(shadowed(engine, own))]
    old = [CheckFinding("notice", one.key, one.message) for one in outdated(config, (rule.id for rule in own))]
    return [*(CheckFinding("notice", "rules.paths", note) for note in notes), *old]


def _known_already(rules: Sequence[str]) -> Iterator[str]:
    """One line, however many of an imported file's rules other rules make needless."""
    if rules:
        shown = ", ".join(name.rpartition(": ")[2] for name in rules[:_NAMED])
        more = f" and {len(rules) - _NAMED} more" if len(rules) > _NAMED else ""
        yield f"{len(rules)} own rules find what another rule reports already (rule, winner): {shown}{more}"


def _table(key: str) -> str:
    return key.partition(".")[0].partition("[")[0]


def _database(config: Config, *, reach: bool) -> list[CheckFinding]:
    """Whether `monitor run` could use it: with `reach` the server is asked, or the file looked into."""
    from monitor.store import DriverError, StoreError
    from monitor.store import reach as look

    try:
        url, key = database(config), existing_key(config)
    except (ConfigError, OSError):
        return []  # told with the other credentials
    try:
        look(url, key, login=reach)
    except DriverError as error:
        return [CheckFinding("configuration", "monitor.database", str(error))]
    except StoreError as error:
        return [CheckFinding("environment", "monitor.database", str(error))]
    return []


def _quiet(config: Config) -> Iterator[CheckFinding]:
    """Rules that alert less than they say, which is in no file. Why that is not known is told with the database."""
    rules, _ = quiet_rules(config)
    for rule in rules:
        message = f"rule {rule.rule} is {rule_in_words(rule)}; `monitor silences end {rule.id}` ends it"
        yield CheckFinding("notice", "", message)


def _rules_as_read(config: Config) -> list[CheckFinding]:
    """What is wrong with the rules as far as reading them tells, without a state folder that may be the wrong one."""

    from monitor.site import read_rules

    try:
        read_rules(config, cached=False)
    except ConfigError as error:
        return [CheckFinding("rules", problem.key, problem.message) for problem in error.problems]
    return []


def _notices(config: Config) -> Iterator[CheckFinding]:
    told = {name for route in config.routes for name in route.sinks} | {sink.fallback for sink in config.sinks}
    notes = (
        (not config.sources, "sources", "there is no source, so nothing is watched; add [[sources]]"),
        (not config.sinks, "sinks", "there is no sink, so incidents are stored and nobody is alerted; add [[sinks]]"),
        *(
            (
                not glob(str(pattern), recursive=True),
                "rules.paths",
                f"{pattern} matches no file, so no rule of your own is read there",
            )
            for pattern in config.rules.paths
        ),
        *(
            (
                config.routes and sink.name not in told,
                f"sinks[{index}]",
                f'no route leads to "{sink.name}", so it gets no alerts',
            )
            for index, sink in enumerate(config.sinks)
        ),
        (
            config.routes and all(route.matchers for route in config.routes),
            "routes",
            "every route has matchers, so what fits none is stored and nobody is alerted; end with one without",
        ),
    )
    yield from (CheckFinding("notice", key, message) for holds, key, message in notes if holds)
    yield from _labels(config)
    yield from _unheard(config)
    yield from pages(config)


def _unheard(config: Config) -> Iterator[CheckFinding]:
    """What other systems are to announce to a door that is not there."""
    if config.http.listen:
        return
    from monitor.web.hooks import Vendors

    tables: list[tuple[str, Sequence[Owner]]] = [("sources", config.sources), ("sinks", config.sinks)]
    for table, owners in tables:
        for index, owner in enumerate(owners):
            for door, vendor in Vendors().items():
                if vendor.secrets(owner):
                    message = f'"{owner.name}" expects what is announced to /hooks/{door}, and http.listen is empty'
                    yield CheckFinding("notice", f"{table}[{index}]", message)


def _key(config: Config) -> list[CheckFinding]:
    """What `monitor run` would refuse of the key for fingerprints; whether it can be had is told with the others."""
    from monitor.common.credential import CredentialError

    try:
        existing_key(config)
    except ConfigError as error:
        own = config.monitor.fingerprint_key
        unresolved = own is not None and _why(own.resolve, CredentialError)
        return [] if unresolved else [CheckFinding("configuration", p.key, p.message) for p in error.problems]
    except OSError as error:
        return [CheckFinding("environment", "monitor.state_dir", f"{error.filename}: {error.strerror}")]
    return []


def _impossible(config: Config) -> Iterator[CheckFinding]:
    """Matchers that no incident can tell from another, which is never meant."""

    from monitor.config.outdated import matchers

    for key, matcher in matchers(config):
        if why := matcher.impossible():
            yield CheckFinding("configuration", key, f"{matcher}: {why}")


def _labels(config: Config) -> Iterator[CheckFinding]:
    """Labels that look mistyped; rules bring labels of their own, so none is wrong for certain."""
    from monitor.config.outdated import matchers

    known = "severity rule family name source host service path state confidence format fingerprint".split()

    places = [(key, matcher.label) for key, matcher in matchers(config)]
    places += [
        (f"inhibitions[{index}].equal[{place}]", label)
        for index, one in enumerate(config.inhibitions)
        for place, label in enumerate(one.equal)
    ]
    places += [
        (f"routes[{index}].group_by[{place}]", label)
        for index, route in enumerate(config.routes)
        for place, label in enumerate(route.group_by or ())
    ]
    for key, label in places:
        close = get_close_matches(label, known, n=1, cutoff=0.75)
        if close and label not in known:
            message = f"{printable(label)} is no label that all incidents have; did you mean {close[0]}?"
            yield CheckFinding("notice", key, message)


def _environment(config: Config) -> Iterator[CheckFinding]:
    from monitor.common.credential import CredentialError
    from monitor.config.credentials import credentials
    from monitor.sources.tls import TlsConfig, TlsError, TlsIdentity

    for key, credential in credentials(config):
        if problem := _why(credential.resolve, CredentialError):
            yield CheckFinding("environment", key, problem)
    yield from _in_the_clear(config)
    from monitor.config.weaknesses import weaknesses

    yield from (CheckFinding("notice", key, message) for key, message in weaknesses(config))
    for index, source in enumerate(config.sources):
        if (
            isinstance(source, TlsConfig)
            and source.certificate
            and (wrong := _why(partial(TlsIdentity, source), TlsError))
        ):
            yield CheckFinding("environment", f"sources[{index}].certificate", f'source "{source.name}": {wrong}')
    yield from _actions(config)
    yield from _sinks(config)


def _places(config: Config, who: str = "", *, state: bool = True) -> Iterator[CheckFinding]:
    """Whether this process may use the state folder and the files of sources. `who`: whose rights it has, if not those
    of who called it."""
    folder = config.state_dir
    place = next(each for each in (folder, *folder.parents) if os.path.exists(each))
    if state and (not place.is_dir() or not os.access(place, os.W_OK | os.X_OK)):
        message = f"{place} is not a folder that {who or 'this user'} may write to"
        yield CheckFinding("environment", "monitor.state_dir", message)
    for index, source in enumerate(config.sources):
        if source.type == "file" or (who and source.type == "container"):
            for kind, message, mended in _files(source, who):
                if source.type == "container" and mended is None:
                    continue  # of its patterns, which are for all kinds of hosts, some match nothing
                said = f'source "{source.name}": {message}'
                yield CheckFinding(kind, f"sources[{index}].include", said, mend=mended)


def _host_alone() -> Iterator[CheckFinding]:
    from monitor.cli.check_host import host_alone

    return host_alone()


def _host(config: Config) -> Iterator[CheckFinding]:
    from monitor.cli.check_host import host

    return host(config, partial(_places, config))


def _unloaded(config: Config) -> Iterator[CheckFinding]:
    """What this shell has and the service that goes by this file does not get."""
    from monitor.config.credentials import credentials
    from monitor.machine.service import reads, unloaded
    from monitor.machine.unit import find_unit

    unit = find_unit()
    if unit is not None and not unit.masked and reads(unit) == config.path:
        yield from unloaded(unit, credentials(config))


def _actions(config: Config) -> Iterator[CheckFinding]:
    """What would keep an action from running when it is needed."""
    from monitor.common.program import untrusted

    for index, action in enumerate(config.actions):
        if action.command and (problem := untrusted(action.command[0])):
            yield CheckFinding("environment", f"actions[{index}].command", f'action "{action.name}": {problem}')
    why = "nobody asks whether the secret is refused then; name its provider in verify.providers"
    for one in config.actions:
        if one.ready and not _probed(config, one.ready.rules):
            yield CheckFinding("notice", "verify.providers", f'action "{one.name}": {why}')


def _probed(config: Config, rules: Iterable[str]) -> bool:
    """Whether a probe may see what became of secrets of these rules, as far as there is one."""
    from monitor.verify.probe import probe_of

    probes = [probe for probe in map(probe_of, rules) if probe is not None]
    return not probes or any(config.verify.allows(probe.provider) for probe in probes)


def _in_the_clear(config: Config) -> Iterator[CheckFinding]:
    """Addresses of sinks that are credentials, so that only their values tell whether they are encrypted."""

    from monitor.common.credential import Credential, CredentialError

    for index, sink in enumerate(config.sinks):
        for name, value in sink:
            if not isinstance(value, Credential):
                continue
            try:
                sink.encrypted(name, value.resolve())
            except CredentialError:
                continue  # told already
            except RemoteError as error:
                yield CheckFinding("environment", f"sinks[{index}].{name}", f'sink "{sink.name}": {error}')


def _why(work: Callable[[], object], errors: type[Exception]) -> str | None:
    """Why something cannot be done; None: it can."""
    try:
        work()
    except errors as error:
        return str(error)
    return None


def _files(source: Any, who: str) -> Iterator[tuple[Literal["environment", "notice"], str, str | None]]:
    named: list[str] = []
    matched: list[str] = []
    for pattern in source.include:
        if literal(pattern):
            if os.path.isdir(pattern):
                message = f"{pattern} is a folder; write {pattern.rstrip('/')}/** for all files below it"
                yield "environment", message, None
            elif not os.path.exists(pattern) and entered(os.path.dirname(pattern)):
                yield "notice", f"{pattern} does not exist yet; it is followed from its start once it does", None
            elif not os.access(pattern, os.R_OK):
                named.append(pattern)
        else:
            whole = Path(pattern).parts
            fixed = whole[: next(i for i, part in enumerate(whole) if not literal(part))]
            folder = Path(*fixed) if fixed else Path()
            if not os.path.isdir(folder) and entered(str(folder.parent)):
                yield "notice", f"{pattern}: the folder {folder} does not exist yet", None
            elif not os.access(folder, os.R_OK | os.X_OK):
                yield "environment", f"{pattern}: {_closed_to(str(folder), who)}", _opened(str(folder), who)
            else:
                globs = Globs([pattern], source.exclude)
                found = globs.paths()
                if not found:
                    yield "notice", f"{pattern} matches no file yet", None
                matched += [path for path in found if not os.access(path, os.R_OK)]
                for closed in globs.problems:
                    yield "notice", f"{_closed_to(closed, who)} (skipped)", _opened(closed, who)
    yield from (("environment", *each) for each in _unreadable(named, who))
    others = [path for path in matched if path not in named]
    yield from (("notice", f"{message} (skipped)", mended) for message, mended in _unreadable(others, who))


def _closed_to(folder: str, who: str) -> str:
    return f"{folder} may not be read by {who or 'this user'}"


def _opened(folder: str, who: str) -> str:
    return shlex.join(["setfacl", "-m", f"u:{who or person()}:rx", folder])


def _unreadable(paths: Iterable[str], who: str) -> Iterator[tuple[str, str]]:
    """One line, and one command, for all that the same remedy helps."""
    alike: dict[str, list[str]] = {}
    for path in sorted(set(paths)):
        alike.setdefault(remedy(path, who), []).append(path)
    for what, (first, *more) in alike.items():
        message = f"{first}{f' and {len(more):,} more' if more else ''} may not be read by {who or 'this user'}: {what}"
        yield message, mend([first, *more], who or person())


def _sinks(config: Config) -> Iterator[CheckFinding]:
    import asyncio

    from sinks import load_sink

    async def construct() -> list[CheckFinding]:
        found = []
        http = Http()
        for index, sink in enumerate(config.sinks):
            try:
                load_sink(sink.type)(sink, http)
            except (ValueError, OSError) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                found.append(CheckFinding("environment", f"sinks[{index}]", f'sink "{sink.name}": {reason}'))
        await http.close()
        return found

    yield from asyncio.run(construct())
