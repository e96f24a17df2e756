#!/bin/sh
# The monitor of this checkout, and what it needs by its hashes, in an environment of its own: install.sh FOLDER
# PYTHON (default: python3) is what it is made with. It starts in what is to be scanned: nothing there is run (-I, and
# away from it; what Python and pip are told by the environment does not count).
set -eu

here=$(cd "$(dirname "$0")/.." && pwd -P)
python=$(command -v "${PYTHON:-python3}") || python=
case $python in
    /*) ;;
    */*) python=$(cd "$(dirname "$python")" && pwd -P)/${python##*/} ;;
    *) echo "exposure-monitor: there is no ${PYTHON:-python3}; PYTHON names one" >&2; exit 2 ;;
esac
unset PYTHONPATH PYTHONHOME
mkdir -p "$1"
cd "$1"
"$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "exposure-monitor: Python 3.11 or newer is needed; PYTHON names one" >&2; exit 2; }
"$python" -I -m venv .
folder=$(pwd -P)
set -- "$folder/bin/python" -I -m pip --disable-pip-version-check --no-input install --quiet
"$@" --require-hashes --requirement "$here/requirements.lock"
"$@" --no-deps --no-build-isolation "$here"
"$folder/bin/python" -I "$folder/bin/monitor" --version
