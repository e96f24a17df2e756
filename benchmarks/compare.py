"""The small rows of docs/compare.md: ours and whatever scanner is on PATH, on one synthetic token.

    python -m benchmarks.compare

Per scanner: the encodings in which it finds the token, how often it prints the value, how many calls of the kernel
connect or send to a place of the internet (strace, as root, in a network of its own, so that nothing gets out), and the
CPU seconds of a file of one line, the least of five.
"""

from __future__ import annotations

import base64
import gzip
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from detectors.rules.template import expand

b64 = base64.b64encode
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda text: text,
    "base64": b64,
    "base64 twice": lambda text: b64(b64(text)),
    "hex": lambda text: text.hex().encode(),
    "percent": lambda text: b"".join(b"%%%02X" % byte for byte in text),
    "gzip in base64": lambda text: b64(gzip.compress(text, mtime=0)),
    "that in base64": lambda text: b64(b64(gzip.compress(text, mtime=0))),
    "UTF-16": lambda text: text.decode().encode("utf-16le"),
}
# Each exits with another code than 0 for a finding. As they are run by default, and without asking anybody.
SCANNERS = {
    "ours": [f"{Path(sys.executable).with_name('monitor')} scan {{}}"],
    "kingfisher": ["kingfisher scan {}", "kingfisher scan --no-validate --no-update-check {}"],
    "betterleaks": ["betterleaks fs --no-banner {}"],
    "gitleaks": ["gitleaks detect --no-git --verbose --source {}"],
}


def run(command: str, path: Path, *prefix: str) -> tuple[int, str, float]:
    """Exit code, all that it prints, CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*prefix, *command.format(path).split()], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace"), cpu


def connections(command: str, path: Path) -> str:
    """How many calls name a place of the internet."""
    if os.geteuid() != 0 or not shutil.which("strace"):
        return "not measured"
    trace = path.with_name("trace")
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    run(command, path, "unshare", "--net", "strace", "-f", "-e", calls, "-o", str(trace))
    return str(trace.read_text().count("_port=htons("))


def main() -> None:
    token = expand("ghp_{alnum:30}{crc32}", "compare")
    with tempfile.TemporaryDirectory() as top:
        plain = Path(top, "app.txt")
        plain.write_text(f'{{"level":"info","user":"app","token":"{token}"}}\n')
        nothing = Path(top, "nothing", "app.txt")
        nothing.parent.mkdir()
        nothing.write_text("hello\n")
        for name, (command, *quiet) in SCANNERS.items():
            if not shutil.which(command.split()[0]):
                continue
            alone = quiet[0] if quiet else command
            if run(alone, nothing)[0] != 0:
                print(f"{name}: what is on PATH does not know this: {alone}")
                continue
            found = []
            for encoding, encode in ENCODINGS.items():
                path = Path(
                    top, name, encoding.replace(" ", "-"), "app.txt"
                )  # by itself: gitleaks 8.16 reads the whole folder
                path.parent.mkdir(parents=True)
                path.write_bytes(b"upstream answered body=" + encode(f'{{"token":"{token}"}}'.encode()) + b"\n")
                found += [encoding] * (run(alone, path)[0] != 0)
            printed = run(alone, plain)[1].count(token)
            cpu = min(run(alone, plain)[2] for _ in range(5))
            print(f"{name}: finds it in {', '.join(found)}; prints the value {printed} times; {cpu:.2f} CPU s")
            for each in (command, *quiet):
                print(f"  connects or sends {connections(each, plain)} times: {each.format('FILE').rpartition('/')[2]}")


if __name__ == "__main__":
    main()
