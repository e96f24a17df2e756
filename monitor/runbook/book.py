"""A runbook as data: steps with phases, deadlines and proofs, read from tables and checked. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, field_validator, model_validator

from monitor.common.duration import parse_duration
from monitor.common.problems import Problem, check, refuse, suggest
from monitor.common.table import Table
from monitor.common.text import web_address
from monitor.common.wording import stamp
from monitor.routing.match import Matcher

__all__ = [
    "PHASES",
    "Link",
    "Order",
    "Phase",
    "Proof",
    "Query",
    "Runbook",
    "RunbookStep",
    "advised",
    "fill",
    "lint",
    "merged",
    "read",
    "spoken",
]

Phase = Literal["immediate", "hour", "day"]
Order = Literal["contain", "replace"]  # revoke at once; or the new secret first, the old one last
Proof = Literal["refused", "valid", "unseen"]  # the old secret is refused, the new one works, no log shows it any more

PHASES: Mapping[Phase, str] = {
    "immediate": "Immediate: within minutes",
    "hour": "Within the hour",
    "day": "Within the day",
}

_HOLE = re.compile(r"\{(?:label:)?([A-Za-z0-9_.-]+)(?:\|([^{}|]*))?\}")
_FACT = re.compile(r"\{label:([A-Za-z0-9_.-]+)(?:\|([^{}|]*))?\}")  # in advice: other braces are its own
_SAFE = re.compile(r"[A-Za-z0-9_.:/@+=,…\[\]-]{1,200}")  # nothing that a shell or SQL takes for its own
_QUIET = 3600.0  # seconds without a sighting, where a step does not say how many
_HOLES = frozenset({"masked", "fingerprint", "id", "rule", "from", "until", "day"})


def _duration(value: object) -> float:
    return float(value) if isinstance(value, float) else parse_duration(value)


_Within = Annotated[float, BeforeValidator(_duration)]
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
_First = Annotated[str, StringConstraints(min_length=1, max_length=400)]  # holes count: 300 where they are filled
_Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]


class Link(Table):
    """A page of the vendor's, or the way through its console."""

    text: _Text
    url: str

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        refuse(
            (
                web_address(value) is None,
                "must be an http or https URL without user name, password or spaces",
            )
        )
        return value


class Query(Table):
    """What to ask an audit log. `text` has holes: `{masked}`, `{from}`, `{until}`, `{label:NAME|WORDS}`; see `fill`."""

    where: _Text
    text: _Text
    url: str | None = None

    @field_validator("text")
    @classmethod
    def _known_holes(cls, value: str) -> str:
        for hole in re.finditer(r"\{([A-Za-z0-9_.:-]+)(?:\|[^{}|]*)?\}", value):
            name = hole[1]
            if name not in _HOLES and not name.startswith("label:"):
                known = ", ".join(sorted(_HOLES))
                raise ValueError(f"{{{name}}} is no hole{suggest(name, _HOLES)}; there are {known} and label:NAME")
        return value


class Verify(Table):
    """What the world must show before the step counts as done by itself. `probe`: whose answer; None: the rule's.
    `quiet`: seconds for which no log shows the secret, where it shows `unseen`."""

    shows: Proof
    probe: _Id | None = None
    quiet: _Within | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        refuse((self.quiet is not None and self.shows != "unseen", 'quiet goes with shows = "unseen"'))
        return self

    @property
    def silence(self) -> float:
        """Seconds without a sighting; 0: it shows something else."""
        return (self.quiet or _QUIET) if self.shows == "unseen" else 0.0


class ReplaceFirst(Table):
    """What is different about a step when the new secret comes first."""

    needs: tuple[_Id, ...] | None = None
    within: _Within | None = Field(default=None, gt=0)


class Case(Table):
    """What to do first where all of `when` hold: of the incident's labels, and of `order` (contain or replace)."""

    when: Annotated[tuple[Matcher, ...], Field(min_length=1)]
    text: _First


class RunbookStep(Table):
    """One step. `within`: seconds after the run began; `needs`: steps that must be done before it; `when`: it is part
    of a run only where all these hold of the incident; `claims`: what is wrong if the secret is seen again later;
    `erases`: it takes away where the secret can still be read, and its actions are those about such a place."""

    id: _Id
    title: _Text
    phase: Phase
    within: _Within = Field(gt=0)
    actor: _Text = "responder"
    needs: tuple[_Id, ...] = ()
    when: tuple[Matcher, ...] = ()
    text: str = ""
    done_when: str = ""
    links: tuple[Link, ...] = ()
    queries: tuple[Query, ...] = ()
    claims: Literal["revoked", "unused"] | None = None
    erases: bool = False
    verify: Verify | None = None
    actions: tuple[_Id, ...] = ()
    replace_first: ReplaceFirst = ReplaceFirst()

    def needs_in(self, order: Order) -> tuple[str, ...]:
        other = self.replace_first.needs
        return other if order == "replace" and other is not None else self.needs

    def within_in(self, order: Order) -> float:
        other = self.replace_first.within
        return other if order == "replace" and other is not None else self.within


