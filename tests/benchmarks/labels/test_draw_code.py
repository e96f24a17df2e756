"""The draw of code is one and the same every time, spread over packages, and says what each place stands for."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from benchmarks.labels import draw_code
from benchmarks.labels.draw_code import A_FILE, A_ROOM, Population, labelled, lines_of, record, sample
from benchmarks.labels.places import ROOMS


def population(packages: int, members: int) -> Population:
    out = Population()
    for package in range(packages):
        for member in range(members):
            out.add(f"p{package}", f"conf/{member}.yaml", [f"name{n}: heather{package}{member}{n}" for n in range(30)])
    return out


def test_packages_give_places_in_turn_and_weights_say_what_they_stand_for() -> None:
    drawn = list(population(20, 10).drawn())
    assert drawn == list(population(20, 10).drawn())
    taken: dict[str, int] = {}
    files: dict[tuple[str, str], int] = {}
    for place, _, _ in drawn:
        taken[place.package] = taken.get(place.package, 0) + 1
        files[place.package, place.path] = files.get((place.package, place.path), 0) + 1
    assert len(drawn) == draw_code.QUOTAS["mixed"] // len(ROOMS)
    assert max(taken.values()) - min(taken.values()) <= 1
    assert max(files.values()) <= A_FILE
    assert sum(weight for _, _, weight in drawn) == pytest.approx(20 * 10 * 30)
    assert len(list(population(20, 10).files())) == draw_code.WHOLE_FILES // 2


def archive(texts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for path, text in texts.items():
            info = tarfile.TarInfo(f"top-1.0/{path}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    return out.getvalue()


def test_of_many_members_some_are_read() -> None:
    data = archive({f"conf/{number}.yaml": b"a: b\n" for number in range(2 * A_ROOM)} | {"a.png": b"", "src/a.py": b""})
    read = list(sample("heather", data))
    assert [share for path, _, share in read if path.startswith("conf/")] == [2.0] * A_ROOM
    assert [path for path, _, share in read if share == 1] == ["src/a.py"]


def test_a_label_is_given_with_the_text_that_was_labelled(tmp_path: Path) -> None:
    text = b"colour: heather42\r\nshape: round-7\n"
    data = archive({"conf/a.yaml": text})
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / "a.tar.gz").write_bytes(data)
    origin = {"origin": "heather", "registry": "debian", "file": "a.tar.gz", "sha256": draw_code.digest(data)}
    (tmp_path / "origins-code.jsonl").write_text(json.dumps(origin))
    found = Population()
    found.add("heather", "conf/a.yaml", lines_of(text))
    rows = [record(number, place, lines_of(text)) for number, (place, *_) in enumerate(found.drawn(), 1)]
    (tmp_path / "labels-code.jsonl").write_text("\n".join(map(json.dumps, rows)))
    told = [lines[label["line"] - 1] for label, lines in labelled(tmp_path, tmp_path)]
    assert sorted(told) == ["colour: heather42", "shape: round-7"]
    rows[0]["sha256"] = "0" * 16
    (tmp_path / "labels-code.jsonl").write_text(json.dumps(rows[0]))
    with pytest.raises(ValueError, match="not the text that was labelled"):
        list(labelled(tmp_path, tmp_path))
