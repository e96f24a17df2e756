from __future__ import annotations

import pytest

from monitor.common.listen import split_listen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:80", ("::1", 80)),
        ("host:65535", ("host", 65535)),
        ("unix:/run/x:1", ("/run/x:1", 0)),
    ],
)
def test_listen(text: str, expected: tuple[str, int]) -> None:
    assert split_listen(text) == expected


@pytest.mark.parametrize("text", ["", "host", ":80", "host:", "host:65536", "host:-1", "host:٣"])
def test_listen_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        split_listen(text)
    with pytest.raises(ValueError, match="absolute path"):
        split_listen("unix:run/x")
