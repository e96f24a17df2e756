"""The image, run as docs/container.md says: by podman, from the manifests of Kubernetes, and from the compose file.

    python -m tests.live.image ARCHIVE         called by `make containers`; needs root

A planted secret comes to a webhook out of a container that has no right and may write to its state only; SIGTERM ends
it, and what SIGKILL interrupts is made up for. A cluster is not at hand: podman plays the DaemonSet, without its
probes, which the test asks instead, and with the name of the node written out.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.harness import KEY, Planter, fingerprints, until
from tests.fakes.ports import free_port
from tests.fakes.postgres import postgres_with_passwords
from tests.fakes.server import FakeServer
from tests.fakes.webhook import FakeWebhook
from tests.live.podman import STRICT, Podman, podman
from tests.monitor.sources.test_unwrap import cri

DEPLOY = Path(__file__).parents[2] / "deploy"
CONFIG = """
[monitor]
fingerprint_key = "credential:fingerprint-key"
[http]
listen = "127.0.0.1:{port}"
[[sources]]
name = "services"
type = "file"
include = ["/var/log/*.log"]
start_at = "beginning"
[[sources]]
name = "pods"
type = "container"
include = ["/var/log/pods/*/*/*.log"]
start_at = "beginning"
[[sinks]]
name = "hook"
type = "webhook"
url = "file:/etc/exposure-monitor/hook"
[[routes]]
sinks = ["hook"]
burst = "10000/1m"
group_interval = "1s"
"""
USER = 65532
PYTHON = "/usr/bin/python3.13"


def say(text: str) -> None:
    print(text, flush=True)


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


async def ready(port: int, failure: Callable[[], str]) -> None:
    await until(lambda: get(port, "/readyz")[0] == 200, 60, failure)
    assert get(port, "/healthz")[0] == 200


class Host:
    """A folder as the /var/log of a node, with logs that no user but root and its groups may read."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.logs, self.planter = folder / "log", Planter(seed)
        self.pod = self.logs / "pods/shop_web-1_0f8c/api/0.log"
        self.pod.parent.mkdir(parents=True)
        for path, group in ((self.pod, 0), (self.logs / "app.log", 4)):
            path.touch(0o640)
            os.chown(path, 0, group)

    def write(self, secrets: int) -> None:
        (self.logs / "app.log").open("ab").write(self.planter.lines(secrets))
        with self.pod.open("ab") as file:
            for _ in range(secrets):
                file.write(cri(f'{{"msg":"token {self.planter.secret()} refused"}}'.encode()))

    def leaked(self, text: str) -> list[str]:
        return [mark for mark, value in self.planter.planted.items() if value in text or value[8:] in text]


