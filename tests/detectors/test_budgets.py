"""What the default packs may cost, as counts: who needs more says here why. Times are in docs/performance.md."""

from __future__ import annotations

import ast
import functools
import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import hyperscan
import pytest

from benchmarks.loggen import generate
from detectors.compile import plan
from detectors.match.cost import BlockCost
from tests.detectors.texts import engine, rules

MOST = {
    "generic rules": 62,
    # Beside base64's and texts that are no text. Three tell of colours for a terminal: without them 296 of 300 rules
    # missed a value behind one (detectors/match/coloured.py). Three more tell of slashes that PHP escapes (20 of 312),
    # and all for percent-encoding see two more layers of it (207 of 312). Eleven are names of passwords in other
    # scripts, which no rule knew, and signs of full width (102 of 104 values behind them were missed).
    "expressions": 3480,
    "alignments of base64": 2289,
    "padding": 1351,  # which makes Hyperscan let fewer words through (detectors/compile/plan.py)
    "hints": 2660,
    "bytes": 4_420_000,
}
# That is of so many rules of vendors. One more may cost what a prefix or a keyword does, and all together so much.
VENDORS = 1807
A_VENDORS_RULE = {"expressions": 1, "alignments of base64": 3, "hints": 1, "bytes": 3_000}
TOGETHER = {"expressions": 3_500, "bytes": 4_500_000}
TEXT = 1 << 20
MATCH = Path(plan.__file__).parents[1] / "match"
MOST_A_MB = {"logs": {"tries": 6, "verdicts": 1}, "source": {"tries": 2260, "verdicts": 150}}
# Expressions of Python, which each start compiles and each candidate waits for. In `judging`: what says whether a value
# is a secret. RE2 and one look for many of them cost less (detectors/match/quick.py), or a feature of the score.
MOST_IN_PYTHON = {"judging": 55, "detectors.match": 115}
_JUDGING = "batch chance chosen doubt filters judge names place plain quick score weak".split()
_NAMES = (
    "user request response cache queue index parser session header config client path buffer entry value node state "
    "handler line column result items worker offset length kind folder folders record records event events"
).split() * 8
_NAMES += "token_count next_token password_field secret_name api_key key auth_mode key_id".split()  # in each tenth line
_VALUES: tuple[Callable[[random.Random], str], ...] = (
    lambda rng: str(rng.randrange(10**4)),
    lambda rng: "None",
    lambda rng: f'"{rng.choice(_NAMES)}"',
    lambda rng: f"self.{rng.choice(_NAMES)}",
    lambda rng: f"os.environ['{rng.choice(_NAMES).upper()}']",
    lambda rng: f"{rng.choice(_NAMES)}.get('{rng.choice(_NAMES)}', '{rng.choice(_NAMES)}-{rng.randrange(99)}')",
    lambda rng: f"hashlib.sha256({rng.choice(_NAMES)}.encode()).hexdigest()",
)
_LINES: tuple[Callable[[random.Random], str], ...] = (
    lambda rng: f"    {rng.choice(_NAMES)} = {_value(rng)}",
    lambda rng: f"        self.{rng.choice(_NAMES)}: str = {_value(rng)}",
    lambda rng: f"    return {rng.choice(_NAMES)}({rng.choice(_NAMES)}={_value(rng)}, {rng.choice(_NAMES)})",
    lambda rng: f"    if {rng.choice(_NAMES)} == {_value(rng)} and not {rng.choice(_NAMES)}:",
    lambda rng: f"def {rng.choice(_NAMES)}_{rng.choice(_NAMES)}({rng.choice(_NAMES)}: str, {rng.choice(_NAMES)}=None):",
    lambda rng: f"    '{rng.choice(_NAMES)}': {_value(rng)},",
    lambda rng: f"# The {rng.choice(_NAMES)} of the {rng.choice(_NAMES)} is read when it is asked for.",
    lambda rng: f'    <input type="{rng.choice(_NAMES)}" name=\'{rng.choice(_NAMES)}\' value="{rng.choice(_NAMES)}">',
    lambda rng: f"    raise ValueError(f'{rng.choice(_NAMES)}: no {rng.choice(_NAMES)} in {{{rng.choice(_NAMES)}}}')",
    lambda rng: "",
)


def _value(rng: random.Random) -> str:
    return rng.choice(_VALUES)(rng)


def source(size: int = TEXT, seed: int = 1) -> bytes:
    """Code that names credentials and holds none."""
    rng = random.Random(seed)
    lines: list[str] = []
    left = size
    while left > 0:
        lines.append(rng.choice(_LINES)(rng))
        left -= len(lines[-1]) + 1
    return "\n".join(lines).encode()


@pytest.mark.parametrize(("what", "most"), MOST_IN_PYTHON.items())
def test_what_python_matches_itself_is_bounded(what: str, most: int) -> None:
    files = [path for path in MATCH.glob("*.py") if what != "judging" or path.stem in _JUDGING]
    calls = [node for path in files for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call)]
    assert 1 < sum(ast.unparse(call.func) == "re.compile" for call in calls) <= most


def logs(folder: Path) -> bytes:
    generate(TEXT, folder / "app.log")
    return (folder / "app.log").read_bytes()


def test_the_generic_rules_are_few() -> None:
    assert sum(rule.family == "generic" for rule in rules()) <= MOST["generic rules"]


@functools.cache
def asked() -> Mapping[str, int]:
    """How many expressions Hyperscan gets, those that find base64 apart: what they cost does not show in any run."""
    made, expressions, near = plan.make(rules())
    kinds: Counter[str] = Counter(hints=len(near))
    for _, number in expressions:
        if number >= len(made.rules):
            base64 = made.codecs[number - len(made.rules)].name == "base64"
            kinds["alignments of base64" if base64 else "expressions"] += 1
        else:
            kinds["expressions" if made.rules[number] or number in made.assigned else "padding"] += 1
    (part,) = engine().parts
    kinds["bytes"] = sum(len(hyperscan.dumpb(one)) for one in (part.database, part.near))
    return kinds


@pytest.mark.parametrize("what", ["expressions", "alignments of base64", "hints", "bytes"])
def test_what_is_searched_for_is_bounded(what: str) -> None:
    more = max(0, sum(rule.family != "generic" for rule in rules()) - VENDORS)
    assert asked()[what] <= MOST[what] + more * A_VENDORS_RULE[what], asked()
    assert asked()[what] <= TOGETHER.get(what, asked()[what]), asked()
    assert asked()["padding"] <= MOST["padding"] + 1  # and the one that keeps it at every position


@pytest.mark.parametrize("kind", MOST_A_MB)
def test_what_clean_text_is_asked_beyond_the_one_scan_is_bounded(kind: str, tmp_path: Path) -> None:
    data = source() if kind == "source" else logs(tmp_path)
    work = BlockCost(len(data), None)
    engine().worker().decide(data, work)
    spent = {"tries": sum(cost.looks for cost in work.spent.values()), "verdicts": work.judged}
    a_mb = {what: count * 1e6 / len(data) for what, count in spent.items()}
    assert all(a_mb[what] <= most for what, most in MOST_A_MB[kind].items()), a_mb
