from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from monitor.sources import cloudtrail
from monitor.sources.cloudtrail import CloudTrailConfig, CloudTrailSource
from tests.fakes.intake import FakeIntake
from tests.fakes.moto import Aws, aws
from tests.fakes.peer import Way

BEGIN = datetime(2026, 11, 26, 12, tzinfo=UTC)
REGION = "AWSLogs/123456789012/CloudTrail/eu-west-1"


@asynccontextmanager
async def way_in(folder: Path) -> AsyncIterator[Way]:
    async def feed(lines: Sequence[str]) -> None:
        now = datetime.now(UTC)
        records = [
            {
                "eventID": f"{number}",
                "eventTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "eventSource": "secretsmanager.amazonaws.com",
                "eventName": "GetSecretValue",
                "userAgent": line,
                "requestParameters": {"secretId": line},
            }
            for number, line in enumerate(lines)
        ]
        (folder / "new").write_bytes(gzip.compress(json.dumps({"Records": records}).encode()))
        (folder / "new").rename(folder / f"123456789012_CloudTrail_eu-west-1_{now:%Y%m%dT%H%MZ}_AbCdEf.json.gz")

    yield Way({"path": [str(folder)], "start_at": "beginning", "interval": "1s"}, feed)


def name(minutes: int, tail: str = "AbCd", region: str = REGION) -> str:
    at = BEGIN + timedelta(minutes=minutes)
    account, place = region.split("/")[1], region.rpartition("/")[2]
    return f"{region}/{at:%Y/%m/%d}/{account}_CloudTrail_{place}_{at:%Y%m%dT%H%MZ}_{tail}.json.gz"


def packed(*marks: int) -> bytes:
    records = [{"eventID": f"<{mark}>", "pad": "x" * 1000} for mark in marks]
    return gzip.compress(json.dumps({"Records": records}).encode())


def put(root: Path, name: str, data: bytes) -> str:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return name


def made_due(intake: FakeIntake, tail: str = "", since: float = 0) -> None:
    """What was left is tried at the next look, as if it were `since` seconds from now that it was first."""
    for state in intake.saved.values():
        for left, tries in state.get("left", {}).items():
            tries[:] = [tries[0] + (since if tail and left.endswith(tail) else 0), 0]


async def look(intake: FakeIntake, place: Path, **changes: Any) -> list[int]:
    """One round of a source that was just started; the marks of the records that it read, in order."""
    given = {"name": "trail", "type": "cloudtrail", "path": [str(place)], "start_at": "beginning", **changes}
    intake.found.clear()
    await CloudTrailSource(CloudTrailConfig.model_validate(given), intake, b"k").run(once=True)
    return [seen.mark for seen in intake.found.values()]


@pytest.fixture
def intake() -> FakeIntake:
    return FakeIntake()


async def test_each_file_is_read_once_in_the_order_of_its_moment(intake: FakeIntake, tmp_path: Path) -> None:
    put(tmp_path, name(5), packed(3))
    put(tmp_path, name(0), packed(1, 2))
    put(tmp_path, name(0, region="AWSLogs/1/CloudTrail/us-east-1"), packed(4))
    put(tmp_path, f"{REGION}/2026/11/26/notes.txt", b"not one")
    assert sorted(await look(intake, tmp_path)) == [1, 2, 3, 4]
    assert await look(intake, tmp_path) == []
    put(tmp_path, name(10), packed(5))
    put(tmp_path, name(0, "aaaa"), packed(6))  # came later than its name says
    put(tmp_path, name(24 * 60), packed(7))  # the next day
    assert await look(intake, tmp_path) == [6, 5, 7]
    assert await look(intake, tmp_path) == []
    assert intake.lost == []
    states = {folder: state for folder, state in intake.saved.items() if folder}
    assert len(states) == 2
    assert all(len(state["seen"]) == 1 for state in states.values())  # what is older than hours is not remembered


async def test_what_is_there_at_the_first_start_is_left_alone_unless_asked_for(
    intake: FakeIntake, tmp_path: Path
) -> None:
    put(tmp_path, name(0), packed(1))
    assert await look(intake, tmp_path, start_at="end") == []
    put(tmp_path, name(0, "later"), packed(2))
    assert await look(intake, tmp_path, start_at="end") == [2]


async def test_large_files_come_in_blocks_that_end_with_a_record(intake: FakeIntake, tmp_path: Path) -> None:
    put(tmp_path, name(0), packed(*range(3000)))
    assert len(await look(intake, tmp_path)) == 3000
    assert len(intake.blocks) == 3
    assert all(length <= 1 << 20 for _, length, _, _ in intake.blocks)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not packed",
        b"\x1f\x8bgarbage",
        packed(1)[:-20],
        gzip.compress(b"[" * 10_000),
        gzip.compress(b'{"Records": 7}'),
        gzip.compress(b"[]"),
        gzip.compress(b'{"Records": ' + b"[" * 100_000),
    ],
    ids=["empty", "not packed", "garbage", "cut", "deep", "a number", "a list", "deep inside"],
)
async def test_a_damaged_file_is_told_and_passed_over(intake: FakeIntake, tmp_path: Path, data: bytes) -> None:
    put(tmp_path, name(0), data)
    put(tmp_path, name(1), packed(2))
    assert await look(intake, tmp_path) == [2]
    assert [(reason, path) for reason, _, path in intake.lost] == [("damaged", str(tmp_path / name(0)))]
    assert await look(intake, tmp_path) == []


