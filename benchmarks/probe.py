"""Recall and false alarms on text that no rule was written from: `probe.txt`, templates by class of syntax.

python -m benchmarks.probe [--second | --third | --fourth | --fifth | --sixth | --seventh | --eighth | --ninth | --tenth
                           | --eleventh | --twelfth | --negatives | --vendors] [--misses] [--sealed]
python -m benchmarks.probe --values

`--second` to `--twelfth` take `probe-second.txt` and so on, each written when the rules had been made to suit
those before it; `--negatives` takes `probe-fourth-negatives.txt`, which holds no secret; `--vendors` takes
`probe-vendors.txt`, a format of each issuer.

Half of the templates, chosen by a digest of their text, is sealed: it is measured with `--sealed` only, and its misses are
never listed, so that no rule is written to suit it. Each template is expanded with several seeds, and is looked at bare
and inside each form that a log gives it.

`--values` asks another thing of the open halves: where a value of letters and digits is found, how often is one that people
or programs make in another way.
"""

from __future__ import annotations

import hashlib
import random
import re
import string
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detectors.author.check import FORMS
from detectors.match.engine import Engine, Worker
from detectors.rules.load import load_rules
from detectors.rules.template import expand

__all__ = ["Case", "Score", "cases", "main", "measure", "values"]

SEEDS = {True: 3, False: 4}  # by whether there is a secret in it
FIRST, SECOND, THIRD, FOURTH = "probe.txt", "probe-second.txt", "probe-third.txt", "probe-fourth.txt"
FIFTH, SIXTH, SEVENTH = "probe-fifth.txt", "probe-sixth.txt", "probe-seventh.txt"
EIGHTH, NINTH, TENTH = "probe-eighth.txt", "probe-ninth.txt", "probe-tenth.txt"
ELEVENTH, TWELFTH = "probe-eleventh.txt", "probe-twelfth.txt"
NEGATIVES, VENDORS = "probe-fourth-negatives.txt", "probe-vendors.txt"
PROBES = {
    "--second": SECOND,
    "--third": THIRD,
    "--fourth": FOURTH,
    "--fifth": FIFTH,
    "--sixth": SIXTH,
    "--seventh": SEVENTH,
    "--eighth": EIGHTH,
    "--ninth": NINTH,
    "--tenth": TENTH,
    "--eleventh": ELEVENTH,
    "--twelfth": TWELFTH,
    "--negatives": NEGATIVES,
    "--vendors": VENDORS,
}
_SHAPES, _SHAPE = re.compile(r"@(\w+) = (.+)"), re.compile(r"@(?:(\w+)|\((\w+)\))")
_DEPTH = 3  # of shapes in shapes
_BREAKS = str.maketrans({"¶": "\n", "⇥": "\t"})

_ALNUM, _SIGNS = string.ascii_letters + string.digits, "!@#$%^&*()_+-=[]{}|;:,.?/~"
_PASSWORD, _SECRET = re.compile(r"(?i)pass|pwd|\bpw\b|pswd"), re.compile(r"(?i)secret|token|key|cred|auth")
_WORDS = (
    "amber orchid falcon marble copper velvet harbor cactus tundra pepper ginger walnut meadow saddle lantern".split()
)
# Ways to make a value, by what `--values` calls them: of each letter here one of what it stands for, the rest as it is.
_OF: Mapping[str, Sequence[str]] = {
    "A": _ALNUM,
    "l": string.ascii_lowercase,
    "d": string.digits,
    "h": "0123456789abcdef",
    "s": _ALNUM + string.digits + _SIGNS,
    "w": _WORDS,
    "W": [word.title() for word in _WORDS],
}
WAYS: Mapping[str, str] = {
    "letters and digits, 14": "A" * 14,
    "letters in lower case, 10": "l" * 10,
    "digits, 10": "d" * 10,
    "hex digits, 32": "h" * 32,
    "letters, digits and signs, 16": "l" + "s" * 14 + "d",
    "letters, digits and signs, 24": "l" + "s" * 22 + "d",
    "two words and a number": "WWdd",
    "word, sign, year": "W#20dd",
    "words, dashes, a digit": "w-w-w-d",
    **{f"one {sign}": "AAAAA" + sign + "AAAAAA" for sign in _SIGNS},
}


def _made(way: str, rng: random.Random) -> str:
    return "".join(rng.choice(_OF[part]) if part in _OF else part for part in way)


@dataclass(frozen=True, slots=True)
class Case:
    """A template. `secret`: whether it marks one, `sealed`: whether it is of the half that no one looks at."""

    kind: str
    template: str
    secret: bool
    sealed: bool
    shapes: Mapping[str, Sequence[str]]  # by the name that stands for one of them

    def text(self, seed: int) -> str:
        """One expansion; the same for the same seed."""
        rng = random.Random(f"{seed}:{self.template}")
        template = self.template
        for _ in range(_DEPTH):
            template = _SHAPE.sub(lambda name: rng.choice(self.shapes.get(name[1] or name[2], (name[0],))), template)
        return expand(template, seed)


