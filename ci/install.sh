#!/bin/sh
# The monitor of this checkout, and what it needs by its hashes, in an environment of its own: install.sh FOLDER
# PYTHON (default: python3) is what it is made with.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "exposure-monitor: Python 3.11 or newer is needed; PYTHON names one" >&2; exit 2; }
"$python" -m venv "$1"
set -- "$1" "$1/bin/python" -m pip --disable-pip-version-check --no-input install --quiet
folder=$1
shift
"$@" --require-hashes --requirement "$here/requirements.lock"
"$@" --no-deps --no-build-isolation "$here"
"$folder/bin/monitor" --version
