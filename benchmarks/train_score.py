"""Train the score of detectors/match/score.py: letters of words from texts, weights from generated and labelled candidates.

python -m benchmarks.train_score letters PATH…    count the letters of words in texts (code, documentation, translations)
python -m benchmarks.train_score weights          fit the weights, and print how they do on the labelled ones
python -m benchmarks.train_score doubt            the same for what stands around (detectors/match/doubt.py)

Needs numpy. Generated candidates come from the tables below and a seed; labelled ones from `labelled.jsonl`, which holds
no text: where a candidate stands in a package, a digest of it, its features and what a person called it.
"""

from __future__ import annotations

import itertools
import math
import random
import re
import string
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from benchmarks.false_positives import files, read
from detectors.match import doubt, score
from detectors.rules.template import expand

__all__ = ["generated", "labelled", "main"]

TABLE = Path(score.__file__).with_name("score.json")
LABELLED = Path(__file__).with_name("labelled.jsonl")
HELD_BACK = ("check", "unseen")
# What rows say that nobody looks at any more, as it decided nothing.
GONE = frozenset(
    ("bare before a name", "bare, code goes on", "checked", "comment", "compared here", "goes on", "readable")
)
ALPHABET = "^" + string.ascii_lowercase
_SUFFIXES = (
    ".py",
    ".js",
    ".ts",
    ".rst",
    ".md",
    ".txt",
    ".po",
    ".properties",
    ".yml",
    ".yaml",
    ".json",
    ".xml",
    ".toml",
)
_RUN = re.compile(rb"[A-Za-z]{2,}")

_NAMES = (
    "password passwd db_password DB_PASSWORD userPassword admin_password spring.datasource.password pwd passphrase pass "
    "db_pass secret client_secret clientSecret APP_SECRET token access_token accessToken API_TOKEN auth_token api_key apiKey "
    "API_KEY private_key encryption_key signingKey access-key master_key stripeKey SECRET_KEY key credential"
).split()
_FRAMES = (
    '{n} = "{v}"', "{n} = '{v}'", '"{n}": "{v}"', "{n}={v}", "{n}: {v}", "export {n}={v}", '{n}="{v}"', "'{n}' => '{v}',",
    '<add name="{n}" value="{v}" />', '{{"user":"app","{n}":"{v}"}}', '{n}("{v}")', '{n} == "{v}"', "--{n} {v}", "--{n}={v}",
    'const {n} = "{v}";', "user=app {n}={v} host=db1", "2026-03-04T05:06:07Z INFO connect {n}={v} retry=1", "<{n}>{v}</{n}>",
    'set_{n}("{v}")', '{n}: "{v}"', "    {n}: '{v}'", '[{n}] "{v}"', '{{"level":"info","msg":"login {n}={v}"}}',
)  # fmt: skip
_RANDOM = (
    "{alnum:8} {alnum:10} {alnum:12} {alnum:16} {alnum:20} {alnum:24} {alnum:32} {alnum:40} {alnum:64} {hex:16} {hex:32} {hex:40} "
    "{hex:64} {HEX:32} {lownum:10} {lownum:16} {lownum:24} {lownum:32} {lownum:40} {upnum:16} {upnum:24} {base64:43}= {base64:40} "
    "{base64url:43} {base64url:24} {ascii:10} {ascii:14} {ascii:20} {uuid} {lower:10} {lower:14} {lower:24} {alpha:10} {alpha:16} "
    "{upper:12} {upnum:5}-{upnum:5}-{upnum:5}-{upnum:5} {hex:8}-{hex:8} {alnum:6}.{alnum:20} {alnum:5}!{alnum:4}#{digit:2} "
    "{lower:4}{digit:4} {lower:5}{digit:3}{alpha:3} {alnum:22}_{alnum:20} {alpha:4}%{alnum:5}({digit:2}"
).split()
_CHOSEN_WORDS = (
    "summer winter dragon tiger monkey kitchen orange silver thunder falcon merlin london berlin coffee hockey soccer guitar"
    " purple forest rocket banana pirate castle sunset matrix anna peter sophie jakob marie robin"
).split()
_PLAIN_WORDS = (
    "required optional invalid missing default string object number value field admin user client server basic bearer oauth "
    "digest plain none null true false disabled enabled hidden label title text input config session login email local custom "
    "remote global static dynamic internal external primary secondary provider strategy encoder handler manager service "
    "factory builder context request response header cookie storage database cluster registry account project bucket queue "
    "worker vault release production staging policy version latest stable reset update create delete refresh expired"
).split()
_SENTENCES = (
    "Enter your {w} {w}", "The {w} is {w}", "Forgot your {w}?", "{w} must be at least 8 characters", "New {w}", "Your {w} {w}:",
    "Confirm {w}", "Please provide a {w} {w}.", "Invalid {w}", "{w} does not match", "Wachtwoord {w}", "Mot de passe {w}",
    "Ihr Passwort", "Passwort eingeben", "Contrase\u00f1a {w}", "Nova senha", "Hasło {w}", "L\u00f6senord", "Heslo", "パスワード",
    "密码", "Пароль {w}", "Clave de {w}", "Nouveau mot de passe",
)  # fmt: skip
_SHAPES = (
    "{w}", "{W}", "{w}_{w}", "{w}-{w}", "{w}.{w}", "{w}{W}", "{W}{W}", "{w}{W}{W}", "{U}_{U}", "{w}:{w}", "{w}-{w}-{digit:1}",
    "{w}_{w}_{digit:2}", "{w}{digit:1}", "{w}/{w}", "{w}/{w}/{w}", "/{w}/{w}.{w}", "{w}.{w}.{w}", "{w}()", "{w}({w})", "{w}[{w}]",
    "{w}.get({w})", "{w}.{w}({w}.{w})", "self.{w}", "${w}", "{{{{ {w} }}}}", "<{w}>", "{w}-{w}-v{digit:1}", "{w}->{w}", "{digit:4}",
    "{digit:2}s", "{w}={w}", "{W}::{w}", "{w}.{w}.{W}{W}", "#{w}", ".{w}-{w}", "[{w}]", "{w}@{w}.test", "https://{w}.test/{w}",
    "{w}{W}{digit:1}", "%{w}%", "{w},{w}", "{w}|{w}", "{w}:{w}:{w}", "{w} {w}", "{w} {w} {w}", "{w}_{digit:4}", "{U}", "{w}{w}",
    "{digit:3}-{w}", "{w}.{digit:1}.{digit:2}", "{w}*", "{w}+{w}", "{w}'s {w}", "{w}{W}{W}{digit:1}", "{W}{W}{W}{W}",
)  # fmt: skip


