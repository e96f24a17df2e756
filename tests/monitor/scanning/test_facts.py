from __future__ import annotations

from collections.abc import Iterator

import pytest

from detectors.match.engine import Engine
from detectors.rules.template import expand
from monitor.domain.model import Block, Finding
from monitor.scanning.facts import connection, service_of
from monitor.scanning.scanner import Scanner
from tests.detectors import texts


def test_user_host_and_database_of_a_connection_string() -> None:
    found = connection(b"DATABASE_URL=postgres://ana:", b"@db-1.example:5432/shop?sslmode=require")
    assert found == {"user": "ana", "host": "db-1.example:5432", "database": "shop"}
    assert connection(b"redis://:", b"@cache:6379/0") == {"host": "cache:6379", "database": "0"}
    assert connection(b"mongodb+srv://app:", b"@[2001:db8::1]") == {"user": "app", "host": "[2001:db8::1]"}


def test_what_is_none_says_nothing() -> None:
    assert connection(b"password=", b" next") == {}
    assert connection(b"https://ana:x@host/a:", b"@b") == {}
    assert connection(b"postgres://ana:", b" @db") == {}
    assert "database" not in connection(b"https://ana:", b"@host/some/path")


@pytest.mark.parametrize(
    ("scheme", "has"),
    [
        *(
            (name, True)
            for name in ("postgresql", "mysql+pymysql", "MongoDB+SRV", "rediss", "prisma+postgres", "mssql")
        ),
        *((name, False) for name in ("https", "amqp", "git+ssh", "ftp", "s3", "smtp", "mqtts", "webdb")),
    ],
)
def test_only_the_address_of_a_database_names_one(scheme: str, has: bool) -> None:
    found = connection(f"{scheme}://ana:".encode(), b"@host.example/internal")
    assert found == {"user": "ana", "host": "host.example"} | ({"database": "internal"} if has else {})


BOTH = "aws_access_key_id = {aws-id:AKIA} aws_secret_access_key = {base64:40}"


@pytest.fixture(scope="module")
def scanner() -> Iterator[Scanner]:
    scanner = Scanner(Engine.build([rule for rule in texts.rules() if rule.id.startswith("aws-")]), b"k" * 32)
    yield scanner
    scanner.close()


async def findings(scanner: Scanner, text: str) -> list[Finding]:
    return await scanner.scan([Block("s", "/p", "g", 0, text.encode(), 1.8e9)])


async def test_an_id_and_its_secret_are_one_with_the_id_whole(scanner: Scanner) -> None:
    text = expand(BOTH, 3)
    id_, secret = text.split()[2], text.split()[-1]
    (found,) = await findings(scanner, f"{text}\n")
    assert found.rule == "aws-secret-access-key"
    assert found.labels["access_key_id"] == id_
    assert secret not in repr(found)
    (packed,) = await findings(scanner, '{"log":"' + text.replace(" = ", '=\\"').replace(" ", '\\" ') + '\\"\\n"}\n')
    assert packed.labels["access_key_id"] == id_


async def test_an_id_alone_is_told_and_far_ones_are_no_pair(scanner: Scanner) -> None:
    (alone,) = await findings(scanner, expand("key {aws-id:AKIA}\n", 1))
    assert alone.rule == "aws-access-key-id"
    assert alone.labels["access_key_id"].startswith("AKIA")
    far = await findings(scanner, expand("{aws-id:AKIA} " + "x y " * 200 + "aws_secret_access_key = {base64:40}\n", 4))
    assert [one.rule for one in far] == ["aws-access-key-id", "aws-secret-access-key"]
    assert "access_key_id" not in far[1].labels


async def test_each_secret_takes_the_id_next_to_it(scanner: Scanner) -> None:
    texts = [expand(BOTH, seed) for seed in (5, 6)]
    found = await findings(scanner, f"{texts[0]}\n{'x y ' * 20}\n{texts[1]}\n")
    assert [one.labels["access_key_id"] for one in found] == [text.split()[2] for text in texts]


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