@dataclass(frozen=True, slots=True)
class Runbook:
    """What is particular to one kind of secret, or to the secrets of one issuer, and the steps."""

    name: str
    title: str
    first_step: str  # one sentence, shown in every alert
    where: str  # where it is revoked
    url: str | None = None  # the issuer's page for it, or the one that documents it
    notes: tuple[str, ...] = ()
    order: Order | None = None  # None: by rule and severity
    steps: tuple[RunbookStep, ...] = ()
    cases: tuple[Case, ...] = ()  # the first that fits goes before `first_step`

    def advice(self, facts: Mapping[str, str]) -> str:
        """What to do first about an incident with these labels and this `order`, with what is known of it filled in."""
        return advised(self._first(facts), facts)

    def instructions(self, step: RunbookStep, facts: Mapping[str, str]) -> str:
        """The text of a step, for that incident."""
        text = step.text.replace(self.first_step, self._first(facts), 1) if step.claims == "revoked" else step.text
        return advised(text, facts)

    def _first(self, facts: Mapping[str, str]) -> str:
        fits = (case.text for case in self.cases if all(matcher.matches(facts) for matcher in case.when))
        return next(fits, self.first_step)

    def step(self, id_: str) -> RunbookStep | None:
        return next((step for step in self.steps if step.id == id_), None)

    def chosen(self, labels: Mapping[str, str]) -> tuple[RunbookStep, ...]:
        """The steps that an incident with these labels (see `monitor.routing.routes.labels`) has. A step that needs
        one that is left out does not wait for it."""
        return tuple(step for step in self.steps if all(matcher.matches(labels) for matcher in step.when))

    def text(self) -> str:
        """The whole runbook as plain text."""
        lines = [self.title, "", f"First: {self.advice({})}", f"Where: {self.where}"]
        lines += [f"Link: {self.url}"] if self.url else []
        number = 0
        for phase, heading in PHASES.items():
            lines += ["", heading]
            for step in (step for step in self.steps if step.phase == phase):
                number += 1
                lines += [f"{number}. {step.title} (within {spoken(step.within)})"]
                lines += [f"   {line}" for line in self.instructions(step, {}).splitlines()]
                lines += [f"   Done when {step.done_when}."] if step.done_when else []
                lines += [f"   {link.text}: {link.url}" for link in step.links]
                for query in step.queries:
                    lines += [f"   {query.where}:", *(f"     {line}" for line in advised(query.text, {}).splitlines())]
        lines += ["", *(f"- {advised(note, {})}" for note in self.notes)]
        return "\n".join(lines).rstrip() + "\n"


class _Book(Table):
    """A runbook's file."""

    title: _Text
    first_step: _First
    where: _Text
    url: str | None = None
    notes: tuple[_Text, ...] = ()
    order: Order | None = None
    base: str | None = None
    first: tuple[Case, ...] = ()
    step: tuple[dict[str, Any], ...] = ()