async def alone(machine: Podman, image: str) -> None:
    """By podman as on one host: an alert, an end, kills."""
    folder = machine.folder / "alone"
    host, port = Host(folder, 1), free_port()
    config, secrets = folder / "config", folder / "secrets"
    async with FakeWebhook() as hook:
        linked(config, {"config.toml": CONFIG.format(port=port), "hook": f"{hook.url}/hook"})
        secrets.mkdir()
        (secrets / "fingerprint-key").write_text(KEY)
        mounts = {config: "/etc/exposure-monitor:ro", secrets: "/run/secrets:ro", host.logs: "/var/log:ro"}
        volumes = [f"--volume={path}:{place}" for path, place in mounts.items()]
        groups = ("--group-add=0", "--group-add=4")
        began = time.monotonic()
        machine.run(
            "run", "-d", "--name=m", *STRICT, *groups, *volumes, "--volume=state:/var/lib/exposure-monitor", image
        )
        await ready(port, lambda: machine.run("logs", "m"))
        say(f"ready {time.monotonic() - began:.1f} s after podman run, {cpu(machine, 'm'):.1f} s of CPU")
        powerless(machine, "m")

        async def all_told(seconds: float = 60) -> None:
            missing = lambda: set(host.planter.planted) - fingerprints(hook.payloads)  # noqa: E731
            await until(lambda: not missing(), seconds, lambda: f"{len(missing())} missing\n{machine.run('logs', 'm')}")

        host.write(3)
        await all_told()
        places = [place for payload in hook.payloads for row in payload["incidents"] for place in row["locations"]]
        assert {place["service"] for place in places} >= {"shop/api"}, places
        say(f"{len(host.planter.planted)} alerts; {memory(machine, 'm')} MiB resident")

        linked(config, {"config.toml": CONFIG.format(port=port) + "[[sinks]]\nname='s'\ntype='console'\n"})
        await until(lambda: "reloaded" in machine.run("logs", "m"), 60, lambda: machine.run("logs", "m"))
        say("a changed ConfigMap is taken over")

        began = time.monotonic()
        machine.run("stop", "-t", "30", "m")
        state = machine.inspect("m")["State"]
        assert (state["ExitCode"], state["Status"]) == (0, "exited"), state
        say(f"SIGTERM: exit code 0 after {time.monotonic() - began:.1f} s")

        for _ in range(8):
            host.write(10)
            machine.run("start", "m")
            host.write(10)
            await asyncio.sleep(host.planter.random.random())
            machine.run("kill", "-s", "KILL", "m")
            host.write(10)
        machine.run("start", "m")
        await all_told(120)
        say(f"8 SIGKILLs: {len(host.planter.planted)} planted, 0 missing")
        code, said = machine.answer("exec", "m", "monitor", "incidents", "list", "--format", "json", "--limit", "1")
        assert code == 0, said
        assert not host.leaked(machine.run("logs", "m")), "a secret is in the log of the container"
        machine.run("rm", "-f", "-t", "20", "m")
        machine.run("volume", "rm", "--all")


