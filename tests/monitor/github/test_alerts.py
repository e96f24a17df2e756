from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.github.alerts import AlertItem, Malformed, finding_id, item, place, severity
from tests.examples import examples
from tests.fakes.github import FakeGitHub, commit, issue

NOW = time.time()


def body(**changes: Any) -> dict[str, Any]:
    fake = FakeGitHub()
    alert = fake.add("acme/web", "the value", locations=changes.pop("locations", [commit("a.env", 4), issue(3)]))
    return fake.body(alert, with_repository=True) | changes


def read(**changes: Any) -> AlertItem:
    return item(body(**changes), NOW)


def test_the_value_is_taken_once_and_shown_nowhere() -> None:
    raw = body()
    one = item(raw, NOW)
    assert "secret" not in raw
    assert "the value" not in repr(one)
    assert one.take_secret() == b"the value"
    assert one.take_secret() is None


def test_state_and_resolution() -> None:
    assert (read().state, read().resolution, read().resolved) == ("open", None, None)
    closed = read(state="resolved", resolution="revoked", resolved_at="2026-01-02T03:04:05Z")
    assert (closed.state, closed.resolution, closed.resolved) == ("resolved", "revoked", 1767323045.0)
    assert read(state="resolved", resolution="pattern_deleted").resolution == "wont_fix"
    assert read(state="resolved", resolution=None).resolution == "wont_fix"
    assert read(state="open", resolution="revoked").resolution is None


@pytest.mark.parametrize(
    ("base", "facts", "expected"),
    [
        ("high", {}, "high"),
        ("high", {"validity": "active"}, "critical"),
        ("low", {"validity": "active"}, "high"),
        ("critical", {"validity": "active"}, "critical"),
        ("critical", {"validity": "inactive"}, "medium"),
        ("low", {"validity": "inactive"}, "low"),
        ("low", {"publicly_leaked": True}, "critical"),
        ("high", {"publicly_leaked": True, "validity": "inactive"}, "medium"),
        ("low", {"multi_repo": True}, "medium"),
        ("info", {"validity": "unknown"}, "info"),
    ],
)
def test_severity(base: Any, facts: dict[str, Any], expected: str) -> None:
    assert severity(base, read(**facts)) == expected


def test_what_github_knows_becomes_labels() -> None:
    asked = read(push_protection_bypass_request_html_url="https://github.test/acme/web/security/bypass/3").labels
    assert asked["bypass_request"] == "https://github.test/acme/web/security/bypass/3"
    labels = read(validity="active", publicly_leaked=True, multi_repo=True, push_protection_bypassed=True).labels
    assert labels == {
        "secret_type": "github_personal_access_token",
        "github": "acme/web#1",
        "validity": "active",
        "publicly_leaked": "true",
        "multi_repo": "true",
        "push_protection_bypassed": "true",
    }


def test_an_alert_is_named_by_its_address_when_fields_are_missing() -> None:
    raw = body()
    del raw["repository"], raw["number"]
    assert (item(raw, NOW).repo, item(raw, NOW).number) == ("acme/web", 1)
    del raw["url"]
    assert item(raw, NOW).id("GitHub.com") == "github.com/acme/web#1"
    del raw["html_url"]
    with pytest.raises(Malformed, match="repository"):
        item(raw, NOW)
    with pytest.raises(Malformed, match="number"):
        item(raw, NOW, repo="acme/web")


def test_the_first_location_is_enough_when_there_are_no_more() -> None:
    one = read(has_more_locations=False)
    assert one.first is not None
    assert (one.first.path, one.first.line, one.more) == ("acme/web:a.env", 4, False)
    assert read(has_more_locations=True).more
    raw = body()
    del raw["has_more_locations"]
    assert item(raw, NOW).more
    assert read(first_location_detected=None).more


def test_the_first_location_and_the_list_name_a_place_alike() -> None:
    for where in (commit("a.env", 4), issue(3)):
        one = read(locations=[where], first_location_detected=where["details"])
        assert one.first == place(where, "acme/web")


