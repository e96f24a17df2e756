from __future__ import annotations

from monitor.web.console.static import address
from tests.fakes.console import Pages


async def test_each_file_of_the_room_has_its_addresses(pages: Pages) -> None:
    for path in ("/", "/incidents", "/runbooks/github-token", "/keys", address("console.css")):
        await pages.get(path, plain=True)
