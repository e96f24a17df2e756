"""The shape of the tree, held by tests: where a thing lies, what may import what."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.detectors import texts

ROOT = Path(__file__).parent.parent
PACKAGES = ("monitor", "detectors", "sinks")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PARTS = 4  # of the repository, each searched by itself
MODULES = {  # name of a module → its file
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES
}


def has_behaviour(tree: ast.Module) -> bool:
    """Whether a file holds a function or method; plain data and protocols have nothing to test alone."""

    def found(nodes: list[ast.stmt]) -> bool:
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                return True
            protocol = isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "Protocol" for base in node.bases)
            if isinstance(node, ast.ClassDef) and not protocol and found(node.body):
                return True
        return False

    return found(tree.body)


def statements(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """These and those inside them. To go over their expressions as well takes three times as long."""
    for node in nodes:
        yield node
        for inside in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from statements(getattr(node, inside, ()))


class Facts(NamedTuple):
    """Of a source file. `importing`: the statements that do, at its top or inside functions, also for type checking."""

    importing: tuple[ast.Import | ast.ImportFrom, ...]
    functions: tuple[ast.FunctionDef | ast.AsyncFunctionDef, ...]
    behaves: bool


def facts(path: Path) -> Facts:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = [*statements(tree.body)]
    importing = (node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return Facts(tuple(importing), tuple(functions), has_behaviour(tree))


FACTS = {path: facts(path) for path in SOURCES}  # here, where workers that are forked off later share it


def test_an_import_is_seen_wherever_it_stands() -> None:
    text = """
import a
def f():
    with x:
        try: import b
        except E: from c import d
        else: import e
        finally: import g
    async def h():
        async for _ in x: import i
        else: import j
    match x:
        case 1: import k
    while x:
        if y: import l
        elif z: import m
        else: import n
class C:
    import o
"""
    nodes = [node for node in statements(ast.parse(text).body) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert sorted(node.names[0].name for node in nodes) == [*"abdegijklmno"]


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports."""
    package = ".".join(path.relative_to(ROOT).with_suffix("").parts[:-1])
    for node in FACTS[path].importing:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            yield importlib.util.resolve_name("." * node.level + (node.module or ""), package)


def test_every_source_file_has_its_test() -> None:
    places = [path.relative_to(ROOT) for path in SOURCES if FACTS[path].behaves]
    wanted = {place: Path("tests") / place.parent / f"test_{place.stem.strip('_')}.py" for place in places}
    assert not [f"{place} has no {test}" for place, test in wanted.items() if not (ROOT / test).is_file()]


def modules_of(path: Path) -> Iterator[str]:
    """Every module of ours that a file imports, named as far as the files go; for type checking only, too."""
    package = ".".join(path.relative_to(ROOT).with_suffix("").parts[:-1])
    for node in FACTS[path].importing:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names]
        yield from (name for name in names if name.split(".")[0] in PACKAGES)


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def offences(rooms: Iterable[str], allowed: Callable[[str, str], bool]) -> list[str]:
    """What modules in `rooms` import although `allowed(importer, imported)` says no."""
    return [
        f"{importer} imports {name}"
        for importer, path in MODULES.items()
        if any(within(importer, room) for room in rooms)
        for name in modules_of(path)
        if not allowed(importer, name)
    ]


def test_the_ground_floor_imports_nothing_of_ours() -> None:
    assert not offences(["monitor.common"], lambda _, name: within(name, "monitor.common"))


@pytest.mark.parametrize("package", ["detectors", "sinks"])
def test_detectors_and_sinks_import_of_ours_only_the_ground_floor(package: str) -> None:
    assert not offences([package], lambda _, name: within(name, package) or within(name, "monitor.common"))