@pytest.mark.parametrize(
    "kind",
    ["issue_title", "discussion_comment", "pull_request_review", "pull_request_review_comment", "wiki_commit"],
)
def test_every_kind_of_place_has_a_path_and_an_address(kind: str) -> None:
    details = {f"{kind}_url": "https://api.github.test/x/9", "html_url": "https://github.test/x/9"}
    if kind == "wiki_commit":
        details = {"path": "Home.md", "page_url": "https://github.test/wiki/Home", "blob_sha": "b", "start_line": 1.0}
    found = place({"type": kind, "details": details}, "acme/web")
    assert found.path.startswith(("acme/web:", "acme/web.wiki:"))
    assert found.url is not None


API = "https://git.acme.test/api/v3/repos/acme/web"


@pytest.mark.parametrize(
    ("kind", "details", "expected"),
    [
        ("issue_title", {"issue_title_url": f"{API}/issues/3"}, "issues/3"),
        ("pull_request_body", {"pull_request_body_url": f"{API}/pulls/4"}, "pull/4"),
        ("issue_comment", {"issue_comment_url": f"{API}/issues/comments/9"}, None),
        (
            "commit",
            {"path": "a.env", "start_line": 4, "blob_url": f"{API}/git/blobs/{'b' * 40}", "commit_sha": "a" * 40},
            f"blob/{'a' * 40}/a.env#L4",
        ),
    ],
)
def test_where_a_server_names_the_api_only_the_page_is_found(
    kind: str, details: dict[str, Any], expected: str | None
) -> None:
    found = place({"type": kind, "details": details}, "acme/web")
    assert found.url == (expected and f"https://git.acme.test/acme/web/{expected}")
    raw = body(url=f"{API}/secret-scanning/alerts/1", html_url=None)
    assert item(raw, NOW).url == "https://git.acme.test/acme/web/security/secret-scanning/1"


def test_finding_ids_do_not_depend_on_the_value() -> None:
    assert finding_id("a", "b") == finding_id("a", "b")
    assert len({finding_id("a", "b"), finding_id("a", "c"), finding_id("b", "b")}) == 3


def test_dates_without_a_zone_are_utc_and_others_are_not_trusted() -> None:
    assert read(updated_at="2026-01-02T03:04:05").updated == 1767323045.0
    for odd in ("yesterday", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", 5, None):
        one = read(updated_at=odd, created_at=None)
        assert (one.created, one.updated, one.dated) == (NOW, 0.0, False)


def test_an_alert_that_never_changed_has_the_date_of_its_creation() -> None:
    one = read(updated_at=None, created_at="2026-01-02T03:04:05Z")
    assert (one.updated, one.dated) == (1767323045.0, True)
    missing = body()
    del missing["updated_at"]
    assert item(missing, NOW).dated is False


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=examples(100), deadline=None)
@given(data=st.data())
def test_no_alert_breaks_the_reader(data: st.DataObject) -> None:
    raw = body()
    for name in data.draw(st.lists(st.sampled_from(sorted(raw)), max_size=8)):
        raw.pop(name, None)
    for name in data.draw(st.lists(st.sampled_from(sorted(body())), max_size=4)):
        raw[name] = data.draw(JSON)
    nameable = all(raw.get(name) == body()[name] for name in ("number", "html_url", "url", "repository"))
    try:
        one = item(raw, NOW, data.draw(st.sampled_from([None, "acme/web", "not a name"])))
    except Malformed:
        assert not nameable
        return
    assert severity("high", one) in ("critical", "high", "medium")
    json.dumps([one.labels, one.name, one.url, one.id("github.com")])
    assert all(char.isprintable() for char in one.name)
    assert (one.state == "resolved") == (one.resolution is not None)
    assert "the value" not in repr(replace(one))


@settings(max_examples=examples(100), deadline=None)
@given(raw=JSON, details=st.dictionaries(st.sampled_from(["path", "html_url", "start_line", "blob_sha"]), JSON))
def test_no_location_breaks_the_reader(raw: Any, details: dict[str, Any]) -> None:
    for value in (raw, {"type": raw, "details": details}, {"type": "commit", "details": details}):
        try:
            found = place(value, "acme/web")
        except Malformed:
            continue
        assert found.path.startswith("acme/web")