def linked(folder: Path, files: dict[str, str]) -> None:
    """As the kubelet lays a ConfigMap: a link that is changed, to a folder of its own for each state of it."""
    fresh = folder / f"..{time.monotonic_ns()}"
    if (folder / "..data").exists():
        shutil.copytree(folder / "..data", fresh)
    fresh.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (fresh / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..data_tmp").symlink_to(fresh.name)
    (folder / "..data_tmp").rename(folder / "..data")


def process(machine: Podman, name: str) -> Path:
    return Path("/proc") / str(machine.inspect(name)["State"]["Pid"])


def cpu(machine: Podman, name: str) -> float:
    fields = (process(machine, name) / "stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def memory(machine: Podman, name: str) -> int:
    return int(re.search(r"VmRSS:\s+(\d+)", (process(machine, name) / "status").read_text())[1]) // 1024  # type: ignore[index]


def powerless(machine: Podman, name: str) -> None:
    """What the kernel says of it."""
    status = dict(re.findall(r"(?m)^(\w+):\s+(.*)$", (process(machine, name) / "status").read_text()))
    assert {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}, status
    assert (status["NoNewPrivs"], status["Seccomp"], status["Uid"].split()[0]) == ("1", "2", str(USER)), status
    mounts = [line.split() for line in (process(machine, name) / "mountinfo").read_text().splitlines()]
    device = re.compile(r"/(dev|proc|sys)(/|$)")
    writable = {row[4] for row in mounts if row[5].startswith("rw") and not device.match(row[4])}
    assert writable - TEMPORARY == {"/var/lib/exposure-monitor"}, writable


TEMPORARY = {"/tmp", "/run", "/var/tmp"}  # podman lays them over a root that is read-only, unless it is told not to


def refused(machine: Podman, image: str) -> None:
    """What is wrong is said, with exit code 78 where starting again would not mend it."""
    folder = machine.folder / "refused"
    folder.mkdir()
    config = folder / "config.toml"
    config.write_text('[[sinks]]\nname = "screen"\ntype = "console"\n[http]\nlisten = ""\n')
    given = f"--volume={config}:/etc/exposure-monitor/config.toml:ro"
    state = f"--volume={folder}:/var/lib/exposure-monitor"
    cases: list[tuple[tuple[str, ...], int, str]] = [
        ((), 78, "no configuration found: looked for"),
        ((given, state), 78, "Permission denied; make the folder writable for this user"),
        (("--entrypoint=/bin/sh",), 127, "no such file or directory"),
    ]
    for options, code, words in cases:
        ended, said = machine.once(image, options=options)
        assert (ended, words in said) == (code, True), f"{options}: exit code {ended}\n{said}"
    machine.run("create", "--name=of", image)
    machine.run("cp", f"of:{PYTHON}", str(folder / "python"))
    with (folder / "python").open("r+b") as program:  # as if it were made for another processor
        program.seek(18)
        program.write(b"\xb7\x00")
    ended, said = machine.once(image, options=(f"--volume={folder}/python:{PYTHON}:ro",))
    assert (ended != 0, "exec format error" in said) == (True, True), said
    config.chmod(0o600)
    ended, said = machine.once(image, options=(given,))
    assert (ended, "cannot be read: permission denied" in said) == (78, True), said
    config.chmod(0o644)
    machine.run("run", "-d", "--name=w", *STRICT, given, image)  # no volume for its state: it waits, and says so
    deadline = time.monotonic() + 30
    while "Read-only file system" not in (said := machine.run("logs", "w")):
        assert time.monotonic() < deadline, said
    machine.run("rm", "-f", "-t", "20", "w")
    say("no configuration, one that may not be read, a state that may not be written, none, another processor: refused")


async def cluster(machine: Podman, image: str) -> None:
    """The DaemonSet: an alert that names the node; a second pod, whose state is empty, reads on where the first was."""
    folder = machine.folder / "cluster"
    host, port = Host(folder, 2), free_port()
    with postgres_with_passwords() as server:
        async with FakeServer() as slack:
            url = f"postgresql+psycopg://keeper:{server.keepers}@127.0.0.1:{server.port}/postgres"
            secret = {"fingerprint-key": KEY, "database-url": url, "slack-webhook": f"{slack.url}/services/T/B/x"}
            manifest = folder / "play.yaml"
            manifest.write_text(played(image, host.logs, port, secret))
            for turn in range(3):
                if turn:
                    host.write(2)  # while there is none
                machine.run("kube", "play", "--network=host", str(manifest))
                (name,) = machine.run("ps", "--filter=name=exposure-monitor-pod-monitor", "--format={{.Names}}").split()
                await ready(port, lambda: machine.run("logs", name))  # noqa: B023
                powerless(machine, name)
                host.write(2)
                wanted = len(host.planter.planted)
                rows = lambda: incidents(machine, name)  # noqa: B023, E731
                await until(lambda: len(rows()) == wanted, 60, lambda: machine.run("logs", name))  # noqa: B023
                assert {place["host"] for row in rows() for place in row["locations"]} == {"node-1"}
                assert not host.leaked(machine.run("logs", name))
                machine.run("kube", "down", str(manifest))
                machine.run("volume", "rm", "--all")  # as a cluster does with an emptyDir
                say(f"pod {turn + 1} of node-1: {wanted} incidents")
            # Where no group may read: root, with the one capability that lets it read all.
            host.pod.chmod(0o600)
            os.chown(host.pod, 1000, 1000)
            manifest.write_text(played(image, host.logs, port, secret, reader=True))
            host.write(2)
            machine.run("kube", "play", "--network=host", str(manifest))
            await ready(port, lambda: machine.run("logs", name))
            await until(lambda: len(rows()) == len(host.planter.planted), 60, lambda: machine.run("logs", name))
            status = (process(machine, name) / "status").read_text()
            assert re.search(r"CapEff:\s+0{15}4", status), status
            machine.run("kube", "down", str(manifest))
            say("as root with DAC_READ_SEARCH alone: logs with mode 0600")
            texts = b"\n".join(request.body for request in slack.requests).decode()
            assert not host.leaked(texts)
            say(f"{len(slack.requests)} messages to Slack")


def incidents(machine: Podman, name: str) -> list[dict[str, Any]]:
    words = ("exec", name, "monitor", "incidents", "list", "--format", "json")
    code, said = machine.answer(*words, errors=subprocess.DEVNULL)
    return list(json.loads(said)) if code == 0 else []


def played(image: str, logs: Path, port: int, secret: dict[str, str], *, reader: bool = False) -> str:
    """The manifests as podman plays them; `reader`: with the change that docs/container.md has for logs of root."""
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))
    (daemons,) = (row for row in documents if row["kind"] == "DaemonSet")
    (config,) = (row for row in documents if row["kind"] == "ConfigMap")
    config["data"]["config.toml"] = config["data"]["config.toml"].replace(":9321", f":{port}")
    pod = daemons["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    container["image"] = image
    if reader:
        pod["securityContext"] |= {"runAsNonRoot": False, "runAsUser": 0}
        container["securityContext"]["capabilities"]["add"] = ["DAC_READ_SEARCH"]
    container["env"] = [{"name": row["name"], "value": "node-1"} for row in container["env"]]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):  # podman would run curl in the container
        del container[probe]
    for volume in pod["volumes"]:
        if "hostPath" in volume:
            volume["hostPath"]["path"] = str(logs)
    values = {key: base64.b64encode(value.encode()).decode() for key, value in secret.items()}
    kept = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "exposure-monitor"}, "data": values}
    return yaml.safe_dump_all([config, kept, daemons])


