"""What the documentation says is true: commands, keys, defaults, links."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from detectors.rules.packfile import RuleTable
from monitor.access.policy import AccessConfig
from monitor.accounts.settings import SignInConfig
from monitor.actions.config import ActionConfig
from monitor.audit.settings import AuditConfig, Waiver
from monitor.cli import COMMANDS
from monitor.config.config import load, parse
from monitor.config.tables import HttpConfig, MonitorConfig, RulesConfig
from monitor.domain.retention import RetentionConfig
from monitor.inventory.managers import MANAGERS
from monitor.rotation.settings import RotationConfig
from monitor.routing.inhibit import Inhibition
from monitor.routing.mute import MuteTime
from monitor.routing.routes import Route, Silence
from monitor.runbook.settings import Escalation, RunbookConfig
from monitor.sources import SOURCES
from monitor.store import Store
from monitor.verify.config import VerifyConfig
from sinks import SINKS
from tests.commands import LIST, page, walk
from tests.components import EXAMPLE, PAGE, current, keys
from tests.detectors import texts
from tests.fakes.forks import Forks
from tests.monitor.store.conftest import postgres_server
from tests.monitor.store.helpers import finding, fingerprint

__all__ = ["postgres_server"]  # a fixture

ROOT = Path(__file__).parent.parent
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*(path for path in DOCS if path.name != "CONTRIBUTING.md"), ROOT / "CHANGELOG.md"]  # for users
# The example with everything that is commented out switched on; also with components that it gets at a release
WHOLE = re.sub(r"(?m)^#(?=[A-Za-z_\[])", "", current(whole=True)[EXAMPLE])

TABLES: dict[str, type[BaseModel]] = {
    "monitor": MonitorConfig,
    "http": HttpConfig,
    "rules": RulesConfig,
    "retention": RetentionConfig,
    "verify": VerifyConfig,
    "runbook": RunbookConfig,
    "rotation": RotationConfig,
    "audit": AuditConfig,
    "console": SignInConfig,
}
ARRAYS: dict[str, type[BaseModel]] = {
    "routes": Route,
    "silences": Silence,
    "mute_times": MuteTime,
    "inhibitions": Inhibition,
    "actions": ActionConfig,
    "access": AccessConfig,
    "escalation": Escalation,
    "waivers": Waiver,
}


def test_the_example_loads_as_it_is_and_with_everything_switched_on() -> None:
    config = load(EXAMPLE)
    assert [sink.type for sink in config.sinks] == ["console"]
    assert {source.type for source in config.sources} == {"file", "journal", "container"}
    whole = parse(WHOLE, EXAMPLE)
    assert {source.type for source in whole.sources} == set(SOURCES)
    assert {sink.type for sink in whole.sinks} == set(SINKS)
    assert {entry.type for entry in whole.inventory} == set(MANAGERS)
    for entry in whole.inventory:  # as the process that reads it gets it
        assert type(entry).model_validate(entry.model_dump(mode="json")) == entry


def test_the_example_has_every_key() -> None:
    data = tomllib.loads(WHOLE)
    for name, model in TABLES.items():
        assert set(data[name]) == keys(model), name
    for name, model in ARRAYS.items():
        assert {key for entry in data[name] for key in entry} == keys(model), name


def test_the_defaults_in_the_example_are_the_defaults() -> None:
    data = tomllib.loads(WHOLE)
    lines = re.findall(r"(?m)^#([a-z_]+) = (.*)$", EXAMPLE.read_text(encoding="utf-8"))
    commented = {key for key, _ in lines}
    examples = {key for key, rest in lines if "default:" in rest}  # not the default, and says so

    def check(model: type[BaseModel], entry: dict[str, Any], where: str) -> None:
        for name, field in model.model_fields.items():
            key = field.alias or name
            default = field.get_default(call_default_factory=False)
            if key not in commented - examples or key not in entry or field.is_required() or default in (None, ()):
                continue
            given = model.model_validate(entry)
            assert getattr(given, name) == default, f"{where}.{key}"

    for name, model in TABLES.items():
        check(model, data[name], name)
    for route in data["routes"]:
        check(Route, route, "routes")


def test_the_configuration_page_has_every_key_in_the_section_of_its_table() -> None:
    sections = re.split(r"(?m)^## ", PAGE.read_text(encoding="utf-8"))
    for name, model in (TABLES | ARRAYS).items():
        (section,) = (text for text in sections if f"[{name}]" in text.partition("\n")[0])
        named = set(re.findall(r"`([a-z_]+)`", section))
        assert keys(model) - named == set(), f"docs/configuration.md, [{name}]"


def test_the_rules_page_has_every_key() -> None:
    named = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")))
    assert set(RuleTable.model_fields) - named == set()


def commands(path: Path) -> Iterator[list[str]]:
    """Every `monitor …` in a document: in code spans and in indented or fenced blocks."""
    text = path.read_text(encoding="utf-8")
    spans = re.findall(r"`(monitor [^`]+)`", text)
    lines = re.findall(r"(?m)^(?: {4}|\t)(?:\$ )?(?:\S*/bin/)?(monitor .*)$", text)
    for line in spans + lines:
        yield shlex.split(line.split(" >")[0].split(" |")[0], comments=True)[1:]


def structure() -> dict[tuple[str, ...], set[str]]:
    """Command words → its options."""
    found: dict[tuple[str, ...], set[str]] = {}

    for name, module in COMMANDS.items():
        for words, command in walk(typer.main.get_command(import_module(module).app), (name,)):
            found[words] = {option for param in command.params for option in param.opts + param.secondary_opts}
    return found


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_command_in_the_documents_exists_with_its_options(path: Path) -> None:
    known = structure()
    for words in commands(path):
        if not words or words[0].startswith("-"):
            continue
        depth = max((d for d in (1, 2, 3) if tuple(words[:d]) in known), default=0)
        assert depth, f"{path.name}: monitor {' '.join(words)}"
        for word in words[depth:]:
            if word.startswith("-") and len(word) > 1:
                assert word.split("=")[0] in known[tuple(words[:depth])], f"{path.name}: monitor {' '.join(words)}"


def headings(page: Path) -> set[str]:
    """As code hosts call them in links."""
    titles = re.findall(r"(?m)^#+ (.*)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_link_to_a_file_and_every_make_target_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target, heading in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text):
        if not target.startswith(("http:", "https:")):
            page = path.parent / target if target else path
            assert page.exists(), f"{path.name} links to {target}"
            assert not heading or heading in headings(page), f"{path.name} links to {target}#{heading}"
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    for target in re.findall(r"(?:`|^ {4})make ([a-z-]+)", text, re.MULTILINE):
        assert target in targets, f"{path.name}: make {target}"


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_test_that_the_documents_name_exists(path: Path) -> None:
    for file, name in re.findall(r"`((?:tests/)?[\w/]+/test_\w+\.py)::(\w+)`", path.read_text(encoding="utf-8")):
        place = ROOT / file if file.startswith("tests/") else ROOT / "tests/monitor" / file
        assert re.search(rf"def {name}\(", place.read_text(encoding="utf-8")), f"{path.name}: {file}::{name}"


def test_the_changelog_is_a_list_of_capabilities() -> None:
    """A line each; how they came is in the history of git."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 3000


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Lines by their number, but for code, whose lines are as they are."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith("    "):
            yield number, line


