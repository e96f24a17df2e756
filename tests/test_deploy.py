"""Manifests of Kubernetes and the compose file: what they promise, and that their configurations are right.

`make containers` runs them, and holds the manifests against the schemas of several versions of Kubernetes.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.config.config import load, parse
from tests.fakes.forks import Forks

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
OBJECTS = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
STATE = "/var/lib/exposure-monitor"  # as packaging/image.py says it in $STATE_DIRECTORY


def an(kind: str) -> dict[str, Any]:
    (found,) = (each for each in OBJECTS if each["kind"] == kind)
    return dict(found)


CONFIGURED = an("ConfigMap")["data"]["config.toml"]
POD = an("DaemonSet")["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
VOLUMES = {volume["name"]: volume for volume in POD["volumes"]}
MOUNTS = {
    mount["mountPath"]: (VOLUMES[mount["name"]], mount.get("readOnly", False)) for mount in CONTAINER["volumeMounts"]
}


@pytest.mark.parametrize("text", [CONFIGURED, (DEPLOY / "config.toml").read_text(encoding="utf-8")])
def test_monitor_check_finds_nothing_wrong(text: str, tmp_path: Path, forks: Forks) -> None:
    credentials = tmp_path / "secrets"
    credentials.mkdir()
    for name in re.findall(r'"credential:([\w-]+)"', text):
        url = "postgresql+psycopg://monitor@db/monitor" if name == "database-url" else "https://hooks.example.org/x"
        (credentials / name).write_text(url)
    given = {"CREDENTIALS_DIRECTORY": str(credentials), "STATE_DIRECTORY": str(tmp_path), "PATH": "/usr/bin"}
    for body in (text, re.sub(r"(?m)^( *)#(?=[a-z\[])", r"\1", text)):  # and with what is commented out
        (tmp_path / "config.toml").write_text(body)
        done = forks.run(
            "check", "--no-environment", "--config", str(tmp_path / "config.toml"), cwd=tmp_path, env=given
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_pod_may_read_logs_and_nothing_else() -> None:
    allowed, inside = POD["securityContext"], CONTAINER["securityContext"]
    assert (allowed["runAsNonRoot"], allowed["runAsUser"], allowed["seccompProfile"]) == (
        *(True, 65532),
        {"type": "RuntimeDefault"},
    )
    assert (inside["privileged"], inside["allowPrivilegeEscalation"], inside["readOnlyRootFilesystem"]) == (
        *(False, False),
        True,
    )
    assert inside["capabilities"] == {"drop": ["ALL"]}
    assert not POD["automountServiceAccountToken"]
    assert not an("ServiceAccount")["automountServiceAccountToken"]
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & POD.keys()
    assert [path for path, (_, read_only) in MOUNTS.items() if not read_only] == [STATE]
    hosts = [(path, volume["hostPath"]["path"]) for path, (volume, _) in MOUNTS.items() if "hostPath" in volume]
    assert hosts == [("/var/log", "/var/log")]


def test_what_the_configuration_names_is_in_the_pod() -> None:
    config = parse(CONFIGURED)
    assert config.state_dir.is_absolute()
    for source in config.sources:
        assert all(fnmatchcase(pattern, "/var/log/*") for pattern in source.include)
    port = int(config.http.listen.rpartition(":")[2])
    assert config.http.listen.startswith("0.0.0.0:")
    (named,) = CONTAINER["ports"]
    assert named["containerPort"] == port
    probes = {CONTAINER[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert probes == {"/healthz", "/readyz"}
    assert an("Service")["spec"]["ports"][0]["targetPort"] == named["name"]
    assert MOUNTS["/run/secrets"][0]["secret"]["secretName"] == "exposure-monitor"
    head = (DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8").partition("apiVersion")[0]
    wanted = set(re.findall(r'(?m)^(?!\s*#).*"credential:([\w-]+)"', CONFIGURED))
    assert wanted == set(re.search(r"`exposure-monitor`, which is not in here: (.*)", head)[1].split(", "))  # type: ignore[index]
    assert {variable["name"] for variable in CONTAINER["env"]} == {"MONITOR_NODE"}  # monitor.node


def test_no_object_has_a_secret_and_all_are_of_one_namespace() -> None:
    assert "Secret" not in {each["kind"] for each in OBJECTS}
    assert OBJECTS[0]["kind"] == "Namespace"  # as kubectl applies them in this order
    assert {each["metadata"]["namespace"] for each in OBJECTS[1:]} == {OBJECTS[0]["metadata"]["name"]}


def test_compose_gives_no_more_than_the_pod_has() -> None:
    service = COMPOSE["services"]["monitor"]
    assert (service["read_only"], service["cap_drop"], service["user"]) == (True, ["ALL"], "65532:65532")
    assert service["security_opt"] == ["no-new-privileges:true"]
    places = [volume.split(":") for volume in service["volumes"]]
    assert [place[1] for place in places if place[-1] != "ro"] == [STATE]
    assert places[0][:2] == ["./config.toml", "/etc/exposure-monitor/config.toml"]
    config = load(DEPLOY / "config.toml")
    assert config.http.listen.startswith("127.0.0.1:")  # which is the host's
    assert service["secrets"] == ["fingerprint-key"] == list(COMPOSE["secrets"])


def test_the_images_are_of_this_version() -> None:
    from monitor import __version__

    assert CONTAINER["image"].rpartition("/")[2] == f"exposure-monitor:{__version__}"
    assert COMPOSE["services"]["monitor"]["image"] == f"exposure-monitor:{__version__}"
