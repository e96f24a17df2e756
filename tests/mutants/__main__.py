"""`make mutants`: are the tests as sharp as they were? Plays the mutants of the list, prints how many were caught.

`draw` makes the list anew. What `run` has done so far is in --out, and is not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tests.mutants import run
from tests.mutants.draw import draw
from tests.mutants.mutant import LIST, Mutant, read, written
from tests.mutants.tree import Tree, git


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    drawn = commands.add_parser("draw", help="write the list anew")
    drawn.add_argument("--seed", type=int, default=28)
    drawn.add_argument("--many", type=int, default=60, help="of each room: the first 40 whose code is there are played")
    drawn.add_argument("--before", help="an older commit, in which each can be made too")
    played = commands.add_parser("run", help="play it, and print a table")
    played.add_argument("--commit", default="HEAD", help="of which tree")
    played.add_argument("--out", type=Path, default=Path("var/mutants"))
    played.add_argument(
        "--like", type=Path, help="folder of another commit in --out: its map of tests, its catches first"
    )
    played.add_argument("--many", type=int, default=40, help="of each room")
    played.add_argument("--cpu", type=float, default=20.0, help="seconds of CPU for a mutant's tests")
    played.add_argument("--wall", type=float, default=180.0, help="seconds by the clock for them")
    played.add_argument("--until", type=float, default=1e12, help="time (UNIX) after which no further one is begun")
    return parser.parse_args()


def main() -> int:
    asked = _arguments()
    if asked.command == "draw":
        LIST.write_text(written(draw(asked.seed, asked.many, asked.before)), encoding="utf-8")
        return 0
    commit = git("rev-parse", "--short=12", asked.commit).strip()
    folder = (asked.out / commit).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    tree = Tree(folder, commit)
    tree.restore()
    mutants = read()
    gone = [mutant.name for mutant in mutants if not tree.has(mutant)]
    if gone:
        print("Their code is gone:", *gone, sep="\n  ")
    if asked.like is None and not (folder / "lines.jsonl").exists():
        print("Mapping which tests execute which line", flush=True)
        run.map_tests(tree, [mutant for mutant in mutants if tree.has(mutant)], folder, wall=3 * 3600)
    tests, journal = run.Tests(folder, like=asked.like), folder / "results.jsonl"
    wanted = run.chosen(mutants, tree, asked.many)
    done = _ended(journal, tree, wanted)
    for _ in range(2):  # what hung is played once more, with patience: the machine may have been busy
        left = [mutant for mutant in wanted if not _settled(done.get(mutant.name))]
        jobs = [run.job(mutant, tree, tests, asked.cpu, asked.wall) for mutant in left]
        run.play(tree, [one | {"patience": 3 if one["name"] in done else 1} for one in jobs], asked.until)
        done = _ended(journal, tree, wanted)
    for mutant in wanted:  # what it is in is called at the import, perhaps
        if done.get(mutant.name, {}).get("outcome") == "unseen" and not done[mutant.name]["alone"]:
            run.play_alone(tree, run.job(mutant, tree, tests, asked.cpu, asked.wall), asked.until)
    done = _ended(journal, tree, wanted)
    results = [done[mutant.name] for mutant in wanted if mutant.name in done]
    for result in results:
        if result["outcome"] in ("survived", "unseen"):
            print(result["outcome"], f"({result['left']} tests did not fit)" if result["left"] else "", result["name"])
    print(run.table(results))
    fail = run.doubtful(tree, results, tests)
    if fail:
        print("Fail without a mutant too; run it again, without them:", *fail, sep="\n  ")
        tests.ban(fail, folder)
        (tree.told / "played.jsonl").unlink()
        _keep(journal, {name: result for name, result in done.items() if result["by"] not in fail})
    return 1 if fail else 0


def _settled(result: dict[str, Any] | None) -> bool:
    return result is not None and (result["outcome"] != "timeout" or result["patience"] > 1)


def _ended(journal: Path, tree: Tree, wanted: list[Mutant]) -> dict[str, dict[str, Any]]:
    """Those of an earlier call, and what has been played since; also one that was broken off."""
    done = {result["name"]: result for result in run.rows(journal)}
    played = {row["name"]: row for row in run.rows(tree.told / "played.jsonl")}
    done |= {mutant.name: run.judged(mutant, played[mutant.name]) for mutant in wanted if mutant.name in played}
    _keep(journal, done)
    return done


def _keep(journal: Path, done: dict[str, dict[str, Any]]) -> None:
    journal.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in done.values()), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
