from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from detectors.match.cost import BlockCost
from detectors.match.windows import NEAR, Ends, named, thinned, windows
from tests.detectors.texts import engine, rule, worker

HEX = b"c0ffee15dead8421" * 2


def told(ends: list[int], whole: tuple[int, ...] = ()) -> list[int]:
    """What is kept of `ends` in the order in which they are told."""
    kept = Ends(whole)
    tell = kept.handler()
    for end in ends:
        tell(7, 0, end, 0, None)
    return list(kept.told()[7])


@given(st.lists(st.integers(0, 5000), min_size=70, max_size=400), st.integers(NEAR, 90), st.integers(0, 40))
def test_thinned_ends_lead_to_the_same_windows(ends: list[int], back: int, ahead: int) -> None:
    whole = windows(ends, back, ahead, 5000)
    assert windows(thinned(ends), back, ahead, 5000) == whole
    for order in (ends, sorted(ends)):
        assert windows(told(order), back, ahead, 5000) == whole
    for end in ends:
        assert any(low <= max(0, end - back) and min(5000, end + ahead) <= high for low, high in whole)


def test_ends_are_put_together_only_in_order_and_by_id() -> None:
    kept = Ends()
    tell = kept.handler(100)
    for number, end in ((1, 3), (2, 5), (1, 9), (1, 12), (2, 3), (1, 19), (1, 20), (2, 6), (2, 7)):
        tell(number, 0, end, 0, None)
    assert kept.told() == {1: [103, 119, 120], 2: [105, 103, 107]}


def test_of_a_trigger_that_matches_at_every_byte_few_ends_are_kept() -> None:
    assert len(told(list(range(100_000)))) <= 2 * 100_000 // NEAR + 2
    assert told(list(range(1000)), whole=(7,)) == list(range(1000))


def test_a_block_full_of_hits_of_a_rule_makes_no_list_of_them() -> None:
    search = worker(rule(r"(?P<secret>[A-Za-z]{20}[0-9])", trigger="[A-Za-z]{20}"))
    size = 1 << 20
    ((positions,), encoded) = search.hits(b"A" * size)[0].values(), search.hits(b"A" * size)[1]
    assert len(positions) <= 2 * size // NEAR + 2
    assert encoded == []


def test_a_run_of_one_letter_is_no_hit_at_every_byte_for_any_rule_of_the_packs() -> None:
    search, size = engine().worker(), 1 << 14
    ((part, scratch, _),) = search._parts
    for letter in range(256):
        hits = 0

        def count(*_: object) -> None:
            nonlocal hits
            hits += 1

        part.database.scan(bytes([letter]) * size, match_event_handler=count, scratch=scratch)
        assert hits < size // 64, bytes([letter])


def test_a_part_of_a_keyword_points_at_the_rules_of_which_a_keyword_stands_there_whole() -> None:
    text = b"optimized = 1\n" * 9 + b"OPTIMIZE-LY_Key = 2\n"
    ends = [8, 100, len(text) - 11]
    names = {1: (b"optimizelykey",), 2: (b"optimized", b"ovhconsumer"), 3: (), 4: (b"ovhconsumer",)}
    assert named(text, ends, names) == {1: [ends[1], ends[2]], 2: ends, 3: ends}


def test_of_a_keyword_rule_no_pattern_is_tried_where_a_part_of_its_keyword_stands() -> None:
    one = rule(
        r"(?i:acmecorp_deploy[_-]?key)[^\n]{0,20}\b(?P<secret>[a-f0-9]{32})\b",
        keywords=("acmecorp_deploy_key",),
        hashes=False,
    )
    search = worker(one)
    text = b'token = "abcdef123456"  # of acmecorp\nacmecorp_secret = "%b"\n' % HEX
    work = BlockCost(len(text), None)
    assert search.decide(text, work) == []
    assert not work.spent
    assert [m.secret for m in search.scan(text + b'ACMECORP_DEPLOY-KEY = "%b"\n' % HEX)] == [HEX]