# Rooms of `monitor`, its folders and loose modules, by floors: each imports from floors before its own only, also for
# type checking and inside functions, so that none of them stands in a circle.
FLOORS = (
    "common",
    "clients domain",
    "access accounts intake routing",
    "runbook",
    "store",
    "report scanning",
    "delivery inventory sources web",
    "drill github gitlab rotation scan snapshot",
    "verify",
    "actions",
    "audit",
    "config",
    "machine",
    "site status",
    "host",
    "daemon",
    "cli",
    "__main__",
)


def test_a_room_imports_from_floors_below_its_own_only() -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms.split()}

    def room(name: str) -> str:
        return name.split(".")[1]

    inside = {name for name in MODULES if name.startswith("monitor.")}
    assert {room(name) for name in inside} == floor.keys()
    assert not offences(
        ["monitor"],
        lambda importer, name: (
            importer not in inside
            or name not in inside
            or room(name) == room(importer)
            or floor[room(name)] < floor[room(importer)]
        ),
    )


ROOMS = ("detectors.rules", "detectors.compile", "detectors.match", "detectors.author")


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_of_detectors_imports_no_later_one(room: str) -> None:
    earlier = (*ROOMS[: ROOMS.index(room) + 1], "detectors.cache", "detectors.excerpt", "detectors.fingerprint")
    earlier = (*earlier, "monitor.common")
    assert not offences([room], lambda _, name: any(within(name, one) for one in earlier))


def test_a_client_imports_no_source() -> None:
    # The sources themselves, what they share, and the door they are told through.
    wings = {f"monitor.github.{name}" for name in ("source", "ci", "login", "hook")}
    assert not offences(
        ["monitor.github"],
        lambda importer, name: importer in wings or not (within(name, "monitor.sources") or name in wings),
    )


def test_sources_decisions_the_store_and_scan_import_no_sink() -> None:
    rooms = [
        "monitor.sources",
        "monitor.github",
        "monitor.domain",
        "monitor.routing",
    ]
    assert not offences([*rooms, "monitor.store", "monitor.scan"], lambda _, name: not within(name, "sinks"))


ABOVE: dict[str, tuple[str, ...]] = {  # a room that stands above others → who may import it
    "monitor.cli": ("monitor.__main__",),
    "monitor.daemon": ("monitor.cli.run",),
    "monitor.web": ("monitor.daemon", "monitor.cli.check"),
    "monitor.site": ("monitor.cli", "monitor.daemon", "monitor.audit.run", "monitor.host", "monitor.inventory.enrol"),
    "monitor.delivery": ("monitor.daemon", "monitor.status", "monitor.snapshot", "monitor.daemon.metrics"),
    "monitor.report": ("monitor.cli", "monitor.daemon", "monitor.delivery", "monitor.web"),
    "sinks": ("monitor.cli", "monitor.daemon", "monitor.delivery", "monitor.config"),
}


@pytest.mark.parametrize("room", ABOVE)
def test_nothing_imports_from_a_floor_above_it(room: str) -> None:
    may = (room, *ABOVE[room])
    assert not offences(
        PACKAGES, lambda importer, name: not within(name, room) or any(within(importer, one) for one in may)
    )


def test_an_incident_is_made_into_a_picture_in_one_place() -> None:
    wrong = [name for name, path in MODULES.items() if " IncidentView(" in path.read_text(encoding="utf-8")]
    assert wrong == ["monitor.report.view"]


def test_a_command_imports_the_site_never_the_daemon() -> None:
    starts_it = "monitor.cli.run"
    assert not offences(
        ["monitor.cli"], lambda importer, name: importer == starts_it or not within(name, "monitor.daemon")
    )


def test_the_web_imports_no_vendor() -> None:
    assert not offences(
        ["monitor.web"], lambda _, name: not within(name, "monitor.github") and not within(name, "sinks")
    )


