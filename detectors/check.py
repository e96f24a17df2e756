"""A pack checks itself: every example is found by its own rule, every counter-example by none of its name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from detectors.engine import Engine
from detectors.rule import Rule
from detectors.template import TemplateError, expand

__all__ = ["check_rules"]


def check_rules(engine: Engine, rules: Sequence[Rule] | None = None, seeds: Iterable[int] = (1,)) -> list[str]:
    """Problems found by expanding the examples of `rules` (default: all of the engine's) with each seed.

    Names file, rule and the template; never the expanded text.
    """
    worker = engine.worker()
    problems: list[str] = []
    for rule in engine.rules if rules is None else rules:
        for kind, templates in (("examples", rule.examples), ("negative_examples", rule.negative_examples)):
            for number, template in enumerate(templates, 1):
                where = f"{rule.source}: {rule.id}: {kind} {number}"
                for seed in seeds:
                    try:
                        text = expand(template, seed).encode()
                    except TemplateError as error:
                        problems.append(f"{where}: {error}")
                        break
                    decisions = worker.explain(text)
                    accepted = [d for d in decisions if d.accepted]
                    if kind == "examples" and not any(d.rule.id == rule.id for d in accepted):
                        problems.append(f"{where}: not found (seed {seed}): {_why(rule, decisions, accepted)}")
                        break
                    if kind == "negative_examples" and any(d.rule.id == rule.id for d in accepted):
                        problems.append(f"{where}: found, and should not be (seed {seed})")
                        break
    return problems


def _why(rule: Rule, decisions: Sequence[object], accepted: Sequence[object]) -> str:
    own = [d for d in decisions if d.rule.id == rule.id]  # type: ignore[attr-defined]
    if own:
        last = own[-1]
        text = f"rejected by {last.stage}: {last.reason}"  # type: ignore[attr-defined]
        if last.stage == "overlap" and accepted:  # type: ignore[attr-defined]
            text += f" ({accepted[0].rule.id})"  # type: ignore[attr-defined]
        return text
    return "the trigger is not in it"
