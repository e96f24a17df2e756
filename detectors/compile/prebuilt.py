"""`python -m detectors.compile.prebuilt [FOLDER]`: the shipped rules, read and compiled before a monitor starts.

It makes what `cache.SHIPPED` holds: a wheel brings it along, `make run` makes it in a checkout. Of other rules, another
version of the library or of Python, or for another processor it is not taken, and the first start compiles.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from detectors import cache
from detectors.compile import plan
from detectors.rules import snapshot
from detectors.rules.load import builtin_families, load_rules, sources

__all__ = ["make"]

_KEEP = 2  # of each: a checkout may serve two Pythons


def make(folder: Path = cache.SHIPPED) -> None:
    """All packs as one file, the default ones compiled, and what all rules share, with what finds assignments and
    without: what of that is not in `folder` yet. Raises OSError."""
    families = builtin_families()
    rules = load_rules(families)
    wanted = sources(["default"])
    default = [rule for rule in rules if rule.source in wanted]
    bodies = {
        snapshot.name(snapshot.digest(), families): partial(snapshot.dumped, rules),
        plan.name(default): partial(plan.dumped, default),
        **{plan.name((), near): partial(plan.dumped, (), near) for near in (True, False)},
    }
    missing = [name for name in bodies if cache.shipped(name, folder) is None]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
    for name in missing:
        alike = sum(name.endswith(Path(other).suffix) for other in bodies)
        body = cache.shipped(name) or bodies[name]()  # a wheel gets what the checkout has
        cache.put(folder / name, body, _KEEP * alike)


if __name__ == "__main__":
    make(*map(Path, sys.argv[1:]))