def test_only_the_site_puts_a_store_a_scanner_and_rules_together() -> None:
    made = ("Store.open(", "Scanner(", "load_rules(config.")
    wrong = [
        f"{name}: {what}"
        for name, path in MODULES.items()
        if within(name, "monitor") and name != "monitor.site" and not within(name, "monitor.store")
        for what in made
        if f" {what}" in path.read_text(encoding="utf-8")
    ]
    assert not wrong


# Words of our own for which the field has one, as names of classes or of their files; what they are called now.
OLD_WORDS = {
    "Life": "TrackedFile", "Register": "Registry", "Keeper": "Tracker", "Strays": "RotatedFiles", "Turn": "FileReader",
    "Fates": "transitions", "Arrivals": "discovery", "Hopper": "SourceQueue",
    "Packer": "Batcher", "Parcel": "OutboxRow", "Desk": "StoreSession", "Scrubber": "Redactor", "Shelf": "RunbookStore",
    "Trouble": "errors", "Salvage": "repair", "Threads": "conversation", "Misuse": "wrong_environment",
    "Told": "NotifiedState",
}  # fmt: skip


def test_a_class_name_has_one_meaning() -> None:
    """Of names that other files may use, but for the `Config` of a component."""
    places: dict[str, list[str]] = {}
    for name, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name != "Config":
                places.setdefault(node.name, []).append(name)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
    words = {*places, *(part.title() for name in MODULES for part in name.split(".")[1:])}
    assert {word: OLD_WORDS[word] for word in words & OLD_WORDS.keys()} == {}


def test_few_modules_lie_loose() -> None:
    loose = [path.name for path in (ROOT / "monitor").glob("*.py")]
    assert len(loose) <= 10, loose


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def test_a_function_has_60_lines_at_most() -> None:
    long = [(path.name, node.name) for path in SOURCES for node in FACTS[path].functions if length(node) > 60]
    assert not long


VAGUE = {"one", "found", "kept", "there"}  # as names of variables: they say nothing of what they hold
FAR = 10  # lines over which one remembers what such a name stood for


def test_a_name_that_says_nothing_is_soon_over() -> None:
    far = []
    for path in SOURCES:
        for function in FACTS[path].functions:
            lines: dict[str, list[int]] = {}
            for node in ast.walk(function) if length(function) > FAR else ():
                if isinstance(node, ast.Name | ast.arg):
                    name = node.id if isinstance(node, ast.Name) else node.arg
                    lines.setdefault(name, []).append(node.lineno)
            at = {name: lines[name] for name in VAGUE & lines.keys()}
            far += [(path.name, function.name, name) for name in at if max(at[name]) - min(at[name]) > FAR]
    assert not far


def test_a_file_of_more_than_500_lines_has_a_reason() -> None:
    """Beside its name in docs/architecture.md; a reason that is needed no more goes."""
    reasons = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("## Long files")[2]
    listed = {row.split("|")[1].strip(" `") for row in reasons.splitlines() if ".py`" in row}
    lines = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in SOURCES}
    assert {name for name, count in lines.items() if count > 500} <= listed
    assert not {name for name in listed if lines.get(name, 0) < 400}


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: set(modules_of(path)) & MODULES.keys() for module, path in MODULES.items()}
    done: set[str] = set()

    def walk(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " → ".join((*way[way.index(module) :], module))
        if module not in done:
            for imported in sorted(graph[module]):
                walk(imported, (*way, module))
            done.add(module)

    for module in graph:
        walk(module, ())


def test_only_the_store_speaks_sql() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if "store" not in path.relative_to(ROOT).parts
        and path.relative_to(ROOT) != Path("monitor/verify/postgres.py")  # speaks to the server a password is of
        and any(name.split(".")[0] in ("sqlalchemy", "sqlite3", "psycopg") for name in imports(path))
    ]
    assert not wrong