@pytest.mark.parametrize("path", sorted({*DOCS, *PAGES}), ids=lambda path: path.name)
def test_a_page_can_be_read(path: Path) -> None:
    """Also in a terminal of 120 columns, and a table also on a telephone."""
    for number, line in prose(path.read_text(encoding="utf-8")):
        if line.lstrip().startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)
            assert max(len(cell.strip()) for cell in cells) <= 200, f"{path.name}:{number}: a cell is too long"
        else:
            assert len(line) <= 120, f"{path.name}:{number}: the line is too long"


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_what_belongs_to_an_item_of_a_list_is_indented_as_the_site_wants_it(path: Path) -> None:
    """Four spaces before what follows an empty line, and code in fences: all who render Markdown agree on these."""
    text = re.sub(r"(?ms)^( *)```.*?^\1```$", "", path.read_text(encoding="utf-8"))
    assert re.findall(r"(?m)^\n( {1,3}\S.*)", text) == []
    assert re.findall(r"(?m)^(?:[-*]|\d+\.) .*\n(?: +.*\n)*\n {4}(?: {2,}\S.*|.*\n(?:\d+\.|[-*]) .*)", text) == []


def test_the_site_has_what_its_pages_link_to() -> None:
    """Or `make site` finds links that lead nowhere."""
    found = re.search(r"addprefix \$\(CURDIR\)/,(.*)\) var/site/pages$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found
    for path in DOCS:
        for target in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
            if not target.startswith(("http:", "https:")):
                place = (path.parent / target).resolve().relative_to(ROOT)
                assert place.parts[0] in (*found[1].split(), "benchmarks"), f"{path.name} links to {target}"


def test_the_site_has_every_page() -> None:
    """And no other."""
    named = set(re.findall(r"(?m)^ +- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    assert named - {str(path.relative_to(ROOT)) for path in (ROOT / "benchmarks").glob("*.md")} == {
        str(path.relative_to(ROOT)) for path in {*DOCS, *PAGES} if path.name != "all-rules.md"
    }


def test_all_pages_together_can_be_read_in_an_afternoon() -> None:
    """Where a page grows another one says less."""
    assert sum(len(path.read_text(encoding="utf-8").split()) for path in PAGES) <= 55_000


def test_the_configuration_in_the_readme_is_one() -> None:
    (shown,) = re.findall(r"(?ms)^```toml\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(shown.splitlines()) == 10
    config = parse(shown, EXAMPLE)
    assert [part.type for part in (*config.sources, *config.sinks)] == ["file", "slack"]


def test_the_page_of_commands_is_what_their_help_says() -> None:
    """After a change of a command: make docs."""
    assert LIST.read_text(encoding="utf-8") == page()


def test_the_readme_says_how_to_start() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make run" in text
    assert "make test" in text
    assert "(docs/commands.md)" in text


def test_operations_says_what_to_do_about_each_alert_of_the_monitor_itself() -> None:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    code = [path.read_text(encoding="utf-8") for path in (ROOT / "monitor").rglob("*.py")]
    titles = {title for source in code for title in re.findall(r'tell\(\s*f?"([A-Z][^"]+)"', source)}
    assert len(titles) > 5
    assert [title for title in titles if f'"{re.sub("{[^}]+}", "…", title)}"' not in text] == []


def test_the_rules_of_the_examples_exist(tmp_path: Path, forks: Forks) -> None:
    """Rule ids in `monitor sample …` of the documents."""
    ids = {words[1] for path in DOCS for words in commands(path) if words[:1] == ["sample"] and words[1] != "RULE"}
    assert ids
    texts.lend(tmp_path / ".local/state/exposure-monitor/cache")
    for rule in ids:
        done = forks.run("sample", rule, cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
        assert (done.returncode, bool(done.stdout)) == (0, True), done.stderr


def test_the_tree_names_only_what_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = text.split("## The tree")[1].split("## ")[0]
    folder = ROOT
    for line in tree.splitlines():
        if match := re.match(r"^( {4,6})(\S+?)(/?)(?: {2,}|$)", line):
            indent, name, slash = match.groups()
            path = (ROOT if len(indent) == 4 else folder) / name
            assert path.exists(), f"CONTRIBUTING.md names {name}"
            folder = path if len(indent) == 4 and slash else folder


async def test_the_documented_role_of_postgresql_suffices_for_two_hosts(postgres_server: str) -> None:
    import psycopg

    text = (ROOT / "docs" / "postgresql.md").read_text(encoding="utf-8")
    statements = re.findall(r"(?m)^    ((?:CREATE|REVOKE) .*;)$", text)
    assert len(statements) == 3
    admin = postgres_server.replace("+psycopg", "").format(database="postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)

    url = postgres_server.replace("monitor@", "exposure_monitor@", 1).format(database="exposure_monitor")
    async with await Store.open(url, node="web-1") as one, await Store.open(url, node="web-2") as two:
        await one.commit([finding("s", 1)])
        await two.commit([finding("s", 2)])
        await two.incidents.transition(fingerprint("s"), "ack", actor="anna")
        incident = await one.incidents.get(fingerprint("s"))
    assert (incident.occurrences, incident.state) == (2, "acknowledged")


def test_the_threads_page_names_every_thread_and_every_lock_of_threads() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("## Threads and locks")[1].split("\n## ")[0]
    sources = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "monitor").rglob("*.py"))}
    locks = {
        str(path.relative_to(ROOT))
        for path, code in sources.items()
        if re.search(r"threading\.(R?Lock|Condition)\(", code)
    }
    assert set(re.findall(r"`(monitor/[\w/]+\.py)`", section)) == locks
    named = re.compile(r"(?:thread_name_prefix=f?|Thread\([^)]*name=)\"([a-z-]+[a-z])")
    threads = {name for path, code in sources.items() for name in named.findall(code)}
    assert threads
    assert {name for name in threads if f"`{name}" not in section} == set()
