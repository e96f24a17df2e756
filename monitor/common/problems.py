"""Mistakes in a file that somebody wrote, each with its key path, in words that show no value of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args

from monitor.common.text import veiled

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Problem", "check", "refuse", "short", "suggest"]

_M = TypeVar("_M", bound="BaseModel")


class Problem(NamedTuple):
    """One mistake: where (`sources[1].include`, empty for the file itself) and what to do about it."""

    key: str
    message: str


def refuse(*checks: tuple[object, str]) -> None:
    """What is wrong, and what to say of it, in the order of the checks: for validators, which raise ValueError."""
    for wrong, message in checks:
        if wrong:
            raise ValueError(message)


def check(
    model: type[_M], value: Mapping[str, Any], path: str, context: Mapping[str, Any] | None = None, who: str = ""
) -> tuple[_M | None, list[Problem]]:
    """A table as `model`, or what is wrong with it. `path`: its key path; `who` goes before each message."""
    from pydantic import ValidationError  # slow to import, and only who has a file needs it

    try:
        return model.model_validate(value, context=dict(context or {})), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    problems = []
    for detail in details:
        place = detail["loc"]
        if detail["type"] == "too_short" and any(other["loc"][:-1] == place for other in details):
            continue  # pydantic counts the valid items only; the invalid ones are reported
        key = path + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
        message = _message(model, detail["type"], place, detail["msg"])
        problems.append(Problem(key.removeprefix("."), who + message))
    return None, problems


def short(text: str) -> str:
    """A name from the file as messages show it. What does not look like a name may be a secret in the wrong place."""
    return veiled(text) if re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", text) else "…"


def suggest(word: str, known: Iterable[str]) -> str:
    names = list(known)
    # `url` is short for each of them: the one that looks most like it may be the wrong one.
    longer = [name for name in names if word and name.endswith(f"_{word}")]
    close = longer or get_close_matches(word, names, n=1, cutoff=0.6)
    choice = " or ".join(f'"{short(name)}"' for name in close)
    return f"; did you mean {choice}?" if close else ""


_WORDS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "missing": "missing",
    "path_type": "must be a path, as a string",
    "string_type": "must be a string",
    "timezone_aware": "must have a time zone, such as 2026-01-02T03:04:05Z",
    "too_short": "must not be empty",
}


def _message(model: type[BaseModel], kind: str, location: tuple[int | str, ...], text: str) -> str:
    """pydantic's message in our words. `text` holds no input (hide_input_in_errors; our validators show none)."""
    if kind == "extra_forbidden":
        table = _table_at(model, location[:-1])
        fields = [entry.alias or name for name, entry in table.model_fields.items()] if table else []
        known = f"; known keys: {', '.join(fields)}" if fields else ""
        return f"unknown key{suggest(str(location[-1]), fields)}{known}"
    if kind in _WORDS:
        return _WORDS[kind]
    text = text.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return re.sub(r"^(Input|String|List|Tuple|Value) should ", "must ", text).replace("valid tuple", "list")


def _table_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model of a table inside a component, such as `app` of a GitHub source."""
    from pydantic import BaseModel

    for part in location:
        if isinstance(part, int):
            continue
        annotations = [entry.annotation for name, entry in model.model_fields.items() if part in (name, entry.alias)]
        inner = [kind for annotation in annotations for kind in (annotation, *get_args(annotation))]
        tables = [kind for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not tables:
            return None
        model = tables[0]
    return model
