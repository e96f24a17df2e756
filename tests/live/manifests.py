"""`python manifests.py FILE`: manifests, held against the schemas of each Kubernetes that kubernetes-validate knows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from kubernetes_validate import ValidationError, validate
from kubernetes_validate.utils import all_versions, major_minor


def wrong(documents: list[dict[str, Any]], version: str) -> Iterator[str]:
    for document in documents:
        try:
            validate(document, version, strict=True)
        except ValidationError as error:
            yield f"Kubernetes {version}: {document['kind']}: {error.message} at {'.'.join(map(str, error.path))}"


def main(file: Path) -> None:
    documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    versions = sorted({major_minor(version) for version in all_versions()}, key=lambda one: int(one.split(".")[1]))
    if problems := [problem for version in versions for problem in wrong(documents, version)]:
        sys.exit("\n".join(problems))
    misspelt = deepcopy(documents)
    (pod,) = (one["spec"]["template"]["spec"] for one in misspelt if one["kind"] == "DaemonSet")
    pod["containers"][0]["readonlyRootFilesystem"] = True
    assert all(list(wrong(misspelt, version)) for version in versions), "a key that is misspelt goes unnoticed"
    print(f"{file}: {len(documents)} objects are right for Kubernetes {versions[0]} to {versions[-1]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
