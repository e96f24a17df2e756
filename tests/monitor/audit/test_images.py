from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from monitor.audit.check import Evidence
from monitor.audit.images import baked, dockerfiles
from monitor.audit.tree import is_image
from tests.monitor.audit.conftest import ONE, THREE, TWO, Make, write

Token = Callable[[int], str]
Layer = Mapping[str, bytes]
CONFIG: dict[str, Any] = {"config": {"Env": ["PATH=/usr/bin"]}, "history": [{"created_by": "RUN make"}]}


def packed(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def saved(path: Path, layers: Sequence[Layer], config: Mapping[str, Any] = CONFIG) -> Path:
    """What `docker save` wrote until version 24."""
    files = {f"{number:064x}/layer.tar": packed(layer) for number, layer in enumerate(layers)}
    manifest = [{"Config": f"{'c' * 64}.json", "RepoTags": ["app:1"], "Layers": list(files)}]
    files |= {f"{'c' * 64}.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}
    path.write_bytes(packed(files))
    return path


def layout(layers: Sequence[Layer], config: Mapping[str, Any] = CONFIG) -> dict[str, bytes]:
    """The files of an OCI layout; layers are compressed."""
    blobs: dict[str, bytes] = {}

    def put(data: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"digest": f"sha256:{digest}", "size": len(data), "mediaType": "application/octet-stream"}

    parts = [put(gzip.compress(packed(layer))) for layer in layers]
    manifest = put(json.dumps({"config": put(json.dumps(config).encode()), "layers": parts}).encode())
    index = put(json.dumps({"manifests": [manifest]}).encode())
    return {**blobs, "index.json": json.dumps({"manifests": [index]}).encode(), "oci-layout": b"{}"}


def wrong(make: Make, *images: Path) -> list[Evidence]:
    found = list(baked(make(images=images)))
    assert found
    return [one for one in found if one.verdict != "pass"]


@pytest.fixture(params=["saved", "oci-tar", "oci-folder"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Path]:
    def image(layers: Sequence[Layer], config: Mapping[str, Any] = CONFIG) -> Path:
        if request.param == "saved":
            return saved(tmp_path / "image.tar", layers, config)
        if request.param == "oci-tar":
            (tmp_path / "image.tar").write_bytes(packed(layout(layers, config)))
            return tmp_path / "image.tar"
        return write(tmp_path / "image", dict(layout(layers, config)))

    return image


def test_a_clean_image_passes(make: Make, build: Callable[..., Path]) -> None:
    image = build([{"etc/os-release": b"x"}, {"app/main.py": b"import os\n"}])
    assert wrong(make, image) == []
    (one,) = baked(make(images=(image,)))
    assert "no secret in 2 layers" in one.text


def test_a_secret_that_a_later_layer_deletes_is_still_there(
    make: Make, build: Callable[..., Path], token: Token
) -> None:
    layers: list[Layer] = [
        {
            "app/.npmrc": f"//registry/:_authToken={token(1)}\n".encode(),
            "tmp/key": token(2).encode(),
            "a": token(3).encode(),
        },
        {"app/.wh..npmrc": b"", "app/.wh.main.py": b""},
        {"tmp/.wh..wh..opq": b""},
    ]
    found = wrong(make, build(layers))
    gone = {one.path.rpartition("!")[2]: "deleted in a later layer" in one.text for one in found}
    assert gone == {"app/.npmrc": True, "tmp/key": True, "a": False}
    assert {one.verdict for one in found} == {"fail"}
    assert not any(token(n)[8:] in str(found) for n in (1, 2, 3))


def test_environment_labels_and_history(make: Make, build: Callable[..., Path], token: Token) -> None:
    config = {
        "config": {"Env": [f"DB_PASSWORD={ONE}", f"X={token(1)}"], "Labels": {"api.token": TWO}},
        "history": [
            {"created_by": f"|1 NPM_TOKEN={THREE} /bin/sh -c npm ci"},
            {"created_by": f"ENV DB_PASSWORD={ONE}"},
            {"created_by": "RUN --mount=type=secret A_TOKEN=$(cat /run/secrets/a) make"},
            {"created_by": None},
            7,
        ],
    }
    found = wrong(make, build([{"a": b"x"}], config))
    texts = " ".join(one.text for one in found)
    assert {one.verdict for one in found} == {"fail"}
    for what in ("ENV DB_PASSWORD holds", "LABEL api.token holds", "a value of NPM_TOKEN", "github-pat"):
        assert texts.count(what) == 1, texts
    assert "A_TOKEN" not in texts
    for value in (ONE, TWO, THREE, token(1)):
        assert value not in str(found)


def test_paths_and_links_in_an_archive_lead_nowhere(make: Make, token: Token, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text(token(1))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind in (
            ("../../outside", tarfile.SYMTYPE),
            ("/etc/passwd", tarfile.LNKTYPE),
            ("dev", tarfile.CHRTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(tmp_path / "outside")
            tar.addfile(info)
        info = tarfile.TarInfo("../../../etc/cron.d/x")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    manifest = [{"Config": "../../outside", "Layers": ["a" * 64 + "/layer.tar", "../outside", 7, None]}]
    files = {"a" * 64 + "/layer.tar": out.getvalue(), "manifest.json": json.dumps(manifest).encode()}
    (tmp_path / "i.tar").write_bytes(packed(files))
    found = wrong(make, tmp_path / "i.tar")
    assert {one.verdict for one in found} == {"unknown"}
    assert {one.text.split(":")[1].strip() for one in found} == {"../../outside", "../outside"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i.tar", "outside"]


def test_a_layout_whose_blobs_are_links_or_whose_digests_climb_is_unknown(
    make: Make, token: Token, tmp_path: Path
) -> None:
    (tmp_path / "outside").write_text(token(1))
    files = layout([{"a": b"x"}])
    folder = write(tmp_path / "i", dict(files))
    blob = next(name for name in files if name.startswith("blobs/"))
    (folder / blob).unlink()
    (folder / blob).symlink_to(tmp_path / "outside")
    assert {one.verdict for one in wrong(make, folder)} == {"unknown"}
    write(folder, {"index.json": json.dumps({"manifests": [{"digest": "sha256:../../outside"}, 7, {"digest": None}]})})
    assert {one.verdict for one in wrong(make, folder)} == {"unknown"}


@pytest.mark.parametrize(
    "manifest", [b"", b"[", b"{}", b"[]", b"7", b'[{"Layers": {}}]', b"[" * 5000, b'{"manifests": [[[]]]}']
)
def test_a_manifest_that_says_nothing_is_unknown(manifest: bytes, make: Make, tmp_path: Path) -> None:
    (tmp_path / "i.tar").write_bytes(packed({"a" * 64 + "/layer.tar": packed({"a": b"x"}), "manifest.json": manifest}))
    assert {one.verdict for one in wrong(make, tmp_path / "i.tar")} == {"unknown"}


def test_manifests_in_a_circle_end(make: Make, tmp_path: Path) -> None:
    one = json.dumps({"manifests": [{"digest": f"sha256:{'a' * 64}"}] * 3}).encode()
    (tmp_path / "i.tar").write_bytes(packed({"oci-layout": b"{}", "index.json": one, f"blobs/sha256/{'a' * 64}": one}))
    assert {one.verdict for one in wrong(make, tmp_path / "i.tar")} == {"unknown"}


def test_a_bomb_and_half_an_archive_are_unknown(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from monitor.common.archive import ArchiveBudget

    monkeypatch.setattr("monitor.audit.images.ArchiveBudget", lambda: ArchiveBudget(size=1 << 20))
    folder = write(tmp_path / "i", dict(layout([{"big": bytes(4 << 20)}])))
    found = wrong(make, folder)
    assert {one.verdict for one in found} == {"unknown"}
    assert "1 MiB unpacked" in found[0].text
    image = saved(tmp_path / "half.tar", [{"big": bytes(9000)}])
    image.write_bytes(image.read_bytes()[:6000])
    assert {one.verdict for one in wrong(make, image)} == {"unknown"}
    assert {one.verdict for one in wrong(make, tmp_path / "gone.tar")} == {"unknown"}


def test_what_is_an_image(tmp_path: Path) -> None:
    assert is_image(saved(tmp_path / "a.tar", [{"a": b"x"}]))
    (tmp_path / "b.tar").write_bytes(packed({"src/main.py": b"x"}))
    assert not is_image(tmp_path / "b.tar")
    (tmp_path / "c.tar").write_bytes(b"rubbish")
    assert not is_image(tmp_path / "c.tar")
    assert not is_image(tmp_path / "gone")


def test_images_of_a_folder_are_found_and_without_any_it_is_unknown(make: Make, token: Token, tmp_path: Path) -> None:
    write(tmp_path, {"a": "x"})
    assert [one.verdict for one in baked(make(tmp_path))] == ["unknown"]
    saved(tmp_path / "app.tar", [{"a": token(1).encode()}])
    write(tmp_path / "other", dict(layout([{"a": token(2).encode()}])))
    assert [one.verdict for one in baked(make(tmp_path))] == ["fail", "fail"]


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        (f"ENV DB_PASSWORD={ONE}", "fail"),
        (f"ENV DB_PASSWORD {ONE}", "fail"),
        (f"ENV A=1 \\\n    DB_PASSWORD={ONE}", "fail"),
        (f"ARG NPM_TOKEN={ONE}", "fail"),
        ("ARG NPM_TOKEN", "pass"),
        ("ENV NPM_TOKEN=$NPM_TOKEN", "pass"),
        ("COPY .env /app/", "fail"),
        ('COPY ["certs/tls.key", "/etc/"]', "fail"),
        ("COPY .env.example /app/.env", "pass"),
        ("COPY --from=build /app/.env /app/", "pass"),
        ("COPY src/ /app/", "pass"),
        (f"RUN echo ENV DB_PASSWORD={ONE}", "pass"),
        (f"ENV 'unclosed DB_PASSWORD={ONE}", "fail"),
    ],
)
def test_steps(line: str, verdict: str, make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"Dockerfile": f"FROM x\n{line}\nCMD y\n"})
    found = list(dockerfiles(make(tmp_path)))
    assert [one.verdict for one in found] == [verdict]
    assert ONE not in str(found)
    if verdict == "fail":
        assert found[0].line == 2


def test_a_folder_that_is_copied_whole_takes_its_env_along(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"web/Dockerfile": "FROM x\nRUN a \\\n  b\nCOPY . /app\n", "web/.env": "A=b"})
    (one,) = dockerfiles(make(tmp_path))
    assert (one.verdict, one.line) == ("fail", 4)
    write(tmp_path, {"web/.dockerignore": "node_modules\n.env*\n"})
    assert [one.verdict for one in dockerfiles(make(tmp_path))] == ["pass"]


def test_one_that_cannot_be_read_is_unknown(make: Make, tmp_path: Path) -> None:
    write(tmp_path, {"Dockerfile": b"#" * ((1 << 20) + 1)})
    assert [one.verdict for one in dockerfiles(make(tmp_path))] == ["unknown"]