def _filled(shape: str, rng: random.Random) -> str:
    text = re.sub(r"\{w\}", lambda _: rng.choice(_PLAIN_WORDS), shape)
    text = re.sub(r"\{W\}", lambda _: rng.choice(_PLAIN_WORDS).capitalize(), text)
    return expand(re.sub(r"\{U\}", lambda _: rng.choice(_PLAIN_WORDS).upper(), text), rng.random().hex())


def _chosen(rng: random.Random) -> str:
    """A password as people choose them: a word or two, digits, a sign."""
    word = rng.choice(_CHOSEN_WORDS)
    word = rng.choice((str.capitalize, str.lower, str.title))(word)
    end = rng.choice(
        (f"{rng.randrange(10, 9999)}", f"{rng.randrange(100)}!", f"@{rng.randrange(3000)}", f"#{rng.randrange(99)}")
    )
    if rng.random() < 0.4:
        word = word.translate(str.maketrans("aeio", "4310"))
    return rng.choice(
        (f"{word}{end}", f"{word}{rng.choice(_CHOSEN_WORDS).capitalize()}{end}", f"{word}-{end}{word[::-1]}")
    )


def _signed(value: str, frame: str, name: str) -> tuple[dict[str, float], str]:
    before, _, after = frame.replace("{n}", name).replace("{{", "{").replace("}}", "}").partition("{v}")
    return score.features(value.encode(), before.encode()[-score.BACK :], after.encode()[: score.AHEAD]), value


def generated(count: int = 12_000, seed: int = 1) -> Iterator[tuple[dict[str, float], int]]:
    """(features, 1 for a secret): random values and chosen passwords against names, phrases and code."""
    rng = random.Random(seed)
    for number in range(count):
        name, frame = rng.choice(_NAMES), rng.choice(_FRAMES)
        if number % 2:
            chosen = "pass" in name.lower() and rng.random() < 0.4
            value = _chosen(rng) if chosen else expand(rng.choice(_RANDOM), rng.random().hex())
        elif rng.random() < 0.2:
            value = _filled(rng.choice(_SENTENCES), rng)
        else:
            value = _filled(rng.choice(_SHAPES), rng)
        yield _signed(value, frame, name)[0], number % 2


def labelled() -> Iterator[dict[str, Any]]:
    """Rows of `labelled.jsonl`: package, path, offset, digest and rule of a finding, features, secret (0 or 1), part.

    Part "fit" is trained on, "check" is not; a package is in one of them. "seen", "drawn", "later", "more", "last",
    "newer", "sealed", "fresh" and "unseen" are findings of all rules, labelled where `confidence` was measured: doubt is trained on all
    parts but `HELD_BACK`. `scored`: whether its rule is; `around`: what doubt sees there.
    """
    if LABELLED.exists():
        yield from map(orjson.loads, LABELLED.read_bytes().splitlines())