async def composed(machine: Podman, image: str) -> None:
    """The compose file as it is, but for the host's logs and the port, by podman-compose; docker-compose reads it."""
    folder = machine.folder / "composed"
    host, port = Host(folder, 3), free_port()
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    text = re.sub("image: exposure-monitor:.*", f"image: {image}", text).replace("- /var/log:", f"- {host.logs}:")
    (folder / "compose.yaml").write_text(text)
    config = (DEPLOY / "config.toml").read_text(encoding="utf-8")
    (folder / "config.toml").write_text(f'{config}\n[http]\nlisten = "127.0.0.1:{port}"\n')
    (folder / "fingerprint-key").write_text(KEY)
    (folder / "fingerprint-key").chmod(0o400)
    os.chown(folder / "fingerprint-key", USER, USER)
    compose = ("podman-compose", "--podman-path", str(machine.program), "-f", str(folder / "compose.yaml"))
    run("docker-compose", "-f", str(folder / "compose.yaml"), "config", "--quiet")
    run(*compose, "up", "-d")
    name = "composed_monitor_1"
    await ready(port, lambda: machine.run("logs", name))
    powerless(machine, name)
    host.write(2)
    await until(lambda: len(incidents(machine, name)) == 4, 60, lambda: machine.run("logs", name))
    run(*compose, "down")
    run(*compose, "up", "-d")
    host.write(1)
    await until(lambda: len(incidents(machine, name)) == 6, 60, lambda: machine.run("logs", name))
    said = machine.run("logs", name)
    assert "ghp_" in said
    assert not host.leaked(said)
    run(*compose, "down", "-v")
    say("compose: alerts, and the incidents are there after down and up")


def run(*words: str) -> None:
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}"


async def main(archive: str) -> None:
    with podman() as machine:
        machine.run("load", "-i", archive)
        image = machine.run("images", "--format={{.Repository}}:{{.Tag}}")
        about = machine.inspect(image)
        packed = Path(archive).stat().st_size / 1e6
        say(f"{image} {about['Digest']}: {packed:.0f} MB, {about['Size'] / 1e6:.0f} unpacked")
        refused(machine, image)
        await alone(machine, image)
        await cluster(machine, image)
        await composed(machine, image)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
