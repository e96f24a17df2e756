"""A thin slice of the campaign: its plans hold together, the oracle sees a loss, and one trial of some cells passes."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest

from tests.campaign import report
from tests.campaign.columns import COLUMNS
from tests.campaign.plan import make
from tests.campaign.rows import ROWS
from tests.campaign.script import Plan
from tests.campaign.stage import Outcome, Stage
from tests.campaign.trial import attempt, prepare, runnable, shrink

# One seed of some cells; all of them in `make campaign`.
SLICE = (
    *(("rename", "kill", 2), ("copytruncate", "stop", 3), ("gz", "kill", 5), ("symlink", "clock", 1)),
    *(("prealloc", "locked", 1), ("inode", "none", 2), ("fast", "reload", 1)),
    *(("rename", "disk", 5), ("fluent", "kill", 1)),
    ("hosts", "kill", 3),
)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path | None]:
    folder = tmp_path_factory.mktemp("campaign")
    return folder, *prepare(folder)


def test_the_grid_is_as_large_as_promised() -> None:
    assert len(ROWS) >= 12
    assert len([name for name in COLUMNS if name != "none"]) >= 8


@pytest.mark.parametrize("row", ROWS)
def test_a_plan_is_made_of_known_operations_and_issues_each_secret_once(row: str) -> None:
    for column in COLUMNS:
        for seed in range(20):
            plan = make(row, column, seed)
            assert plan == make(row, column, seed)
            assert Plan.load(plan.dump()) == plan
            numbers: list[int] = []
            for name, *arguments in plan.ops:
                assert hasattr(Stage, f"do_{name}"), name
                numbers += next((given for given in arguments if isinstance(given, list)), [])
            assert sorted(numbers) == list(range(len(numbers)))


def test_every_fault_comes_after_the_monitor_has_come_to_read() -> None:
    for row in ROWS:
        for column in COLUMNS:
            names = [name for name, *_ in make(row, column, 1).ops]
            assert names.index("settle") > names.index("start")
            for fault in ("kill", "stop", "fill", "lock", "sink", "clock", "reload", "unlink_database", "damage"):
                assert fault not in names[: names.index("settle")]


@pytest.mark.slow
@pytest.mark.parametrize(("row", "column", "seed"), SLICE)
def test_a_trial_loses_nothing_and_invents_nothing(
    warm: tuple[Path, Path, Path | None], row: str, column: str, seed: int, tmp_path: Path
) -> None:
    folder, cache, shim = warm
    _, left_out = runnable([column], shim)
    if left_out:
        pytest.skip(left_out[0])
    plan = make(row, column, seed)
    outcome = attempt(plan, folder, cache, shim)
    if outcome.failed:
        report.script(plan, outcome, tmp_path / f"{plan.name}.py")
    assert outcome.failed is None, f"{outcome.failed}; {tmp_path / plan.name}.py repeats it\n{outcome.errors}"
    assert outcome.issued == outcome.delivered + outcome.doomed + outcome.gone > 0


@pytest.fixture
def losing(warm: tuple[Path, Path, Path | None]) -> Plan:
    """A plan that destroys what cannot have been read."""
    plan = dataclasses.replace(make("rename", "none", 1), settings={"start_at": "beginning"})
    ops = [*plan.ops[:5], ["kill"], ["put", "h", [900, 901], {}], ["truncate", "logs/app.log", 0], ["start"]]
    return dataclasses.replace(plan, ops=ops)


@pytest.mark.slow
def test_the_oracle_sees_a_loss_and_what_is_written_of_it_repeats_it(
    warm: tuple[Path, Path, Path | None], losing: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cache, shim = warm
    # What merely comes late on a busy machine would count as lost, and a plan that loses nothing as a shorter one.
    monkeypatch.setattr("tests.campaign.stage.PATIENCE", 4.0)
    outcome = attempt(losing, folder, cache, shim)
    assert outcome.missing == [900, 901]
    assert outcome.failed == "2 missing"
    path = tmp_path / "repeat.py"
    report.script(losing, outcome, path)
    assert "tests.campaign" in path.read_text()
    compile(path.read_text(), path, "exec")
    shorter = shrink(losing, folder, cache, shim, 8.0)
    assert len(shorter.ops) <= len(losing.ops)
    assert ["truncate", "logs/app.log", 0] in shorter.ops


def test_the_table_says_what_came_of_it() -> None:
    good = Outcome("rename-kill-1", issued=5, delivered=5, notifications=8, repeated=2, recovery=0.5, wall=2)
    bad = dataclasses.replace(good, name="rename-kill-2", missing=[4], failed="1 missing")
    text = report.table({("rename", "kill"): [good, bad]}, 1, f"{Path(sys.executable).name} …")
    assert "| rename | 1/2 |" in text
    assert "| **all** | 2 | 10 | 1 | 0 | 0 | 0 | 0 | 25.00 % | 0 | 0.50 | 0.50 |" in text
    assert json.loads(json.dumps(dataclasses.asdict(bad)))["missing"] == [4]


def test_a_campaign_that_was_ended_goes_on(tmp_path: Path) -> None:
    journal = tmp_path / "trials.jsonl"
    assert report.played(journal) == {}
    done = [Outcome("rename-kill-1", issued=5), Outcome("rename-kill-2", missing=[4], failed="1 missing")]
    lines = [json.dumps(dataclasses.asdict(outcome)) for outcome in done]
    journal.write_text("\n".join((*lines, lines[0][:30])))
    assert report.played(journal) == {"rename-kill-1": done[0]}, "what failed is played again"


def test_the_table_goes_between_the_marks_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- campaign -->\nold\n<!-- /campaign -->\nafter\n")
    report.into(page, "new\n")
    assert page.read_text() == "before\n<!-- campaign -->\nnew\n<!-- /campaign -->\nafter\n"
    assert "<!-- campaign -->" in (Path(__file__).parents[2] / "benchmarks/campaigns.md").read_text()