def _letters(paths: Sequence[Path]) -> str:
    """Surprise of each third letter after two, in half bits, a base-36 digit each."""
    three: Counter[bytes] = Counter()
    words: Counter[bytes] = Counter()
    for path in files(paths):
        if path.suffix in _SUFFIXES:
            for run in _RUN.findall(read(path)[:200_000]):
                words.update(hump.lower() for hump in score.HUMP.findall(run))
    for word, count in words.items():
        # Once more for each doubling: what a word is used for tells less than that it is one.
        if count > 2 and 2 <= len(word) <= 24:
            weight = round(1 + math.log2(count))
            padded = b"^^" + word
            three.update({padded[i : i + 3]: weight for i in range(len(word))})
    digits = []
    for a, b in itertools.product(ALPHABET, repeat=2):
        if b == "^" and a != "^":
            continue
        prefix = (a + b).encode()
        counts = {c: three[prefix + c.encode()] for c in string.ascii_lowercase}
        whole = sum(counts.values())
        for c in string.ascii_lowercase:
            two = sum(three[(x + b + c).encode()] for x in ALPHABET) + 0.5
            below = sum(three[(x + b + y).encode()] for x in ALPHABET for y in string.ascii_lowercase) + 13
            likely = (counts[c] + 20 * two / below) / (whole + 20)
            digits.append(min(35, round(-2 * math.log2(likely))))
    return "".join(string.digits[d] if d < 10 else string.ascii_lowercase[d - 10] for d in digits)


def _fit(rows: Sequence[dict[str, float]], signs: Any, weights: Any, names: Sequence[str], simple: float = 1.0) -> Any:
    """Weights and, last, the bias of a logistic model, by Newton's method with a penalty of squares (`simple`)."""
    import numpy as np

    x = np.array([[row.get(name, 0.0) for name in names] + [1.0] for row in rows])
    w = np.zeros(x.shape[1])
    penalty = np.full(x.shape[1], simple)
    penalty[-1] = 0.01
    for _ in range(40):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        gradient = x.T @ (weights * (p - signs)) + penalty * w
        hessian = (x.T * (weights * p * (1 - p))) @ x + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        w -= step
        if np.abs(step).max() < 1e-6:
            break
    return w


def _weights(table: dict[str, Any]) -> None:
    import numpy as np

    made = list(generated())
    known = [row for row in labelled() if row["part"] == "fit" and row["scored"]]
    rows = [row for row, _ in made] + [row["features"] for row in known]
    signs = np.array([sign for _, sign in made] + [row["secret"] for row in known], dtype=float)
    # Real text counts for as much as all that is generated.
    share = len(made) / max(1, len(known))
    weights = np.array([1.0] * len(made) + [min(20.0, share)] * len(known))
    names = sorted({name for row in rows for name in row})
    fitted = _fit(rows, signs, weights, names)
    table["weights"] = {name: round(float(w), 3) for name, w in zip(names, fitted, strict=False)}
    table["bias"] = round(float(fitted[-1]), 3)


def _around(row: dict[str, Any]) -> dict[str, float]:
    """What doubt weighs of a labelled row."""
    features = {name: amount for name, amount in row["features"].items() if name != "repetitive"}
    around = {name: amount for name, amount in row["around"].items() if name not in GONE}
    return doubt.together(features, score.weighing().total(features), around, doubt.kinds(row["rule"]))


def _doubt(table: dict[str, Any]) -> None:
    """Weights of what stands around, from labelled findings of the rules that are scored; how they do on the others."""
    import numpy as np

    known = [row for row in labelled() if row["scored"] and row.get("around")]
    taught = [row for row in known if row["part"] not in HELD_BACK]
    rows = [_around(row) for row in taught]
    names = sorted({name for row in rows for name in row})
    signs = np.array([row["secret"] for row in taught], dtype=float)
    fitted = _fit(rows, signs, np.ones(len(rows)), names, simple=2.0)
    weights = {name: round(float(w), 3) for name, w in zip(names, fitted, strict=False)}
    table["doubt"] = {"bias": round(float(fitted[-1]), 3), "thresholds": [0.9, 0.55], "weights": weights}
    for name, weight in sorted(weights.items(), key=lambda it: -abs(it[1])):
        print(f"{weight:+7.2f} {name}")


def _told(table: dict[str, Any]) -> None:
    """Print the weights, and the share of secrets by confidence among labelled candidates."""
    for name, weight in sorted(table["weights"].items(), key=lambda it: -abs(it[1])):
        print(f"{weight:+7.2f} {name}")
    for part in ("fit", "check"):
        held: Counter[str] = Counter()
        whole: Counter[str] = Counter()
        for row in labelled():
            if row["part"] == part and row["scored"]:
                total = table["bias"] + sum(table["weights"].get(k, 0.0) * v for k, v in row["features"].items())
                p = 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))
                high, medium, low = table["thresholds"]
                level = "high" if p >= high else "medium" if p >= medium else "low" if p >= low else "none"
                whole[level] += 1
                held[level] += row["secret"]
        print(part, {level: f"{held[level]}/{whole[level]}" for level in ("high", "medium", "low", "none")})


def main(arguments: list[str]) -> int:
    """Write detectors/match/score.json. Returns 0, or 2 for a wrong call."""
    table = orjson.loads(TABLE.read_bytes()) if TABLE.exists() else {"thresholds": [0.9, 0.6, 0.3]}
    if arguments[:1] == ["letters"] and len(arguments) > 1:
        table["letters"] = _letters([Path(text) for text in arguments[1:]])
    elif arguments == ["weights"]:
        _weights(table)
        _told(table)
    elif arguments == ["doubt"]:
        _doubt(table)
    else:
        print(__doc__)
        return 2
    TABLE.write_bytes(orjson.dumps(table, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
