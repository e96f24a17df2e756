from __future__ import annotations

import json
from pathlib import Path

from benchmarks.labels.draw import drawn, record, sealed, write
from benchmarks.labels.fetch import Place


def lines(product: str, path: str, texts: list[str]) -> list[Place]:
    return [Place("origin", path, line, 1, product, text, f"{line:016}") for line, text in enumerate(texts, 1)]


def words(count: int) -> list[str]:
    return [f"a line about {chr(97 + number // 26)}{chr(97 + number % 26)}" for number in range(count)]


def test_the_same_seed_draws_the_same_places_and_another_does_not() -> None:
    population = lines("big", "a.log", words(200)) + lines("other", "b.log", words(30))
    assert drawn(population, 1) == drawn(population, 1) != drawn(population, 2)


def test_a_product_gives_sixty_places_of_all_its_files_or_none() -> None:
    population = lines("big", "a.log", words(200)) + lines("big", "b.log", words(3)) + lines("small", "c.log", words(4))
    population += [place for file in range(3) for place in lines("files", f"{file}.log", words(26 * 26)[file::3])]
    got = drawn(population)
    assert [sum(place.product == name for place in got) for name in ("big", "files", "small")] == [60, 60, 0]
    assert [sum(place.path == f"{file}.log" for place in got) for file in range(3)] == [20, 20, 20]


def test_texts_that_differ_in_numbers_only_are_drawn_once_and_short_ones_never() -> None:
    population = lines("app", "a.log", [f"request {number} done" for number in range(50)] + ["----"] + words(5))
    assert len(drawn(population)) == 6


def test_a_third_of_the_products_is_sealed() -> None:
    assert 280 < sum(sealed(f"product-{number}") for number in range(1000)) < 386


def test_a_line_too_long_to_be_read_is_not_drawn() -> None:
    long = Place("o", "a", 9, 2, "app", "one\n" + "x" * 3001, "0" * 16)
    assert drawn([long, *lines("app", "a", words(5))], 1) == drawn(lines("app", "a", words(5)), 1) != []


def test_records_and_texts_have_the_same_numbers(tmp_path: Path) -> None:
    first, second = Place("o", "a", 7, 2, "app", "one\ntwo", "0" * 16), Place("o", "a", 9, 1, "app", "x", "1" * 16)
    write([first, second], tmp_path)
    rows = [json.loads(row) for row in (tmp_path / "drawn.jsonl").read_text().splitlines()]
    assert rows == [record(first), record(second)]
    assert (rows[0]["lines"], rows[0]["labels"], rows[0]["sealed"]) == (2, [], sealed("app"))
    shown = (tmp_path / "batches" / "01.txt").read_text()
    assert shown == "#1 app o:a:7\none\ntwo\n\n#2 app o:a:9\nx\n"
