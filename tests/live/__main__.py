"""`make systemd`: the packages in a live systemd, from a bare root to the purge. Needs root.

    python3 -m tests.live [--packages dist] [bookworm trixie]

One scenario, in the order of an installation's life; each step says what it saw. The first that fails ends it.
"""

from __future__ import annotations

import argparse
import base64
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.live.commands import as_installed
from tests.live.machine import Failure, Machine, booted, until
from tests.live.receiver import Receiver
from tests.live.repack import repacked

HERE = Path(__file__).resolve().parents[2]
NUMBERS = {"bookworm": "12", "trixie": "13"}
CONFIG = "/etc/exposure-monitor/config.toml"
CREDENTIALS = "/etc/exposure-monitor/credentials"
STATE = "/var/lib/exposure-monitor"
DROP_IN = "/etc/systemd/system/exposure-monitor.service.d"
FOREIGN = ("bin/monitor", "lib/systemd/system/exposure-monitor.service", "lib/sysusers.d/exposure-monitor.conf")
LEAST = 3.0  # seconds of processor time for the first alert
KILLS = {  # when dpkg is killed
    "unpacking": "find /opt/exposure-monitor -name '*.dpkg-new' | grep -q .",
    "half unpacked": "[ $(find /opt/exposure-monitor -name '*.dpkg-new' | wc -l) -gt 1500 ]",
    "configuring": "pgrep -f '[e]xposure-monitor.postinst'",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--packages", type=Path, default=HERE / "dist")
    parser.add_argument("debians", nargs="*", default=list(NUMBERS))
    given = parser.parse_args()
    if os.geteuid():
        sys.exit("make systemd needs root: it boots roots of Debian")
    for debian in given.debians:
        say(f"== {debian}")
        with booted(debian) as machine:
            try:
                Life(machine, debian, given.packages).whole()
            except Failure as failure:
                journal = machine.answer("journalctl -u exposure-monitor --no-pager -n 12")[1]
                sys.exit(f"FAILED {failure}\n\nits journal:\n{journal}")
    say("systemd: all passed")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Life:
    """The life of an installation on one machine."""

    def __init__(self, machine: Machine, debian: str, packages: Path) -> None:
        self.machine, self.debian = machine, debian
        self.package = newest(packages, f"exposure-monitor_*+deb{NUMBERS[debian]}_amd64.deb")[0]
        (other,) = (number for number in NUMBERS.values() if number != NUMBERS[debian])
        self.others = newest(packages, f"exposure-monitor_*+deb{other}_amd64.deb")
        self.rpms = newest(packages, f"exposure-monitor-*+deb{NUMBERS[debian]}.x86_64.rpm")
        self.receiver = Receiver(os.urandom(24))
        self.due: list[str] = []  # fingerprints of all that was logged since the receiver is known
        self._leaks = 0

    def whole(self) -> None:
        shutil.copy(self.package, self.machine.root / "srv/live/exposure-monitor.deb")
        self.machine.run("apt-get update -q")
        for step in self.steps():
            began = time.monotonic()
            seen = step()
            name = step.__name__.replace("_", " ").strip()
            say(f"{name:<32} {time.monotonic() - began:6.1f} s  {seen}")

    def steps(self) -> Iterator[Callable[[], str]]:
        yield from (self.refusals, self.full_disk, self.killed_installation, self.first_alert, self.as_installed)
        yield from (self.credential, self.reload, self.commands_of_alerts)
        yield from (self.restart_after_SIGKILL, self.watchdog_after_SIGSTOP, self.upgrade, self.killed_upgrades)
        yield from (self.downgrade, self.wrong_python, self.broken_configuration, self.removal, self.purge)
        yield self.over_an_installation_by_hand
        if self.rpms:
            yield self.rpm

    # What is logged, and what came of it

    def prepare(self, count: int = 1) -> tuple[str, list[str]]:
        """A file with so many synthetic secrets, one a line, and their fingerprints."""
        self._leaks += 1
        file = f"/srv/live/leak.{self._leaks}"
        self.machine.run(f"monitor sample github-pat -n {count} >{file}")
        return file, self.machine.run(f"monitor fingerprint <{file}").split()

    def log(self, file: str) -> None:
        self.machine.run(f"sed 's/^/deploy token=/' {file} | logger -t shop")

    def leak(self, count: int = 1) -> None:
        file, fingerprints = self.prepare(count)
        self.log(file)
        self.due += fingerprints

    def delivered(self) -> str:
        """Until all that was logged has come."""
        until(
            lambda: not self.missing() or None,
            lambda: f"{len(self.missing())} of {len(self.due)} never came to the webhook",
        )
        return f"{len(self.due)} of {len(self.due)} delivered"

    def missing(self) -> set[str]:
        return set(self.due) - set(self.receiver.fingerprints)

    def show(self, name: str) -> str:
        return self.machine.run(f"systemctl show -P {name} exposure-monitor")

    def running(self) -> None:
        self.machine.until("systemctl show -P ActiveState,StatusText exposure-monitor", "active", "watching")

    # Steps

    def refusals(self) -> str:
        """What stands where ours goes, or no room: a clear message, and nothing changed."""
        run, refused = self.machine.run, self.machine.refused
        install = "apt-get install -q -y ./exposure-monitor.deb"
        run("apt-get install -q -y --no-install-recommends python3 sudo")  # of Debian; so that they do not count below
        unit = "/etc/systemd/system/exposure-monitor.service"
        cases = (
            ("mkdir -p {0}; echo mine >{0}/file", "/opt/exposure-monitor", "cat {0}/file"),
            *(("echo mine >{0}", path, "cat {0}") for path in (unit, *(f"/usr/{file}" for file in FOREIGN))),
        )
        for make, path, look in cases:
            run(make.format(path))
            refused(install, f"{path} ", "nothing was changed")
            if run(look.format(path)) != "mine":
                raise Failure(f"{path} was changed")
            run(f"rm -r {path}; systemctl daemon-reload")
        run("mkdir -p /opt && mount -t tmpfs -o size=20m tmpfs /opt")
        refused(install, "/opt has 20 MiB free", "make room first")
        run("umount /opt")
        run("sed 's/sse4_2/none/g' /proc/cpuinfo >cpuinfo && mount --bind cpuinfo /proc/cpuinfo")
        refused(install, "SSE 4.2")
        run("umount /proc/cpuinfo")
        repacked(self.package, self.machine.root / "srv/live/arm.deb", architecture="arm64")
        refused("dpkg -i arm.deb", "package architecture (arm64) does not match system (amd64)")
        left = run("ls -d /opt/* /etc/exposure-monitor /var/lib/exposure-monitor 2>/dev/null || true")
        if left:
            raise Failure(f"left of what was refused: {left}")
        return f"{len(cases) + 3} refused, nothing changed"

    def full_disk(self) -> str:
        """Full in the midst of unpacking, which dpkg then takes back; with room it is installed."""
        run = self.machine.run
        run("mount -t tmpfs -o size=300m tmpfs /opt")
        said = self.filled("exposure-monitor.deb")
        if left := run("find /opt /etc/exposure-monitor /usr/bin/monitor ! -type d ! -name filler 2>/dev/null || true"):
            raise Failure(f"left of what found no room: {left}")
        run("rm /opt/filler; apt-get install -q -y ./exposure-monitor.deb")
        self.running()
        # An upgrade: the version that is there is as before, and runs on
        file, fingerprints = self.prepare()
        self.newer("1.1")
        self.filled("exposure-monitor_1.1.deb")
        self.running()
        self.log(file)
        self.machine.until("monitor incidents list --format jsonl", fingerprints[0])
        run("rm /opt/filler; apt-get install -q -y ./exposure-monitor_1.1.deb")
        self.running()
        self.machine.until("monitor incidents list --format jsonl", fingerprints[0])
        run("apt-get purge -q -y exposure-monitor; umount /opt; journalctl -q --rotate --vacuum-time=1s")
        return said

    def filled(self, package: str) -> str:
        """The installation of this package fails, as /opt is full once it has begun; what it says."""
        fill = "pkill -STOP -x dpkg; cat /dev/zero >/opt/filler; pkill -CONT -x dpkg"
        code, said = self.caught(f"apt-get install -q -y ./{package}", KILLS["unpacking"], fill)
        if not code or "No space left on device" not in said:
            raise Failure(f"/opt is full, and: exit code {code}\n{said}")
        return next(line.strip() for line in said.splitlines() if "No space left on device" in line)

    def caught(self, command: str, reached: str, then: str) -> tuple[int, str]:
        """Exit code and words of an installation, in which `then` is done when `reached` holds."""
        process, program = self.machine.start(f"exec {command}"), command.split(maxsplit=1)[0]
        alive = f"pgrep -x {program} >/dev/null"
        wait = f"until {alive}; do :; done; until {{ {reached}; }} >/dev/null 2>&1; do {alive} || exit 1; done"
        missed, _ = self.machine.answer(f"timeout 60 sh -c {shlex.quote(wait)} && {{ {then}; }} 2>/dev/null")
        said, _ = process.communicate()
        if missed:
            raise Failure(f"{command} came to an end before {reached}:\n{said}")
        return process.returncode, said

    def killed_installation(self) -> str:
        """dpkg is killed in the midst of the first installation; the same again mends it."""
        for name, reached in KILLS.items():
            self.caught("dpkg -i exposure-monitor.deb", reached, "pkill -KILL -x dpkg")
            self.machine.run("dpkg --configure -a && apt-get install -q -y ./exposure-monitor.deb")
            if "ii " not in (listed := self.machine.run("dpkg -l exposure-monitor")):
                raise Failure(f"killed while {name}: {listed}")
            self.running()
            self.machine.run("dpkg -V exposure-monitor && apt-get purge -q -y exposure-monitor")
        return f"killed while {', '.join(KILLS)}"

    def first_alert(self) -> str:
        """Two commands, and no rule is compiled."""
        run, install = self.machine.run, "apt-get install -q -y ./exposure-monitor.deb"
        reading = self.seconds(f"{install} --simulate")
        unpacked = self.seconds(install)
        self.running()
        leaked = self.seconds('logger "postgres://shop:$(tr -dc a-z0-9 </dev/urandom | head -c 20)@db/shop"')
        self.machine.until("journalctl -u exposure-monitor -o cat --no-pager", "CRITICAL", "monitor incidents ack")
        usage = run("cat /sys/fs/cgroup/system.slice/exposure-monitor.service/cpu.stat").split()[1]
        service = int(usage) / 1e6
        if compiled := run(f"find {STATE} -name '*.hsdb'"):
            raise Failure(f"rules were compiled: {compiled}")
        if service > LEAST:
            raise Failure(f"the first alert took {service:.2f} s of processor time")
        files = len(run("dpkg -L exposure-monitor").splitlines())
        whole = f"{unpacked + leaked + service:.2f} s of processor time"
        parts = f"{unpacked:.2f} of apt and dpkg ({reading:.2f} to read its lists), {leaked:.2f} of the second command"
        return f"{whole}: {parts}, {service:.2f} of the service; {files} paths"

    def as_installed(self) -> str:
        """Commands, with nothing but the package."""
        return as_installed(self.machine)

    def seconds(self, command: str) -> float:
        """Of processor time, for a command and what it starts."""
        times = self.machine.run(f"bash -c {shlex.quote(f'{command}; times')}").splitlines()[-1].split()
        pairs = [each.rstrip("s").split("m") for each in times]
        return sum(int(minutes) * 60 + float(rest) for minutes, rest in pairs)

    def credential(self) -> str:
        """A webhook signed with a credential of systemd."""
        run = self.machine.run
        secret = base64.b64encode(self.receiver.secret).decode()
        run(f"umask 077; echo whsec_{secret} >{CREDENTIALS}/hook")
        run(f"mkdir -p {DROP_IN}")
        run(f"printf '[Service]\\nLoadCredential=hook:{CREDENTIALS}/hook\\n' >{DROP_IN}/hook.conf")
        sink = f'[[sinks]]\nname = "hook"\ntype = "webhook"\nurl = "http://127.0.0.1:{self.receiver.port}/"\n'
        with (self.machine.root / CONFIG[1:]).open("a") as file:
            file.write(f'\n{sink}signing_secret = "credential:hook"\n')
        run("monitor check")
        run("systemctl daemon-reload && systemctl restart exposure-monitor")
        self.leak(3)
        seen = self.delivered()
        if self.receiver.unsigned:
            raise Failure(f"{self.receiver.unsigned} payloads are not signed with the credential")
        return f"{seen}, signed"

    def reload(self) -> str:
        """Another source by a reload; the process stays."""
        run, before = self.machine.run, self.show("MainPID")
        run("mkdir -p /srv/shop && touch /srv/shop/shop.log")
        with (self.machine.root / CONFIG[1:]).open("a") as file:
            file.write('\n[[sources]]\nname = "shop"\ntype = "file"\ninclude = ["/srv/shop/*.log"]\n')
        run("systemctl reload exposure-monitor")
        self.machine.until("journalctl -u exposure-monitor -o cat --no-pager", '"reloaded"')
        file, fingerprints = self.prepare()
        run(f"sed 's/^/token=/' {file} >>/srv/shop/shop.log")
        self.due += fingerprints
        seen = self.delivered()
        if self.show("MainPID") != before:
            raise Failure("the reload started another process")
        return seen

    def commands_of_alerts(self) -> str:
        """As they stand in the alert: as root, as a member of the group by sudo; without it they say what to do."""
        run = self.machine.run
        lines = run("journalctl -u exposure-monitor -o cat --no-pager").splitlines()
        printed = {line.split()[1]: " ".join(line.split()[2:]) for line in lines if line.startswith("┃ ")}
        ack, claim = printed["ack"], printed["claim"]
        incident = ack.split()[-1]
        run("useradd --create-home oncall && usermod -aG exposure-monitor oncall && useradd --create-home stranger")
        self.machine.refused(f"runuser -u oncall -- {ack}", "run it as root (sudo), or as the user")
        self.machine.refused(f"runuser -u stranger -- sudo -n -u exposure-monitor {ack}", "password")
        run(f"runuser -u oncall -- sudo -n -u exposure-monitor {ack}")
        run(claim)
        run(f"runuser -u oncall -- sudo -n -u exposure-monitor monitor incidents show {incident}")
        shown = run(f"monitor incidents show {incident}")
        for word in ("acknowledged by oncall", "revoke by root"):
            if word not in shown:
                raise Failure(f"{word} is not in:\n{shown}")
        others = run(f"find {STATE} ! -user exposure-monitor")
        if others:
            raise Failure(f"of others than the service: {others}")
        return f"{ack}; {claim}"

    def restart_after_SIGKILL(self) -> str:
        file, fingerprints = self.prepare()
        before = self.show("NRestarts")
        self.machine.run("systemctl kill --kill-whom=main -s KILL exposure-monitor")
        self.log(file)
        self.due += fingerprints
        seen = self.delivered()
        return f"{seen}; {before} → {self.show('NRestarts')} restarts"

    def watchdog_after_SIGSTOP(self) -> str:
        file, fingerprints = self.prepare()
        before = self.show("NRestarts")
        self.machine.run("systemctl kill --kill-whom=main -s STOP exposure-monitor")
        self.log(file)
        self.due += fingerprints
        self.machine.until("journalctl -u exposure-monitor --no-pager", "Watchdog timeout")
        seen = self.delivered()
        return f"{seen}; {before} → {self.show('NRestarts')} restarts"

    def upgrade(self) -> str:
        """With incidents open, nobody at the other end, and secrets logged while dpkg is at work."""
        self.running()
        self.receiver.close()
        self.leak(50)
        waiting = self.machine.until("monitor outbox list --sink hook", "hook")
        file, fingerprints = self.prepare(20)
        before = self.known()
        self.newer("2")
        process = self.machine.start("apt-get install -q -y ./exposure-monitor_2.deb")
        for number in range(1, 21):
            self.machine.run(f"sed -n '{number}s/^/deploy token=/p' {file} | logger -t shop; sleep 0.2")
        said, _ = process.communicate()
        if process.returncode:
            raise Failure(said)
        self.due += fingerprints
        self.running()
        self.receiver.open()
        seen = self.delivered()
        if gone := before - self.known():
            raise Failure(f"{len(gone)} incidents are gone")
        return f"{seen}, {len(waiting.splitlines())} lines in the outbox before"

    def known(self) -> set[str]:
        """Ids of all incidents."""
        listed = self.machine.run("monitor incidents list --state all --limit 10000 --format jsonl")
        return {line.partition('"id":"')[2].partition('"')[0] for line in listed.splitlines() if line[:1] == "{"}

    def newer(self, release: str, **changes: str) -> None:
        """The package with a higher version, as FILE_RELEASE.deb."""
        target = self.machine.root / f"srv/live/exposure-monitor_{release}.deb"
        version = self.package.name.split("_")[1].replace("-1+", f"-{release}+")
        repacked(self.package, target, version=version, **changes)

    def killed_upgrades(self) -> str:
        """dpkg is killed early, late, and while it configures; what Debian says to do then mends it."""
        before = self.known()
        for number, (name, reached) in enumerate(KILLS.items(), 3):
            self.newer(str(number))
            file, fingerprints = self.prepare(3)
            self.caught(f"dpkg -i exposure-monitor_{number}.deb", reached, "pkill -KILL -x dpkg")
            self.log(file)
            self.due += fingerprints
            mended = f"dpkg --configure -a && apt-get install -q -y --reinstall ./exposure-monitor_{number}.deb"
            self.machine.run(mended)
            if "ii " not in (listed := self.machine.run("dpkg -l exposure-monitor")):
                raise Failure(f"killed while {name}: {listed}")
            self.running()
        seen = self.delivered()
        if gone := before - self.known():
            raise Failure(f"{len(gone)} incidents are gone")
        return f"{seen}; killed while {', '.join(KILLS)}"

    def downgrade(self) -> str:
        """The package of the older version refuses what it could not read, and the monitor goes on."""
        self.machine.run("systemctl stop exposure-monitor")
        (schema,) = self.sql("SELECT value FROM meta WHERE key = 'schema'")
        self.sql("UPDATE meta SET value = '9999' WHERE key = 'schema'")
        self.machine.refused("monitor incidents list", "9999")
        install = "apt-get install -q -y --allow-downgrades ./exposure-monitor.deb"
        said = self.machine.refused(install, "schema version 9999", "restore the backup", "does not start")
        self.machine.run("systemctl stop exposure-monitor")  # it tries every 2 s; a start would wait for a try
        self.sql(f"UPDATE meta SET value = '{schema}' WHERE key = 'schema'")
        self.machine.run("dpkg --configure -a; systemctl start exposure-monitor")
        self.running()
        if "-1+" in self.machine.run("dpkg-query -W exposure-monitor"):
            raise Failure(f"it was installed:\n{said}")
        return next(line.strip() for line in said.splitlines() if "9999" in line)

    def sql(self, statement: str) -> list[str]:
        """What the database of the stopped service answers."""
        script = self.machine.root / "srv/live/sql.py"
        connect = f"import sqlite3\nfile = sqlite3.connect('{STATE}/state.db')\n"
        script.write_text(f"{connect}for row in file.execute({statement!r}): print(*row)\nfile.commit()\n")
        return self.machine.run("python3 sql.py").split()

    def wrong_python(self) -> str:
        for other in self.others:
            shutil.copy(other, self.machine.root / "srv/live/other.deb")
            self.machine.refused(
                "dpkg -i --force-downgrade other.deb", "pre-depends on python3", "python3 is installed"
            )
            self.running()
        return f"{len(self.others)} refused, and it runs on"

    def broken_configuration(self) -> str:
        """A key of another version: the upgrade ends, and says which line is to be mended."""
        config = self.machine.root / CONFIG[1:]
        whole = config.read_text()
        config.write_text(whole.replace("[monitor]", "[monitor]\nformer_key = 1"))
        self.newer("8")
        said = self.machine.run("apt-get install -q -y ./exposure-monitor_8.deb")
        if "former_key" not in said or "does not start" not in said:
            raise Failure(said)
        config.write_text(whole)
        self.machine.run("systemctl start exposure-monitor")
        self.running()
        return next(line.strip() for line in said.splitlines() if "former_key" in line)

    def removal(self) -> str:
        """Configuration, key and state stay, and are used when it comes back."""
        run, before, key = self.machine.run, self.known(), self.key()
        run("apt-get remove -q -y exposure-monitor")
        self.machine.refused("systemctl is-active exposure-monitor", "inactive")
        if left := run(
            "ls -d /opt/exposure-monitor /usr/bin/monitor /usr/lib/systemd/system/exposure* 2>/dev/null; true"
        ):
            raise Failure(f"still there: {left}")
        file = "/srv/live/leak.1"  # of what is known; logged while nobody looks
        self.log(file)
        run("apt-get install -q -y ./exposure-monitor_8.deb")
        self.running()
        if self.key() != key or not before <= self.known():
            raise Failure("another key, or incidents are gone")
        return f"{len(before)} incidents and the key stayed"

    def key(self) -> str:
        return self.machine.run(f"sha256sum {CREDENTIALS}/fingerprint-key")

    def purge(self) -> str:
        """All of it goes but what others put there."""
        run = self.machine.run
        said = run("apt-get purge -q -y exposure-monitor")
        left = run(f"ls -d {STATE} {CONFIG} {CREDENTIALS}/fingerprint-key /opt/exposure-monitor 2>/dev/null; true")
        if left or "is still there" not in said:
            raise Failure(f"left: {left}\n{said}")
        kept = run(f"ls {CREDENTIALS}")
        run(f"rm -r /etc/exposure-monitor {DROP_IN}; systemctl daemon-reload")
        return f"gone; left is the credential of the administrator: {kept}"

    def over_an_installation_by_hand(self) -> str:
        """As docs/install.md says, from a service of a dynamic user: configuration, key and state are taken over."""
        run, program = self.machine.run, "/opt/exposure-monitor"
        run("userdel exposure-monitor; ! getent group exposure-monitor || groupdel exposure-monitor")
        run(f"dpkg-deb -x exposure-monitor.deb hand && mkdir -p /opt && mv hand{program} /opt")
        run(f"install -D -m 0644 hand{CONFIG} {CONFIG} && ln -sf {program}/bin/monitor /usr/local/bin/monitor")
        run(
            f"install -d -m 0700 {CREDENTIALS} && umask 077 && "
            f"head -c 32 /dev/urandom | base64 >{CREDENTIALS}/fingerprint-key"
        )
        run(f"printf '[http]\\nlisten = \"127.0.0.1:0\"\\n' >>{CONFIG}")
        shutil.copy(HERE / "systemd/exposure-monitor.service", self.machine.root / "etc/systemd/system")
        run("systemctl daemon-reload && systemctl enable -q --now exposure-monitor")
        self.running()
        run('logger -t shop "deploy token=$(monitor sample github-pat)"')
        self.machine.until("monitor incidents list --format jsonl", '"id"')
        before, key, config = self.known(), self.key(), run(f"sha256sum {CONFIG}")
        install = "apt-get install -q -y -o Dpkg::Options::=--force-confold ./exposure-monitor.deb"
        self.machine.refused(install, "hides the unit of the package")
        run("systemctl stop exposure-monitor && mv /etc/systemd/system/exposure-monitor.service .")
        run(f"mv {program} {program}.old")
        run(install)
        self.running()
        after = self.known(), self.key(), run(f"sha256sum {CONFIG}")
        owner = run(f"stat -c %U {STATE}/state.db")
        if after != (before, key, config) or owner != "exposure-monitor":
            raise Failure(f"{(before, key, config)} became {after}, of {owner}")
        run(f"apt-get purge -q -y exposure-monitor; rm -rf {program}.old /usr/local/bin/monitor /etc/exposure-monitor")
        return f"{len(before)} incident, the key and the configuration are taken over"

    def rpm(self) -> str:
        """Installed without its dependencies, of which there is no repository here; Debian's Python serves."""
        run = self.machine.run
        shutil.copy(self.rpms[0], self.machine.root / "srv/live/exposure-monitor.rpm")
        run("apt-get install -q -y --no-install-recommends rpm")
        run("mkdir -p /opt/exposure-monitor")
        self.machine.refused("rpm --force-debian --nodeps -i exposure-monitor.rpm", "/opt/exposure-monitor is there")
        run("rmdir /opt/exposure-monitor")
        run("rpm --force-debian --nodeps -i exposure-monitor.rpm")
        run("systemctl enable --now exposure-monitor")
        self.running()
        run('logger -t shop "deploy token=$(monitor sample github-pat)"')
        self.machine.until("journalctl -u exposure-monitor -o cat --no-pager -n 30", "CRITICAL")
        run("rpm --force-debian -e exposure-monitor")
        self.machine.refused("systemctl is-active exposure-monitor", "inactive")
        run(f"test -e {STATE}/state.db && test -e {CREDENTIALS}/fingerprint-key && ! test -e /opt/exposure-monitor")
        return "alert; after its removal the key and the state are there"


def newest(folder: Path, pattern: str) -> list[Path]:
    """The one that was made last; none where there is none."""
    return sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)[-1:]


if __name__ == "__main__":
    main()
