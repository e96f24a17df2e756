from __future__ import annotations

from typing import Any

import pytest

from monitor.common.notification import Notification
from monitor.delivery.notices import Notices
from monitor.routing.routes import Policy, Route


class Desk:
    """Notices for the sinks pager and chat, of which the pager takes what is critical."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.posted: list[tuple[str, Notification]] = []
        route = Route.model_validate({"matchers": ["severity=critical"], "sinks": ["pager"]})
        policy = Policy(sinks=("pager", "chat"), routes=(route,))
        self.notices = Notices(
            policy=lambda: policy,
            sinks=lambda: ["pager", "chat"],
            post=lambda name, notification, _taken: self.posted.append((name, notification)),
            url="https://monitor.example",
            host="monitor-1",
            now=lambda: self.now,
        )

    def tell(self, title: str = "Disk full", **changes: Any) -> object:
        options: dict[str, Any] = {"severity": "high", "key": "disk", "every": 60.0, "sinks": None, **changes}
        return self.notices.tell(title, "text", **options)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_routes_choose_where_one_takes_it_and_everybody_hears_the_rest(desk: Desk) -> None:
    desk.tell(severity="critical")
    desk.tell(severity="low", key="other")
    assert [name for name, _ in desk.posted] == ["pager", "pager", "chat"]
    assert (desk.posted[0][1].url, desk.posted[0][1].host) == ("https://monitor.example", "monitor-1")


async def test_it_is_said_once_in_a_while(desk: Desk) -> None:
    assert desk.tell()
    assert not desk.tell()
    desk.now += 61
    assert desk.tell()
    desk.now -= 5000  # a clock that was put back mutes nothing
    assert desk.tell()


async def test_trouble_that_is_over_is_closed_where_it_was_told(desk: Desk) -> None:
    desk.tell(severity="critical")
    desk.notices.over("disk", "There is room again.")
    (_, opened), (name, closed) = desk.posted
    assert (name, closed.key, closed.title) == ("pager", opened.key, opened.title)
    assert (closed.reason, closed.action, closed.text) == ("recovered", "resolve", "There is room again.")
    assert closed.id != opened.id
    desk.notices.over("disk", "")
    assert len(desk.posted) == 2  # said once
    assert desk.tell()  # its next occurrence is news


async def test_nobody_hears_the_end_of_what_was_never_told(desk: Desk) -> None:
    desk.notices.over("disk", "")
    assert desk.posted == []
