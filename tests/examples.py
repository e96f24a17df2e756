"""How many examples a property is tried on: in `make campaign` ten times as many as in `make test`."""

from __future__ import annotations

import os


def examples(few: int) -> int:
    """`few`, or as many times that as the environment says."""
    return few * int(os.environ.get("EXAMPLES_TIMES", "1"))
