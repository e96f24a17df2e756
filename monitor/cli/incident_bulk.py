"""Which incidents a command is about: named one by one, or all that matchers fit; and whether that is meant."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.common import fail, fail_if, printable, redacted, with_store

if TYPE_CHECKING:
    from monitor.common.notification import State
    from monitor.config.config import Config
    from monitor.domain.incidents import Incident
    from monitor.routing.match import Matcher
    from monitor.store import Store

__all__ = ["MatchOption", "YesOption", "alike", "chosen", "confirm", "merging", "mistaken"]

MatchOption = Annotated[
    list[str] | None,
    typer.Option(
        "--match",
        metavar="MATCHER",
        help='All that fit, instead of ids; several must all fit. As in routes: rule="jwt", path=~"/srv/.*".',
        show_default=False,
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

MOST = 2000  # incidents at once
_SHOWN = 10


def chosen(
    settings: Config,
    refs: Sequence[str] | None,
    match: Sequence[str] | None,
    states: Sequence[State],
    *,
    yes: bool,
    verb: str,
) -> list[str]:
    """Their ids, or what was typed. With matchers it is shown what fits, and asked whether that is meant."""
    fail_if(bool(refs) == bool(match), "say which: ids, or --match with a matcher", 2)
    if refs:
        return list(refs)
    found = with_store(settings, _fitting([_parsed(settings, one) for one in match or ()], states))
    fail_if(not found, f"no incident fits that is {' or '.join(states)}")
    fail_if(len(found) > MOST, f"more than {MOST:,} fit, which is more than is done at once: add a matcher", 2)
    for line in _shown(found):
        typer.echo(line, err=True)
    confirm(f"{verb} {len(found):,} incident{'s' if len(found) > 1 else ''}?", yes=yes)
    return [one.id for one in found]


def confirm(question: str, *, yes: bool) -> None:
    """Ends the command where it is not meant, or nobody can be asked."""
    if yes:
        return
    fail_if(not sys.stdin.isatty(), f"{question} Nobody can be asked here: say --yes", 2)
    if not typer.confirm(question, err=True):
        fail("nothing was done")


def mistaken(known: Sequence[Incident]) -> str:
    """Why these cannot be meant; empty: they can."""
    ids = [one.id for one in known]
    twice = next((id_ for id_ in ids if ids.count(id_) > 1), None)
    if twice is not None:
        return (
            f"incident {twice} cannot be merged into itself" if twice == ids[0] else f"incident {twice} is named twice"
        )
    return ""


def alike(known: Sequence[Incident]) -> bool:
    """Whether nothing speaks against that they are one secret."""
    return len({(one.rule, one.masked) for one in known}) == 1


def merging(known: Sequence[Incident]) -> Iterable[str]:
    from monitor.common.wording import place

    for number, one in enumerate(known):
        where = place(one.locations[0]) if one.locations else "no place stored"
        more = f" and {one.occurrences - 1:,} more" if one.occurrences > 1 else ""
        role = "goes into it" if number else "stays"
        yield printable(f"{one.id} {role}: {one.severity} {one.name} {one.masked}, {one.state}, in {where}{more}")


def _parsed(settings: Config, text: str) -> Matcher:
    from monitor.routing.match import Matcher

    try:
        matcher = Matcher.parse(text)
        why = matcher.impossible()
    except ValueError as error:
        why = str(error)
    if why:
        fail(printable(redacted(settings, f"--match {text}: {why}")), 2)
    return matcher


def _fitting(matchers: Sequence[Matcher], states: Sequence[State]) -> Callable[[Store], Awaitable[list[Incident]]]:
    async def fitting(store: Store) -> list[Incident]:
        from monitor.domain.incidents import urgency

        found: list[Incident] = []
        offset, step, find = 0, 1000, partial(store.incidents.find, order="recent", states=states)  # along an index
        while page := await find(limit=step, offset=offset, locations=True):
            found += [one for one in page if _fits(one, matchers)]
            offset += step
            if len(page) < step or len(found) > MOST:
                break
        return sorted(found, key=urgency)

    return fitting


def _fits(incident: Incident, matchers: Sequence[Matcher]) -> bool:
    """At one of the places that are kept of it."""
    from monitor.routing.routes import labels

    places = dict.fromkeys((one.source, one.path, one.host or "", one.service or "") for one in incident.locations)
    seen = [labels(incident, *place) for place in places] or [labels(incident, "", "")]
    return any(all(matcher.matches(one) for matcher in matchers) for one in seen)


def _shown(found: Sequence[Incident]) -> Iterable[str]:
    for one in found[:_SHOWN]:
        yield f"{one.id}  {one.severity:<8}  {printable(f'{one.name}  {one.masked}')}"
    if len(found) > _SHOWN:
        yield f"and {len(found) - _SHOWN:,} more"