# What people do about an incident is asked for by a verb (monitor.store.verbs), whose refusals hold wherever they ask.
# These rooms do it by themselves, each within rules of its own.
BY_THEMSELVES = ("monitor.store", "monitor.rotation", "monitor.drill", "monitor.actions")
OF_INCIDENTS = {"incidents": "Incidents", "runs": "Runs", "merges": "Merges", "actions": "Actions"}
# Not what a person decides: what was interrupted, what the world shows, what a host noted.
OTHERWISE = {"actions.abandon", "runs.prove", "incidents.note"}


def test_there_is_one_door_to_an_incident() -> None:
    doors = {"silences.set"}
    for file, name in OF_INCIDENTS.items():
        body = ast.parse((ROOT / f"monitor/store/{file}.py").read_text(encoding="utf-8")).body
        repository = next(node for node in body if isinstance(node, ast.ClassDef) and node.name == name)
        for method in repository.body:
            if isinstance(method, ast.FunctionDef):
                kinds = {ast.unparse(one) for one in method.decorator_list}
                doors |= {f"{file}.{method.name}"} if kinds & {"durably", "writes"} else set()
    assert {"incidents.transition", "runs.act", "merges.merge", "actions.begin", *OTHERWISE} <= doors
    doors -= OTHERWISE
    called = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(doors)))})\b(?=\()")
    wrong = [
        f"{name}: {call}"
        for name, path in MODULES.items()
        if not any(within(name, room) for room in BY_THEMSELVES)
        for call in called.findall(path.read_text(encoding="utf-8"))
    ]
    assert not wrong


def test_one_file_knows_the_module_of_re2() -> None:
    """Some of the names in use are private, and any version of it may drop them: that file's test says which."""
    known = {Path("monitor/common/regex.py"), Path("tests/monitor/common/test_regex.py")}
    module = re.compile(r"^\s*(?:import|from) re2\b|\bre2\._|\._(?:regexp|Anchor)\b", re.MULTILINE)
    files = [path for folder in (*PACKAGES, "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    wrong = {path.relative_to(ROOT) for path in files if module.search(path.read_text(encoding="utf-8"))}
    assert wrong == known


def test_no_test_leaves_a_connection_of_sqlite_open() -> None:
    """As a context it ends a transaction only; from Python 3.13 on one that is not closed is a warning, so an error."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "sqlite3.connect(" in text else ():
            if isinstance(node, ast.With):
                for item in node.items:
                    assert not ast.unparse(item.context_expr).startswith("sqlite3.connect("), f"{path}:{node.lineno}"


def test_no_test_waits_long_by_the_clock() -> None:
    """It waits for a condition, or turns the clock (tests/fakes/clock.py). A minute and more stands for what hangs."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if "sleep(" in (text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "sleep" and node.args
        if isinstance(seconds := node.args[0], ast.Constant) and 1.5 < float(str(seconds.value)) < 60
    ]
    assert not wrong


def calls_of(path: Path, name: str) -> list[ast.Call]:
    text = path.read_text(encoding="utf-8")
    nodes = ast.walk(ast.parse(text)) if f"{name}(" in text else ()
    return [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == name]


def test_what_comes_round_in_a_minute_and_more_comes_by_the_schedule() -> None:
    """`every` of common/every.py is for heartbeats: it is given a constant of less."""
    wrong = []
    for name, path in MODULES.items():
        for call in calls_of(path, "every"):
            seconds = call.args[0]
            constant = isinstance(seconds, ast.Name) and getattr(importlib.import_module(name), seconds.id, None)
            if not (isinstance(constant, int | float) and 0 < constant < 60):
                wrong.append(f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)}")
    assert not wrong


def test_there_is_one_scheduler() -> None:
    wrong = [name for name, path in MODULES.items() if any("apscheduler" in one for one in imports(path))]
    assert wrong == ["monitor.common.scheduler"]
    its = [path for path in SOURCES if "monitor.common.scheduler" in imports(path)]
    made = [name for name, path in MODULES.items() if path in its and calls_of(path, "Scheduler")]
    assert made == ["monitor.daemon.lifecycle", "monitor.host"], "its own has a source that no daemon runs"


PURE = [
    *(f"domain/{name}.py" for name in ("model", "incidents", "retention")),
    *(f"routing/{name}.py" for name in ("routes", "notify", "match", "inhibit", "mute", "fold", "budget")),
    *("report/view.py", "runbook/progress.py", "runbook/book.py"),
]


def test_incidents_and_routing_are_pure() -> None:
    forbidden = {"asyncio", "aiohttp", "sqlalchemy", "threading", "time", "socket", "os"}
    wrong = [
        f"{name}: {module}"
        for name in PURE
        for module in imports(ROOT / "monitor" / name)
        if module.split(".")[0] in forbidden
    ]
    assert not wrong


@pytest.mark.parametrize(
    "table", ["monitor.sources:SOURCES", "sinks:SINKS", "monitor.cli:COMMANDS", "monitor.inventory.managers:MANAGERS"]
)
def test_every_file_of_a_table_exists_and_every_component_is_in_its_table(table: str) -> None:
    module, _, name = table.partition(":")
    entries: dict[str, str] = getattr(importlib.import_module(module), name)
    folder = ROOT / Path(*module.split("."))
    listed = {entry.partition(":")[0] for entry in entries.values()}
    for entry in entries.values():
        target, _, attribute = entry.partition(":")
        assert importlib.util.find_spec(target) is not None, f"{table} names {target}, which does not exist"
        if attribute:
            source = (ROOT / Path(*target.split("."))).with_suffix(".py").read_text(encoding="utf-8")
            assert f"class {attribute}" in source
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        is_component = "Config: ClassVar" in text and path.name not in ("base.py", "__init__.py")
        is_command = "\napp = " in text and path.name != "__init__.py"
        if is_component or is_command:
            own = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            assert own in listed, f"{path.relative_to(ROOT)} is not in {table}"


def tracked() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_folder_of_a_developers_machine() -> None:
    # A clone may lie where the documentation puts one.
    homes = [
        home for home in (str(Path.home()), str(ROOT)) if home not in ("/", "/srv/monitor", "/opt/exposure-monitor")
    ]
    wrong = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.suffix in (".py", ".md", ".toml", ".service", ".lock") or path.name == "Makefile"
        if any(f"{home}/" in path.read_text(encoding="utf-8") for home in homes)
    ]
    assert not wrong


@pytest.mark.parametrize("part", range(PARTS))
def test_no_token_shaped_text_lies_in_the_repository(part: int) -> None:
    """Our own rules over our own files: examples are templates, so nothing real may be found with high confidence."""
    from detectors.match.engine import Match

    worker = texts.engine().worker()

    def template(path: Path, match: Match) -> bool:
        # Packs and the probe are full of patterns and templates, which stand where a secret could: to a scored rule
        # the head that all tokens of an issuer share looks like one.
        secret = match.secret
        return ("packs" in path.parts or path.name.startswith("probe")) and (
            match.rule.score or b"}" in secret or secret.startswith(b"----") or len(secret) < 16
        )

    wrong = [
        f"{path.relative_to(ROOT)}: {match.rule.id}: {match.masked}"
        for path in tracked()[part::PARTS]
        if path.suffix != ".lock"  # nothing but hashes
        for match in worker.scan(path.read_bytes())
        if match.confidence == "high" and not template(path, match)
    ]
    assert not wrong


def test_what_runs_on_sqlite_alone_is_a_test_that_could_run_on_both() -> None:
    store = ROOT / "tests/monitor/store"
    lines = (store / "sqlite_alone.txt").read_text(encoding="utf-8").splitlines()
    named = [line.split("::") for line in lines if not line.startswith("#")]
    assert named
    there = {file: (store / file).read_text(encoding="utf-8") for file, _ in named}
    assert [test for file, test in named if not re.search(rf"^(?:async )?def {test}\(", there[file], re.M)] == []
