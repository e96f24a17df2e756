from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from monitor.sources.syslog_config import SyslogConfig


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"listen": ["127.0.0.1:514"]}, 'must be "udp:HOST:PORT"'),
        ({"listen": ["udp::514"]}, 'must be "udp:HOST:PORT"'),
        ({"listen": ["unix:log"]}, 'must be "udp:HOST:PORT"'),
        ({"listen": ["tcp:127.0.0.1:70000"]}, "65535"),
        ({"listen": []}, "at least 1"),
        ({"listen": ["tls:127.0.0.1:0"]}, "listen has tls:"),
        ({"allow": ["web-1"]}, "addresses or networks"),
        ({"mode": "999"}, "pattern"),
        ({"rate": 0}, "greater"),
    ],
)
def test_keys_that_do_not_fit(keys: dict[str, Any], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        SyslogConfig.model_validate({"name": "net", "type": "syslog", **keys})
