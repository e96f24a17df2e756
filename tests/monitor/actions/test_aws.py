"""AWS access keys, verified and taken back: moto checks every signature, and who may do what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from monitor.actions.actor import Actor
from monitor.actions.command import ActionOutcome
from monitor.actions.config import ActionConfig
from monitor.verify.config import VerifyConfig
from monitor.verify.verifier import ProbeVerdict, Verifier
from tests.fakes.moto import Aws, aws

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with aws(tmp_path_factory.mktemp("moto")) as server:
        yield server


async def verdict(cloud: Aws, key: tuple[str, str], known: Mapping[str, str] | None = None) -> ProbeVerdict:
    given = {"providers": ["aws"], "private": ["aws"], "servers": {"aws": cloud.url}}
    verifier = Verifier(VerifyConfig.model_validate(given))
    return await verifier.ask("aws-secret-access-key", key[1], {"access_key_id": key[0]}, known=known)


async def act(cloud: Aws, kind: str, key: tuple[str, str], admin: tuple[str, str], folder: Path) -> ActionOutcome:
    (folder / "admin").write_text(":".join(admin))
    given = {"name": "a", "type": kind, "server": cloud.url, "private": True, "credential": f"file:{folder / 'admin'}"}
    return await Actor().run(ActionConfig.model_validate(given), key[1], {"access_key_id": key[0]})


MAY = ["iam:GetAccessKeyLastUsed", "iam:UpdateAccessKey", "iam:DeleteAccessKey"]


async def test_a_key_is_taken_back_and_then_refused(cloud: Aws, tmp_path: Path) -> None:
    leaked, admin = cloud.user("leaky", "sts:GetCallerIdentity"), cloud.user("admin", MAY)
    before = await verdict(cloud, leaked)
    assert before.status == "valid"
    assert before.facts["user"].endswith(":user/leaky")
    assert (await verdict(cloud, (leaked[0], "x" * 40))).status == "unknown"  # it may be another key's

    outcome = await act(cloud, "aws-key-deactivate", leaked, admin, tmp_path)
    assert outcome == ActionOutcome("accepted", "the issuer has taken it (HTTP 200)")
    assert cloud.keys("leaky") == {leaked[0]: "Inactive"}

    assert (await act(cloud, "aws-key-delete", leaked, admin, tmp_path)).state == "accepted"
    assert cloud.keys("leaky") == {}
    assert (await verdict(cloud, leaked)).status == "unknown"  # the id that stood beside it may be another key's
    assert (await verdict(cloud, leaked, before.facts)).status == "refused"
    assert cloud.keys("admin") == {admin[0]: "Active"}
    assert leaked[1] not in repr((before, outcome))


async def test_who_may_not_is_refused_and_what_was_done_before_is_told(cloud: Aws, tmp_path: Path) -> None:
    leaked, weak = cloud.user("leaky2"), cloud.user("weak", MAY[:2])
    outcome = await act(cloud, "aws-key-delete", leaked, weak, tmp_path)
    assert (outcome.state, outcome.reason) == ("failed", "step 3 of 3: the answer is HTTP 403")
    assert cloud.keys("leaky2") == {leaked[0]: "Inactive"}
    wrong = await act(cloud, "aws-key-deactivate", leaked, (weak[0], "y" * 40), tmp_path)
    assert (wrong.state, wrong.reason) == ("failed", "step 1 of 2: the answer is HTTP 403")
