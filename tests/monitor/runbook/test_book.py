from __future__ import annotations

from typing import Any

import pytest

from monitor.runbook.book import Query, RunbookStep, fill, lint, merged, read

HEAD = {"title": "T", "first_step": "F.", "where": "W"}


def step(id_: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "title": id_, "phase": "hour", "within": "1h", **more}


def problems_of(*steps: dict[str, Any], **head: Any) -> dict[str, str]:
    book, problems = read("x", {**HEAD, **head, "step": list(steps)})
    assert (book is None) == bool(problems)
    return {problem.key: problem.message for problem in problems}


@pytest.mark.parametrize(
    ("steps", "key", "message"),
    [
        ([step("a", needs=["b"]), step("b", needs=["a"])], "step[0].needs", "a → b → a"),
        ([step("a", needs=["a"])], "step[0].needs", "a → a"),
        (
            [step("a", needs=["b"]), step("b", replace_first={"needs": ["a"]})],
            "step[0].replace_first.needs",
            "circle",
        ),
        ([step("a", needs=["revok"]), step("revoke")], "step[0].needs[0]", 'did you mean "revoke"?'),
        ([step("a"), step("a")], "step[1].id", "step[0]"),
        ([step("a", within="soon")], "step[0].within", "duration"),
        ([step("a", within="0s")], "step[0].within", "greater than 0"),
        ([step("a", within=15)], "step[0].within", "duration"),
        ([step("a", phase="week")], "step[0].phase", "immediate"),
        ([step("A b")], "step[0].id", "match"),
        ([step("a", whne=[])], "step[0].whne", 'did you mean "when"?'),
        ([step("a", when=["severity"])], "step[0].when[0]", "not a matcher"),
        ([step("a", links=[{"text": "x", "url": "ftp://x"}])], "step[0].links[0].url", "http"),
        ([step("a", queries=[{"where": "x", "text": "{secret}"}])], "step[0].queries[0].text", "no hole"),
        ([step("a", verify={"shows": "gone"})], "step[0].verify.shows", "refused"),
        ([step("a", verify={"shows": "valid", "quiet": "1h"})], "step[0].verify", "unseen"),
        ([step("a", verify={"shows": "unseen", "quiet": "0s"})], "step[0].verify.quiet", "0"),
        ([{"id": "a"}], "step[0].title", "missing"),
    ],
)
def test_each_mistake_is_told_with_its_key(steps: list[dict[str, Any]], key: str, message: str) -> None:
    found = problems_of(*steps)
    assert message in found[key], found


def test_mistakes_of_the_head_and_of_steps_are_told_together() -> None:
    assert set(problems_of(step("a", within="x"), titel="T")) == {"titel", "step[0].within"}


def test_no_message_shows_a_value() -> None:
    value = "hush-hush-value"
    found = problems_of(step("a", within=value, phase=value, actor=["x", value]), order=value)
    assert found
    assert all(value not in message for message in found.values())


def test_names_of_probes_and_actions_are_held_against_the_tables_there_are() -> None:
    one = RunbookStep.model_validate(step("a", verify={"shows": "refused", "probe": "githb"}, actions=["github-revok"]))
    assert lint([one], {}) == []
    found = lint([one], {"a": "step[0]"}, probes=["github"], actions=["github-revoke"])
    assert [(problem.key, "did you mean" in problem.message) for problem in found] == [
        ("step[0].verify.probe", True),
        ("step[0].actions[0]", True),
    ]


def test_a_step_of_the_same_id_changes_what_it_names_and_adds_its_queries() -> None:
    base = [step("a", queries=[{"where": "all", "text": "x"}], text="general")]
    (both, new) = merged(base, [{"id": "a", "within": "5m", "queries": [{"where": "own", "text": "y"}]}, step("b")])
    assert both["text"] == "general"
    assert both["within"] == "5m"
    assert [query["where"] for query in both["queries"]] == ["own", "all"]
    assert new["id"] == "b"
    assert base[0]["within"] == "1h"


def test_needs_and_deadlines_follow_the_order() -> None:
    one = RunbookStep.model_validate(step("a", needs=["b"], replace_first={"needs": [], "within": "4h"}))
    assert (one.needs_in("contain"), one.within_in("contain")) == (("b",), 3600)
    assert (one.needs_in("replace"), one.within_in("replace")) == ((), 14_400)


def test_only_steps_whose_conditions_hold_are_chosen() -> None:
    steps = [
        step("a"),
        step("b", when=['severity=~"critical|high"', 'publicly_leaked="true"']),
        step("c", when=['source="github"']),
    ]
    book, _ = read("x", {**HEAD, "step": steps})
    assert book is not None
    assert [one.id for one in book.chosen({"severity": "low"})] == ["a"]
    assert [one.id for one in book.chosen({"severity": "high", "publicly_leaked": "true"})] == ["a", "b"]
    assert [one.id for one in book.chosen({"severity": "high", "source": "github"})] == ["a", "c"]


def test_a_query_is_filled_and_never_with_what_a_shell_would_take_apart() -> None:
    query = Query(where="x", text="ask {label:user} {masked} {label:none} from {from} until {until} on {day}")
    text = fill(query, {"user": "ada", "masked": "ghp_ab12…[40]"}, 0.0, 60.0)
    assert text == "ask ada ghp_ab12…[40] <none> from 1970-01-01T00:00:00Z until 1970-01-01T00:01:00Z on 1970-01-01"
    for hostile in ("$(reboot)", "a;b", "a'b", 'a"b', "a b", "a\nb", "`x`", "a|b", ""):
        assert "<user>" in fill(query, {"user": hostile}, 0.0, 60.0), hostile
