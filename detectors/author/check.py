"""A pack checks itself: every example is found by its own rule, every counter-example by none of its name.

Both hold bare and in each form of log, with one exception. What a counter-example of several lines is known by, that
they stand one below the other, a form that makes a record of each takes away: each is by itself what the rule looks
for. There the finding has to be of low confidence, as the engine sees of neighbouring records that they are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import quote

import orjson

from detectors.match.engine import CandidateDecision, Engine, Worker
from detectors.rules.rule import Rule
from detectors.rules.template import TemplateError, expand

__all__ = ["FORMS", "TORN", "alone", "check_rules", "shadowed"]


def _records(text: str, frame: Callable[[str], str]) -> str:
    """A record a line, as log collectors write multi-line text."""
    return "".join(frame(line) + "\n" for line in text.split("\n"))


def _json(text: str) -> str:
    return orjson.dumps(text).decode()


_SYSLOG = "<14>1 2026-03-04T05:06:07.089Z web-1 app 4711 - - "
FORMS: dict[str, Callable[[str], str]] = {
    "json": lambda t: f'{{"level":"info","time":"2026-03-04T05:06:07Z","msg":{_json(t)},"pid":4711}}\n',
    "json-in-json": lambda t: (
        f'{{"log":{_json(f"""{{"level":"warn","msg":{_json(t)},"n":1}}""")},"stream":"stderr"}}\n'
    ),
    "logfmt": lambda t: f"ts=2026-03-04T05:06:07Z level=error msg={_json(t)} took=12ms\n",
    "access-log": lambda t: (
        f'10.1.2.3 - - [04/Mar/2026:05:06:07 +0000] "GET /cb?state=ok&q={quote(t, safe="")}&n=1 HTTP/1.1" '
        '200 512 "-" "curl/8.5.0"\n'
    ),
    "traceback": lambda t: (
        f'Traceback (most recent call last):\n  File "/srv/app/main.py", line 42, in run\nValueError: bad value: {t}\n'
    ),
    "docker": lambda t: _records(
        t, lambda line: f'{{"log":{_json(line + chr(10))},"stream":"stdout","time":"2026-03-04T05:06:07.089Z"}}'
    ),
    "cri": lambda t: _records(t, lambda line: f"2026-03-04T05:06:07.089012345Z stdout F {line}"),
    "syslog": lambda t: _records(t, lambda line: _SYSLOG + line),
}  # the ways a service's text reaches a log file
TORN = ("docker", "cri", "syslog")  # those of them in which each line is a record


def alone(rules: Sequence[Rule], pack: Iterable[Rule]) -> Engine:
    """An engine of these and the rules of the pack that they require: it takes milliseconds, where all take seconds."""
    ids = {rule.id for rule in rules}
    needed = {companion.rule for rule in rules for companion in rule.requires} - ids
    return Engine.build([*rules, *(rule for rule in pack if rule.id in needed)], trial=True)


def check_rules(
    engine: Engine,
    rules: Sequence[Rule] | None = None,
    seeds: Iterable[int] = (1,),
    forms: Mapping[str, Callable[[str], str]] | None = None,
) -> list[str]:
    """Problems found by expanding the examples of `rules` (default: all of the engine's) with each seed, bare or in
    each of `forms`. A problem names file, rule and the number of the template; never the expanded text.
    """
    worker = engine.worker()
    problems: list[str] = []
    for rule in engine.rules if rules is None else rules:
        for kind, templates in (("examples", rule.examples), ("negative_examples", rule.negative_examples)):
            for number, template in enumerate(templates, 1):
                for form, wrap in (forms or {"": str}).items():
                    torn = form in TORN
                    problem = _try(worker, rule, kind=kind, template=template, seeds=seeds, wrap=wrap, torn=torn)
                    if problem:
                        where = f"{rule.source}: {rule.id}: {kind} {number}"
                        problems.append(f"{where}{f' in {form}' if form else ''}: {problem}")
    return problems


def _try(
    worker: Worker,
    rule: Rule,
    *,
    kind: str,
    template: str,
    seeds: Iterable[int],
    wrap: Callable[[str], str],
    torn: bool,
) -> str | None:
    for seed in seeds:
        try:
            text = expand(template, seed)
        except TemplateError as error:
            return str(error)
        data = wrap(text).encode()
        told = {match.confidence for match in worker.scan(data) if match.rule.id == rule.id}
        # Reasons take as long again as the search, so they are asked for where there is something to explain.
        if kind == "examples" and not told and not _found(rule, decisions := worker.explain(data)):
            return f"not found (seed {seed}): {_why(rule, decisions)}"
        quietly = torn and "\n" in text.strip("\n") and told == {"low"}
        if kind == "negative_examples" and told and not quietly:
            return f"found, and should not be (seed {seed})"
    return None


def shadowed(engine: Engine, rules: Sequence[Rule]) -> list[str]:
    """Of a user's `rules` those whose example another rule reports, each as `file: rule (winner)`."""
    worker = engine.worker()
    notes = []
    for rule in rules:
        for template in rule.examples:
            decisions = worker.explain(expand(template, 1).encode())
            if not any(d.accepted and d.rule.id == rule.id for d in decisions):
                winners = sorted({d.rule.id for d in decisions if d.accepted})
                notes.append(f"{rule.source}: {rule.id} ({', '.join(winners)})")
                break
    return notes


def _found(rule: Rule, decisions: Sequence[CandidateDecision]) -> bool:
    """Reported by the rule itself, or by one that is meant to win over it on that span.

    A user's rule may lose to any: the secret is found, which is what counts. A shipped one may lose to none by chance.
    """
    winners = [d for d in decisions if d.accepted]
    own = rule.family == "custom"
    return any(
        d.accepted
        or (
            d.stage == "overlap"
            and any((own or w.rule.priority > rule.priority) and w.start < d.end and d.start < w.end for w in winners)
        )
        for d in decisions
        if d.rule.id == rule.id
    )


def _why(rule: Rule, decisions: Sequence[CandidateDecision]) -> str:
    own = [d for d in decisions if d.rule.id == rule.id]
    if own:
        last = own[-1]
        text = f"rejected by {last.stage}: {last.reason}"
        if last.stage == "overlap":
            text += f" ({', '.join(d.rule.id for d in decisions if d.accepted)})"
        return text
    return "the trigger is not in it"
