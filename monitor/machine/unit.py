"""The service's unit as systemd reads it: which file is in force, what drop-ins change, and what ours says."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "NAME",
    "PACKAGED",
    "STATE",
    "UNIT",
    "ServiceUnit",
    "drop_in",
    "find_unit",
    "rendered",
    "service_settings",
    "shipped",
    "yes",
]

NAME = "exposure-monitor"
UNIT = f"{NAME}.service"
STATE = Path(f"/var/lib/{NAME}")
PACKAGED = ("usr/lib/systemd/system", "lib/systemd/system")
# What is in an earlier one hides what is in a later one (systemd.unit(5)).
_FOLDERS = ("etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", *PACKAGED)
_LARGEST = 1 << 20  # bytes of a unit file


@dataclass(frozen=True, slots=True)
class ServiceUnit:
    """`hidden`: files of the same name that `path` hides. `settings`: of [Service], with all drop-ins, each key with
    its values; `origin`: the file that said the last of them."""

    path: Path
    masked: bool
    hidden: tuple[Path, ...]
    settings: Mapping[str, tuple[str, ...]]
    origin: Mapping[str, Path]
    enabled: bool

    def last(self, key: str, default: str = "") -> str:
        return self.settings.get(key, (default,))[-1]

    def words(self, key: str) -> list[str]:
        return [word for value in self.settings.get(key, ()) for word in value.split()]

    @property
    def command(self) -> list[str]:
        """What it starts, without the marks that systemd takes in front."""
        return shlex.split(self.last("ExecStart").lstrip("@-:+!"))

    @property
    def program(self) -> Path | None:
        return Path(self.command[0]) if self.command else None

    @property
    def environment(self) -> dict[str, str]:
        """What `Environment=` and the files of `EnvironmentFile=` set, as far as they may be read."""
        words = [word for value in self.settings.get("Environment", ()) for word in _split(value)]
        for file in self.words("EnvironmentFile"):
            with contextlib.suppress(OSError):
                text = Path(file.removeprefix("-")).read_text(encoding="utf-8", errors="replace")[:_LARGEST]
                words += [line for line in text.splitlines() if line[:1] not in "#;"]
        pairs = (word.partition("=") for word in words if "=" in word)
        return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}

    @property
    def writes(self) -> Path | None:
        """The state folder that systemd makes for it."""
        names = self.words("StateDirectory")
        return Path("/var/lib", names[0].partition(":")[0]) if names else None


def find_unit(root: Path = Path("/")) -> ServiceUnit | None:
    """None: the service is not installed. Raises OSError."""
    folders = [root / folder for folder in _FOLDERS if not (root / folder.partition("/")[0]).is_symlink()]
    files = [path for folder in folders if os.path.lexists(path := folder / UNIT)]
    if not files:
        return None
    masked = os.path.realpath(files[0]) == "/dev/null" or not files[0].exists()
    drop_ins: dict[str, Path] = {}
    for folder in reversed(folders):
        drop_ins |= {path.name: path for path in (folder / f"{UNIT}.d").glob("*.conf")}
    read = () if masked else (files[0], *(drop_ins[name] for name in sorted(drop_ins)))
    texts = {path: path.read_text(encoding="utf-8", errors="replace")[:_LARGEST] for path in read}
    origin = {key: path for path, text in texts.items() for key, _ in _lines(text)}
    settings = service_settings(*texts.values())
    enabled = any(os.path.lexists(wants / UNIT) for folder in folders for wants in folder.glob("*.wants"))
    return ServiceUnit(files[0], masked, tuple(files[1:]), settings, origin, enabled)


def _split(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:  # a quote without its other half, which systemd passes over
        return []


def service_settings(*texts: str) -> dict[str, tuple[str, ...]]:
    """What texts of unit files say one after another in [Service]."""
    settings: dict[str, tuple[str, ...]] = {}
    for text in texts:
        for key, value in _lines(text):
            settings[key] = (*filter(None, settings.get(key, ())), value) if value else ("",)  # takes back all before
    return settings


def _lines(text: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in re.sub(r"\\\n(?:\s*[#;].*\n)*", " ", text).splitlines():
        line = line.strip()  # noqa: PLW2901 - as systemd takes it
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and line[0] not in "#;":
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()


def yes(value: str) -> bool:
    return value.lower() in ("1", "yes", "true", "on", "y", "t")


def shipped() -> str:
    """Our unit file: beside us in a wheel, in a folder of its own in a checkout."""
    here = Path(__file__).parent
    places = (here / UNIT, here.parent.parent / "systemd" / UNIT)
    return next(path for path in places if path.is_file()).read_text(encoding="utf-8")


def rendered(program: Path, groups: Sequence[str]) -> str:
    """Our unit for a program that lies there, as a user of the system's who has a name, and the groups that there are:
    one that is missing would keep it from starting."""
    lines = []
    named = False
    for line in shipped().splitlines():
        key, equals, value = line.partition("=")
        if key in ("User", "Group", "DynamicUser") and equals:
            if not named:
                lines += [f"User={NAME}", f"Group={NAME}"]
            named = True
        elif key == "ExecStart":
            lines.append(f"ExecStart={program} {value.partition(' ')[2]}")
        elif key == "SupplementaryGroups":
            lines += [f"SupplementaryGroups={' '.join(groups)}"] if groups else []
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def drop_in(name: str, *lines: str) -> str:
    """The command that adds lines to [Service], beside what is there."""
    folder = f"/etc/systemd/system/{UNIT}.d"
    text = "\\n".join(("[Service]", *lines, ""))
    put = f"mkdir -p {folder} && printf '{text}' > {folder}/{name}.conf"
    return f"{put} && systemctl daemon-reload && systemctl restart {NAME}"