async def test_a_folder_that_is_not_there_is_told_and_looked_for_again(intake: FakeIntake, tmp_path: Path) -> None:
    assert await look(intake, tmp_path / "later") == []
    assert "there is no such folder" in intake.problems["files"]
    put(tmp_path / "later", name(0), packed(1))
    assert await look(intake, tmp_path / "later") == [1]
    assert intake.problems == {}


def lock(root: Path, name: str) -> None:
    """A link to nothing in place of the file: nobody can read it, whoever runs the tests."""
    (root / name).unlink(missing_ok=True)
    (root / name).symlink_to(root / "nothing")


async def test_a_file_that_cannot_be_read_holds_up_no_other_and_is_tried_again(
    intake: FakeIntake, tmp_path: Path
) -> None:
    lock(tmp_path, put(tmp_path, name(0), b""))
    assert await look(intake, tmp_path) == []
    assert intake.problems["files"].startswith(f"{tmp_path / name(0)}: cannot be read (FileNotFoundError)")
    assert not any(intake.saved[folder] for folder in intake.saved if folder)  # it may be the place
    for minutes in (1, 300, 600):  # beyond the hours in which a file may be late
        put(tmp_path, name(minutes), packed(minutes))
        assert await look(intake, tmp_path) == [minutes]
        assert str(tmp_path / name(0)) in intake.problems["files"]
    (tmp_path / name(0)).unlink()
    put(tmp_path, name(0), packed(7))
    made_due(intake)
    assert await look(intake, tmp_path) == [7]
    assert intake.problems == {}
    assert not intake.lost
    assert await look(intake, tmp_path) == []


async def test_a_file_that_cannot_be_read_for_a_day_is_told_as_missed(intake: FakeIntake, tmp_path: Path) -> None:
    lock(tmp_path, put(tmp_path, name(0), b""))
    lock(tmp_path, put(tmp_path, name(2), b""))
    put(tmp_path, name(1), packed(1))
    assert await look(intake, tmp_path) == [1]
    assert "and 1 more" in intake.problems["files"]
    made_due(intake, name(0), since=-90_000)
    assert await look(intake, tmp_path) == []
    assert not intake.lost  # nothing could be read in this round
    made_due(intake)
    put(tmp_path, name(3), packed(3))
    assert await look(intake, tmp_path) == [3]
    assert intake.lost == [("unreadable", 0, str(tmp_path / name(0)))]
    assert "more" not in intake.problems["files"]


async def test_a_place_that_gives_nothing_is_tried_as_a_whole(
    intake: FakeIntake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloudtrail, "_NOTHING", 3)
    for minutes in range(5):
        lock(tmp_path, put(tmp_path, name(minutes), b""))
    assert await look(intake, tmp_path) == []
    assert intake.problems["files"] == "cannot be read (FileNotFoundError)"
    for minutes in range(5):
        (tmp_path / name(minutes)).unlink()
        put(tmp_path, name(minutes), packed(minutes))
    assert await look(intake, tmp_path) == [0, 1, 2, 3, 4]


def test_it_needs_one_place() -> None:
    for keys in ({}, {"path": ["/a"], "bucket": "trail"}):
        with pytest.raises(ValidationError, match="needs `bucket`, or `path`"):
            CloudTrailConfig.model_validate({"name": "t", "type": "cloudtrail", **keys})


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with aws(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_bucket_is_read_with_a_key_that_may_list_and_get(
    intake: FakeIntake, cloud: Aws, tmp_path: Path
) -> None:
    key = cloud.user("reader", ["s3:ListBucket", "s3:GetObject"])
    other = cloud.user("other")

    def put(marks: dict[str, int]) -> None:
        cloud._unchecked(len(marks) + 1)
        client = cloud.client("s3")
        client.create_bucket(Bucket="trail")
        for object_, mark in marks.items():
            client.put_object(Bucket="trail", Key=object_, Body=packed(mark), ContentEncoding="gzip")
        client.close()
        cloud._unchecked(0)

    def keys(pair: tuple[str, str]) -> dict[str, Any]:
        (tmp_path / "id").write_text(pair[0])
        (tmp_path / "secret").write_text(pair[1])
        names = {"access_key_id": f"file:{tmp_path / 'id'}", "secret_access_key": f"file:{tmp_path / 'secret'}"}
        return {"path": [], "bucket": "trail", "server": cloud.url, **names}

    digest = "AWSLogs/1/CloudTrail-Digest/eu-west-1/2026/11/26/1_CloudTrail-Digest_eu-west-1_20261126T1200Z_a.json.gz"
    put({name(0): 1, name(5): 2, name(0, region="AWSLogs/1/CloudTrail/us-east-1"): 3, digest: 4})
    assert sorted(await look(intake, tmp_path, **keys(key))) == [1, 2, 3]
    put({name(0, "0 &late"): 5, name(24 * 60): 6})
    assert await look(intake, tmp_path, **keys(key)) == [5, 6]
    assert await look(intake, tmp_path, **keys(key)) == []
    assert await look(intake, tmp_path, **keys(other)) == []
    assert "403" in intake.problems["files"]
    assert key[1] not in str(intake.told)
