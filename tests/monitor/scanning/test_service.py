from __future__ import annotations

import pytest

from monitor.scanning.service import service_of


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/var/log/nginx/access.log", "nginx"),
        ("/var/log/nginx/error.log.3.gz", "nginx"),
        ("/var/log/payments.log", "payments"),
        ("/var/log/payments-20261102.log", "payments"),
        ("/srv/shop/logs/production.log", "production"),
        ("/srv/shop/var/log/app.log", "shop"),
        ("/opt/gateway/out.txt", "gateway"),
        ("/var/log/syslog", None),
        ("/var/log/messages.1", None),
        (f"/var/log/pods/shop_api-7f_{'0' * 8}/server/0.log", "shop/server"),
        (f"/var/log/containers/api-7f_shop_server-{'a' * 64}.log", "shop/server"),
        (f"/var/lib/docker/containers/{'b' * 64}/{'b' * 64}-json.log", "b" * 12),
        ("-", None),
        ("", None),
        ("acme/web: config.py", None),
    ],
)
def test_from_the_path(path: str, service: str | None) -> None:
    assert service_of(path, {}) == service


def test_what_the_source_or_the_record_says_comes_first() -> None:
    assert service_of("/var/log/nginx/access.log", {}, "sshd") == "sshd"
    assert service_of("/var/log/nginx/access.log", {"unit": "api.service"}, "sshd") == "api"
    assert service_of("", {"container": "web-1", "topic": "x"}) == "web-1"
