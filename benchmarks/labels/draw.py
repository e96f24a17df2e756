"""Draw the places to label from a population, and write them for reading.

python -m benchmarks.labels.draw KIND FOLDER   FOLDER/drawn.jsonl (records without labels) and FOLDER/batches/NN.txt

What is drawn depends on the seed and the population alone, never on what a text says: of each product at most `MOST`
places, from each of its files in turn, and one of those texts that differ in numbers only.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any

from benchmarks.labels.fetch import Place, places

__all__ = ["drawn", "record", "sealed", "write"]

SEED = 20261130
FEWEST, MOST = 5, 60  # places of a product; one with fewer is left out
BATCH = 500  # places of a file to read
SHORTEST = 12  # characters of a text: less is a rule of dashes, a bracket
LONGEST = 3000  # characters of a line: a place with a longer one is not read to its end by a person, so it is left out


def sealed(product: str) -> bool:
    """Whether a product is of the third that is kept for final figures."""
    return int(hashlib.sha256(product.encode()).hexdigest(), 16) % 3 == 0


def drawn(population: Iterable[Place], seed: int = SEED) -> list[Place]:
    """The places to label, their products mixed."""
    products: dict[str, dict[tuple[str, str], list[Place]]] = defaultdict(lambda: defaultdict(list))
    seen: set[tuple[str, str]] = set()
    for place in population:
        shape = place.product, re.sub(r"\d+", "0", place.text)
        fits = len(place.text.strip()) >= SHORTEST and max(map(len, place.text.split("\n"))) <= LONGEST
        if fits and shape not in seen:
            seen.add(shape)
            products[place.product][place.origin, place.path].append(place)
    chance = random.Random(seed)
    out: list[Place] = []
    for _, files in sorted(products.items()):
        turns = [chance.sample(found, min(len(found), MOST)) for _, found in sorted(files.items())]
        chance.shuffle(turns)
        mine = [place for turn in zip_longest(*turns) for place in turn if place][:MOST]
        out += mine if len(mine) >= FEWEST else []
    chance.shuffle(out)
    return out


def record(place: Place) -> dict[str, Any]:
    """A place as the file of labels has it, without any."""
    at = {"origin": place.origin, "path": place.path, "line": place.line, "lines": place.lines, "sha256": place.sha256}
    return at | {"product": place.product, "sealed": sealed(place.product), "labels": []}


def write(found: list[Place], folder: Path) -> None:
    """The records, and the texts for reading, with the same numbers from 1."""
    (folder / "batches").mkdir(parents=True, exist_ok=True)
    rows = (json.dumps(record(place), ensure_ascii=False) for place in found)
    (folder / "drawn.jsonl").write_text("".join(f"{row}\n" for row in rows), "utf-8")
    for first in range(0, len(found), BATCH):
        numbered = enumerate(found[first : first + BATCH], first + 1)
        heads = ((f"#{number} {each.product} {each.origin}:{each.path}:{each.line}", each) for number, each in numbered)
        blocks = "\n".join(f"{head}\n{place.text}\n" for head, place in heads)
        (folder / "batches" / f"{first // BATCH + 1:02}.txt").write_text(blocks, "utf-8")


if __name__ == "__main__":
    write(drawn(places(sys.argv[1])), Path(sys.argv[2]))