def merged(base: Sequence[Mapping[str, Any]], own: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tables of steps: those of `base`, each with what `own` says otherwise about its id, then those only `own` has.

    Queries and links are added to those there are, as what holds for all secrets holds for this one.
    """
    steps = {str(step.get("id")): dict(step) for step in base}
    for step in own:
        known = steps.setdefault(str(step.get("id")), {})
        for key, value in step.items():
            known[key] = [*value, *known[key]] if key in ("links", "queries") and key in known else value
    return list(steps.values())


def read(
    name: str,
    data: Mapping[str, Any],
    base: Sequence[Mapping[str, Any]] = (),
    *,
    probes: Collection[str] | None = None,
    actions: Collection[str] | None = None,
) -> tuple[Runbook | None, list[Problem]]:
    """A runbook from its tables, with the steps of `base` below its own; or everything that is wrong with it.

    `probes`, `actions`: names there are; None: not known here.
    """
    book, problems = check(_Book, data, "")
    own = data.get("step", ())
    own = [step for step in own if isinstance(step, dict)] if isinstance(own, list | tuple) else []
    places = {str(step.get("id")): f"step[{number}]" for number, step in enumerate(own)}
    steps = []
    for table in merged(base, own):
        where = places.get(str(table.get("id")), f"{data.get('base') or 'base'}.{table.get('id')}")
        step, wrong = check(RunbookStep, table, where)
        problems += wrong
        if step is not None:
            steps.append(step)
    problems = problems or _twice(own) or lint(steps, places, probes, actions)
    if book is None or problems:
        return None, problems
    first = _with_advice(steps, book.first_step, book.where, book.url)
    said = (book.title, book.first_step, book.where, book.url, book.notes, book.order)
    return Runbook(name, *said, first, book.first), []


def _twice(own: Sequence[Mapping[str, Any]]) -> list[Problem]:
    seen: dict[Any, int] = {}
    problems = []
    for number, step in enumerate(own):
        if (id_ := str(step.get("id"))) in seen:
            problems.append(
                Problem(f"step[{number}].id", f"is already the id of step[{seen[id_]}]; ids must be unique")
            )
        seen.setdefault(id_, number)
    return problems


def _with_advice(steps: Sequence[RunbookStep], first: str, where: str, url: str | None) -> tuple[RunbookStep, ...]:
    """The step that revokes says what alerts say first, and where."""
    links = (Link(text=where[:200], url=url),) if url and web_address(url) else ()
    return tuple(
        step.model_copy(update={"text": f"{first}\n{step.text}".strip(), "links": (*links, *step.links)})
        if step.claims == "revoked"
        else step
        for step in steps
    )


def lint(
    steps: Sequence[RunbookStep],
    places: Mapping[str, str],
    probes: Collection[str] | None = None,
    actions: Collection[str] | None = None,
) -> list[Problem]:
    """What is wrong between steps: what does not exist, and what waits for itself. `places`: id → key path.

    `probes`, `actions`: names there are; None: not known here.
    """
    known = [step.id for step in steps]
    problems = []
    for step in steps:
        where = places.get(step.id, step.id)
        asked = ((f"{where}.needs", step.needs), (f"{where}.replace_first.needs", step.replace_first.needs or ()))
        for key, needs in asked:
            problems += [
                Problem(
                    f"{key}[{at}]", f"there is no step of this id{suggest(need, known)}; there are {', '.join(known)}"
                )
                for at, need in enumerate(needs)
                if need not in known
            ]
        if probes is not None and step.verify and step.verify.probe and step.verify.probe not in probes:
            message = f"there is no probe of this name{suggest(step.verify.probe, probes)}"
            problems.append(Problem(f"{where}.verify.probe", message))
        for at, action in enumerate(step.actions if actions is not None else ()):
            if actions is not None and action not in actions:
                problems.append(
                    Problem(f"{where}.actions[{at}]", f"there is no action of this name{suggest(action, actions)}")
                )
    orders: tuple[Order, ...] = ("contain", "replace")
    for order in orders:
        if circle := _circle({step.id: step.needs_in(order) for step in steps}):
            key = "needs" if order == "contain" else "replace_first.needs"
            where = places.get(circle[0], circle[0])
            problems.append(Problem(f"{where}.{key}", f"steps wait for each other in a circle: {' → '.join(circle)}"))
            break
    return problems


def _circle(needs: Mapping[str, Sequence[str]]) -> list[str]:
    done: set[str] = set()

    def walk(id_: str, way: list[str]) -> list[str]:
        if id_ in way:
            return [*way[way.index(id_) :], id_]
        if id_ in done:
            return []
        found = next((loop for need in needs.get(id_, ()) if (loop := walk(need, [*way, id_]))), [])
        done.add(id_)
        return found

    return next((loop for id_ in needs if (loop := walk(id_, []))), [])


def fill(query: Query, facts: Mapping[str, str], start: float, end: float) -> str:
    """The query with its holes filled; one that nothing fits, or only what a shell would take apart, becomes the words
    behind its bar, or `<name>`. `start`, `end`: the exposure window, seconds since the epoch."""
    moments = {"from": stamp(start), "until": stamp(end), "day": stamp(start)[:10]}

    def put(hole: re.Match[str]) -> str:
        value = moments.get(hole[1]) or facts.get(hole[1], "")
        return value if _SAFE.fullmatch(value) else hole[2] or f"<{hole[1]}>"

    return _HOLE.sub(put, query.text)


def advised(text: str, facts: Mapping[str, str]) -> str:
    """Advice with the labels of its incident: `{label:NAME|WORDS}` becomes the label, or WORDS where it has none."""

    def put(hole: re.Match[str]) -> str:
        value = facts.get(hole[1], "")
        return value if _SAFE.fullmatch(value) else hole[2] or hole[1]

    return _FACT.sub(put, text)


def spoken(seconds: float) -> str:
    """A duration in words, such as "2 hours"."""
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= unit and seconds % unit == 0:
            count = int(seconds // unit)
            return f"{count} {name}{'s' if count > 1 else ''}"
    return f"{seconds:g} seconds"
