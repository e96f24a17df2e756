from __future__ import annotations

import pytest

from monitor.github.links import commit, page, web

GHES = "https://git.acme.test/api/v3"


@pytest.mark.parametrize(
    ("base", "root"),
    [
        ("https://api.github.com", "https://github.com"),
        (GHES, "https://git.acme.test"),
        ("http://127.0.0.1:8080/api/v3", "http://127.0.0.1:8080"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com"),
        ("https://api.acme.test/api/v3", "https://api.acme.test"),
    ],
)
def test_the_web_side_of_a_server_is_told_from_its_api(base: str, root: str) -> None:
    assert web(base) == root


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("secret-scanning/alerts/7", "security/secret-scanning/7"),
        ("issues/3", "issues/3"),
        ("pulls/4", "pull/4"),
        ("pulls/4/reviews/80", "pull/4#pullrequestreview-80"),
        ("issues/comments/9", None),  # whose issue it is, the address does not say
        ("pulls/comments/9", None),
        ("git/blobs/" + "a" * 40, None),
    ],
)
@pytest.mark.parametrize("base", [GHES, "https://api.github.com"])
def test_what_the_api_names_has_a_page(base: str, path: str, expected: str | None) -> None:
    assert page(f"{base}/repos/acme/web/{path}") == (expected and f"{web(base)}/acme/web/{expected}")


def test_a_page_is_its_own() -> None:
    for address in ("https://git.acme.test/acme/web/issues/3", "https://github.com/acme/web/discussions/1#d-2"):
        assert page(address) == address


def test_a_line_of_a_commit_has_a_page_on_the_server_it_was_found_on() -> None:
    blob = f"{GHES}/repos/acme/web/git/blobs/{'b' * 40}"
    root = f"https://git.acme.test/acme/web/blob/{'a' * 40}"
    assert commit(blob, "acme/web", "a" * 40, "conf/a b#1.env", 4) == f"{root}/conf/a%20b%231.env#L4"
    assert commit(blob, "acme/web", "a" * 40, "a.env", None) == f"{root}/a.env"
    assert commit(blob, "acme/web", "main", "a.env", 4) is None
    assert commit("https://git.acme.test/acme/web", "acme/web", "a" * 40, "a.env", 4) is None
