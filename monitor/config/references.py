"""What one table of the configuration names of another: each is there, and can do what it is asked for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from monitor.common.problems import Problem, short, suggest

if TYPE_CHECKING:
    from monitor.accounts.settings import SignInConfig
    from monitor.config.tables import HttpConfig
    from monitor.rotation.settings import RotationConfig
    from monitor.routing.mute import MuteTime
    from monitor.routing.routes import Route

__all__ = ["mute_times", "rotations", "sign_in", "sinks"]


def sinks(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Names of sinks, wherever they stand. Checked against every name in the file, also of broken sinks."""
    rows = [row for row in _rows(data, "sinks") if isinstance(row, dict)]
    names = [row["name"] for row in rows if isinstance(row.get("name"), str)]
    for index, row in enumerate(rows):
        fallback, key = row.get("fallback"), f"sinks[{index}].fallback"
        if isinstance(fallback, str) and fallback == row.get("name"):
            yield Problem(key, "names the sink itself; name another one")
        elif isinstance(fallback, str) and fallback not in names:
            yield Problem(key, _no_sink(fallback, names))
    for table in ("routes", "escalation"):
        for index, row in enumerate(_rows(data, table)):
            wanted = row.get("sinks") if isinstance(row, dict) else None
            for place, name in enumerate(wanted if isinstance(wanted, list) else []):
                if isinstance(name, str) and name not in names:
                    yield Problem(f"{table}[{index}].sinks[{place}]", _no_sink(name, names))


def _rows(data: Mapping[str, Any], table: str) -> list[Any]:
    rows = data.get(table)
    return rows if isinstance(rows, list) else []


def _no_sink(name: str, names: Sequence[str]) -> str:
    known = f"; known sinks: {', '.join(map(short, names))}" if names else "; there are no [[sinks]]"
    return f'no sink is named "{short(name)}"{suggest(name, names)}{known}'


def mute_times(routes: Iterable[Route], known_times: Iterable[MuteTime]) -> Iterator[Problem]:
    """Those that routes name: each is there, and they leave a moment of the week to tell what they held back."""
    from monitor.routing.mute import muted_until

    times = {each.name: each for each in known_times}
    for index, route in enumerate(routes):
        for place, name in enumerate(route.mute):
            if name not in times:
                known = f"; there are {', '.join(times)}" if times else "; there are no [[mute_times]]"
                message = f'no mute time is named "{short(name)}"{suggest(name, times)}{known}'
                yield Problem(f"routes[{index}].mute[{place}]", message)
        if muted_until((times[name] for name in route.mute if name in times), time.time()) == float("inf"):
            message = "leaves no moment of the week, so nothing of this route would ever be told"
            yield Problem(f"routes[{index}].mute", message)


def sign_in(console: SignInConfig, http: HttpConfig) -> Iterator[Problem]:
    """An issuer sends people back to an address that it knows."""
    if console.openid is not None and http.base_url is None:
        yield Problem("console.openid", "needs http.base_url: the issuer sends people back to it")


def rotations(rotation: RotationConfig, inventory: Iterable[Any]) -> Iterator[Problem]:
    """A policy by which providers make new values needs one that may."""
    if any(getattr(entry, "rotate", None) is not None for entry in inventory):
        return
    for number, policy in enumerate(rotation.policies):
        if policy.automatic:
            message = (
                "no [[inventory]] has a table `rotate`, which says who may have new values made (docs/rotation.md)"
            )
            yield Problem(f"rotation.policies[{number}].automatic", message)
