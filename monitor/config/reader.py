"""Validates a parsed file table by table, and collects everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from monitor.common.problems import Problem, check, short, suggest

if TYPE_CHECKING:
    from sinks.base import SinkConfig

__all__ = ["TableReader"]

_M = TypeVar("_M", bound=BaseModel)


class TableReader:
    """`stubs`: the sinks that are wrong but for `name` and `type`, unchecked."""

    def __init__(self, data: Mapping[str, Any], folder: Path) -> None:
        self.data = data
        self.context = {"folder": str(folder)}  # for validators that make relative paths absolute
        self.problems: list[Problem] = []
        self.stubs: list[SinkConfig] = []

    def report(self, key: str, message: str) -> None:
        self.problems.append(Problem(key, message))

    def table(self, name: str, model: type[_M]) -> _M:
        """One `[name]` table; its defaults when it is absent or wrong."""
        value = self.data.get(name, {})
        if not isinstance(value, dict):
            self.report(name, f"must be a table: [{name}]")
            return model()
        return self._validate(model, value, name) or model()

    def tables(self, name: str, model: type[_M]) -> tuple[_M, ...]:
        """Those of a `[[name]]` array that are right. Where they have names these must differ."""
        rows = self._distinct(name) if "name" in model.model_fields else self._rows(name)
        models = (self._validate(model, item, path, _who(name, item)) for path, item in rows)
        return tuple(table for table in models if table is not None)

    def components(self, name: str, known: Mapping[str, str], load: Callable[[str], Any]) -> tuple[Any, ...]:
        """Sources, sinks or managers: the `type` names the class whose `Config` checks the rest."""
        right = []
        for path, item in self._distinct(name):
            model = self._model(name, item, path, known, load)
            config = model and self._validate(model, item, path, _who(name, item))
            if config is not None:
                right.append(config)
            elif model and name == "sinks" and not any(problem.key == f"{path}.name" for problem in self.problems):
                given = {key: item[key] for key in model.model_fields if key in item}
                self.stubs.append(model.model_construct(**given))
        return tuple(right)

    def _model(
        self, name: str, item: Mapping[str, Any], path: str, known: Mapping[str, str], load: Callable[[str], Any]
    ) -> Any:
        kind = item.get("type")
        try:
            if isinstance(kind, str):
                return load(kind).Config
            message = f"{'missing' if kind is None else 'must be a string'}; known types: {', '.join(known)}"
        except ValueError as error:
            message = str(error)
        self.report(f"{path}.type", f"{_who(name, item)}{message}")
        return None

    def _rows(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The tables of a `[[name]]` array, each with its key path."""
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

    def _distinct(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """`_rows`; two of one name are reported."""
        seen: dict[str, str] = {}
        for path, item in self._rows(name):
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

    def unknown(self, known: Mapping[str, Any]) -> None:
        """Tables that there are not."""
        for name in self.data:
            if name not in known:
                self.report(name, f"unknown table{suggest(name, known)}")


def _who(table: str, item: Mapping[str, Any]) -> str:
    """`source "services": ` when the table has a name, to find it without counting."""
    name = item.get("name")
    kind = table if table == "access" else table.removesuffix("s").replace("_", " ")
    return f'{kind} "{short(name)}": ' if isinstance(name, str) and name else ""
