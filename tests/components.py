"""What each source, sink and secret manager says of itself, as sections of docs/configuration.md and pieces of
config.example.toml: `python -m tests.components`, or `make docs`.

The docstring of a `Config` is its section. A line "- `key` (default): meaning" describes a key, or several; without the
parenthesis the default is that of the field. `EXAMPLE` beside it is its piece of the example.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from monitor.common.credential import Credential
from monitor.common.duration import parse_duration
from monitor.inventory.managers import MANAGERS, load_manager
from monitor.inventory.managers.base import ManagerConfig
from monitor.sources import SOURCES, load_source
from monitor.sources.base import LogConfig, SourceConfig
from sinks import SINKS, load_sink
from sinks.base import SinkConfig

__all__ = ["CHAPTERS", "EXAMPLE", "PAGE", "Chapter", "Component", "components", "current", "keys"]

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "configuration.md"
EXAMPLE = ROOT / "config.example.toml"

Config = type[BaseModel]


class Chapter(NamedTuple):
    """`shared`: what every component has the keys of; `before`, `after`: the lines of the example around its pieces."""

    name: str
    noun: str
    table: Mapping[str, str]
    load: Callable[[str], Any]
    shared: tuple[Config, ...]
    before: str
    after: str


CHAPTERS = (
    Chapter(
        "sources", "Source", SOURCES, load_source, (SourceConfig, LogConfig), "# Where to look -", "# Where to tell -"
    ),
    Chapter("sinks", "Sink", SINKS, load_sink, (SinkConfig,), "# Where to tell -", "# Who is told what -"),
    Chapter(
        "inventory", "Manager", MANAGERS, load_manager, (ManagerConfig,), "# Our own secrets", "# What `monitor audit`"
    ),
)


class Item(NamedTuple):
    """Keys that one line of a docstring describes. `default`: in words; empty: that of the fields."""

    keys: tuple[str, ...]
    default: str
    meaning: str


_ITEM = re.compile(r"- (?P<keys>`\w+`(?:, `\w+`)*)(?: \((?P<default>.+?)\))?: (?P<meaning>.+)")


@dataclass(frozen=True)
class Described:
    """A docstring: the text before its keys, these, and the text behind."""

    before: str
    items: tuple[Item, ...]
    behind: str

    @classmethod
    def of(cls, model: Config) -> Described:
        lines = inspect.cleandoc(vars(model).get("__doc__") or "").splitlines()
        numbers = [number for number, line in enumerate(lines) if _ITEM.match(line)]
        if not numbers:
            return cls("\n".join(lines), (), "")
        end = numbers[-1] + 1
        while end < len(lines) and lines[end].startswith("  "):
            end += 1
        text = re.sub(r"\n {2,}", " ", "\n".join(lines[numbers[0] : end]))
        return cls("\n".join(lines[: numbers[0]]).strip(), tuple(_items(text)), "\n".join(lines[end:]).strip())


def _items(text: str) -> Iterator[Item]:
    for line in text.splitlines():
        if match := _ITEM.fullmatch(line):
            yield Item(tuple(re.findall(r"\w+", match["keys"])), match["default"] or "", match["meaning"])


def keys(model: Config) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def _written(field: FieldInfo) -> str:
    """A default as the file would have it."""
    value = field.get_default(call_default_factory=True)
    if field.is_required():
        return "required"
    if value is None or isinstance(value, Credential):
        return "none"
    if isinstance(value, float) and any(getattr(part, "func", None) is parse_duration for part in field.metadata):
        size, unit = next((size, unit) for unit, size in UNITS.items() if value % size == 0)
        return f'`"{value / size:.0f}{unit}"`'
    return f"`{json.dumps(value, default=str, ensure_ascii=False)}`"


UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class Component(NamedTuple):
    chapter: Chapter
    type: str
    config: Config

    @property
    def example(self) -> str:
        return str(getattr(sys.modules[self.config.__module__], "EXAMPLE", "")).strip("\n")

    @property
    def _models(self) -> list[Config]:
        """Its own Config and those that this is made of, but what the whole chapter shares."""
        return [
            model
            for model in self.config.__mro__
            if issubclass(model, BaseModel) and model not in (BaseModel, *self.chapter.shared)
        ]

    def items(self) -> list[Item]:
        """Its own words go before those of what it is made of."""
        found: list[Item] = []
        for item in (item for model in self._models for item in Described.of(model).items):
            if rest := tuple(key for key in item.keys if key not in {key for one in found for key in one.keys}):
                found.append(item._replace(keys=rest))
        return found

    @property
    def place(self) -> str:
        """As messages of tests begin."""
        return f"{self.config.__module__}, {self.chapter.noun.lower()} {self.type}"

    def entries(self) -> list[dict[str, Any]]:
        """Its tables of the example, with everything that is commented out switched on."""
        whole = re.sub(r"(?m)^#(?=[A-Za-z_\[])", "", self.example)
        tables: list[dict[str, Any]] = tomllib.loads(whole).get(self.chapter.name, [])
        return tables

    def keys(self) -> set[str]:
        """Its own, beside what others of its chapter have as well."""
        shared = (keys(model) for model in self.chapter.shared if issubclass(self.config, model))
        return keys(self.config).difference(*shared)

    def undescribed(self) -> set[str]:
        return self.keys() - {key for item in self.items() for key in item.keys}

    def unknown(self) -> set[str]:
        return {key for item in self.items() for key in item.keys} - keys(self.config)

    def section(self) -> str:
        text = Described.of(self.config)
        return "\n\n".join(
            part
            for part in (
                f"### {self.chapter.noun} `{self.type}`",
                text.before,
                table(self.config, self.items()),
                text.behind,
            )
            if part
        )


def table(model: Config, items: Iterable[Item]) -> str:
    rows = [f"| {_code(item.keys)} | {item.default or _defaults(model, item)} | {item.meaning} |" for item in items]
    return "\n".join(["| key | default | meaning |", "| --- | --- | --- |", *rows]) if rows else ""


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _defaults(model: Config, item: Item) -> str:
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    return ", ".join(dict.fromkeys(_written(fields[key]) for key in item.keys if key in fields))


def components() -> Iterator[Component]:
    for chapter in CHAPTERS:
        for kind in chapter.table:
            yield Component(chapter, kind, chapter.load(kind).Config)


def _ordered(chapter: Chapter, there: Sequence[str], *, whole: bool) -> list[Component]:
    """In the order they have; new ones behind, where it is to be `whole`."""
    order = [*(kind for kind in dict.fromkeys(there) if kind in chapter.table), *(chapter.table if whole else ())]
    return [Component(chapter, kind, chapter.load(kind).Config) for kind in dict.fromkeys(order)]


def page(text: str, *, whole: bool) -> str:
    """The configuration page with the sections as components have them now."""
    for chapter in CHAPTERS:
        opening, closing = f"<!-- {chapter.name} -->\n\n", f"\n\n<!-- /{chapter.name} -->"
        before, _, rest = text.partition(opening)
        present, _, behind = rest.partition(closing)
        there = re.findall(rf"(?m)^### {chapter.noun} `([\w-]+)`$", present)
        shared = [_shared(model) for model in chapter.shared]
        sections = [component.section() for component in _ordered(chapter, there, whole=whole)]
        text = before + opening + "\n\n".join([*shared, *sections]) + closing + behind
    return text


def _shared(model: Config) -> str:
    text = Described.of(model)
    return "\n\n".join(part for part in (text.before, table(model, text.items), text.behind) if part)


def example(text: str, *, whole: bool) -> str:
    """The example configuration with the pieces as components have them now."""
    for chapter in CHAPTERS:
        start = text.index("\n\n", text.index(f"\n{chapter.before}")) + 2
        end = text.index(f"\n\n{chapter.after}")
        there = re.findall(r'(?m)^#?type = "([\w-]+)"', text[start:end])
        pieces = [component.example for component in _ordered(chapter, there, whole=whole)]
        text = text[:start] + "\n\n".join(pieces) + text[end:]
    return text


def current(*, whole: bool) -> dict[Path, str]:
    """What both files should say. `whole`: also of components that they do not have yet, as at a release."""
    return {
        PAGE: page(PAGE.read_text(encoding="utf-8"), whole=whole),
        EXAMPLE: example(EXAMPLE.read_text(encoding="utf-8"), whole=whole),
    }


if __name__ == "__main__":
    for path, text in current(whole=True).items():
        path.write_text(text, encoding="utf-8")