@dataclass
class Score:
    """Counts of texts by class: `seen`, and `told` of which something was reported."""

    seen: Counter[tuple[bool, str]] = field(default_factory=Counter)
    told: Counter[tuple[bool, str]] = field(default_factory=Counter)
    sure: int = 0  # false alarms above low confidence

    def share(self, secret: bool) -> float:
        """Of all texts with or without a secret, the share that something was reported of."""
        seen = sum(n for (kind, _), n in self.seen.items() if kind is secret)
        return sum(n for (kind, _), n in self.told.items() if kind is secret) / max(1, seen)


def cases(name: str = FIRST) -> Iterator[Case]:
    """The templates of a probe, with the shapes that stand for its `@name`s."""
    secret, kind = True, ""
    shapes: dict[str, list[str]] = {}
    for line in Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines():
        if line.startswith("=== "):
            secret, kind = line[4] == "+", line[6:]
        elif not kind and (shape := _SHAPES.fullmatch(line)):
            shapes[shape[1]] = shape[2].split("¦")
        elif kind and line:
            digest = hashlib.sha256(line.encode()).digest()
            yield Case(kind, line.translate(_BREAKS), secret, digest[0] % 2 == 1, shapes)


def found(worker: Worker, text: str, secret: str) -> list[str]:
    """Confidences of what is reported of `text`; with a `secret` only of what covers most of it."""
    data = text.encode()
    matches = worker.scan(data)
    if not secret:
        return [match.confidence for match in matches]
    whole = secret.encode()
    start = data.find(whole)
    joined = b"".join(whole.split())
    out = []
    for match in matches:
        value = b"".join(match.secret.replace(rb"\n", b"").split())  # of a key in lines, however a log breaks them
        held = value in joined and len(value) * 5 >= len(joined) * 4
        common = min(match.end, start + len(whole)) - max(match.start, start) if start >= 0 else 0
        if held or joined in value or common * 5 >= len(whole) * 4:
            out.append(match.confidence)
    return out


def measure(worker: Worker, sealed: bool, wrapped: bool, misses: list[str] | None = None, probe: str = FIRST) -> Score:
    """Score of the open or the sealed half. What went wrong is added to `misses` of the open half only."""
    score = Score()
    forms = FORMS if wrapped else {"": str}
    for case in cases(probe):
        if case.sealed is not sealed:
            continue
        for seed in range(SEEDS[case.secret]):
            text = case.text(seed)
            secret = text[text.find("«") + 1 : text.find("»")] if case.secret else ""
            plain = text.replace("«", "").replace("»", "") if case.secret else text
            for form, wrap in forms.items():
                told = found(worker, wrap(plain), secret)
                score.seen[case.secret, case.kind] += 1
                score.told[case.secret, case.kind] += bool(told)
                score.sure += not case.secret and any(it != "low" for it in told)
                if misses is not None and not sealed and bool(told) is not case.secret:
                    misses.append(f"{'missed' if case.secret else 'told'} {case.kind} {form} {seed}: {text!r}")
    return score


def values(worker: Worker, before_it: re.Pattern[str], probes: Sequence[str]) -> dict[str, tuple[int, int]]:
    """By way of making a value: in how many of the open texts with this name before it one is found, and of how many.

    Only such texts count in which three of letters and digits are found.
    """
    counts = dict.fromkeys(WAYS, (0, 0))
    for case in (case for probe in probes for case in cases(probe) if case.secret and not case.sealed):
        before, _, rest = case.text(0).partition("«")
        secret, _, after = rest.partition("»")
        if len(secret) > 40 or "\n" in secret or "«" in after or not before_it.search(before[-45:]):
            continue
        rng = random.Random(case.template)

        def told(value: str, before: str = before, after: str = after) -> bool:
            return bool(found(worker, before + value + after, value))

        if all(told(_made("A" * 20, rng)) for _ in range(3)):
            for name, way in WAYS.items():
                counts[name] = counts[name][0] + told(_made(way, rng)), counts[name][1] + 1
    return counts


def main(arguments: list[str]) -> int:
    """Print the shares by class. Returns 0."""
    worker = Engine.build(load_rules()).worker()
    if "--values" in arguments:
        for what, name in (("a password", _PASSWORD), ("a secret, token or key", _SECRET)):
            print(f"behind the name of {what}")
            for way, (hits, texts) in values(worker, name, [FIRST, *PROBES.values()]).items():
                print(f"  {hits / max(1, texts):6.1%} of {texts:5} {way}")
        return 0
    sealed = "--sealed" in arguments
    misses: list[str] | None = [] if "--misses" in arguments and not sealed else None
    probe = next((PROBES[option] for option in PROBES if option in arguments), FIRST)
    print(f"{'sealed' if sealed else 'open'} half of {probe}")
    for wrapped in (False, True):
        score = measure(worker, sealed, wrapped, misses if not wrapped else None, probe)
        where = "in log lines" if wrapped else "raw"
        for (secret, kind), seen in [] if sealed else score.seen.items():
            share = score.told[secret, kind] / seen
            print(f"  {'found' if secret else 'false'} {share:6.1%} of {seen:5} {kind}, {where}")
        seen = {secret: sum(n for (kind, _), n in score.seen.items() if kind is secret) for secret in (True, False)}
        print(
            f"{where}: recall {score.share(True):.1%} of {seen[True]}, false {score.share(False):.1%} of {seen[False]}"
            f", above low confidence {score.sure / max(1, seen[False]):.1%}"
        )
    for line in misses or ():
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
