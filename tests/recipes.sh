#!/bin/sh
# `make recipes`: rsyslog and syslog-ng by the lines of docs/sources.md. Debian's packages of both are unpacked below
# var/recipes and not installed: each wants to be the only one, and a host has its own.
set -eu
cd "$(dirname "$0")/.."
place=$PWD/var/recipes
mkdir -p "$place/bin"

unpacked() {  # unpacked PACKAGE PROGRAM OPTION MODULE: a command that runs it from where it is, with its modules
    root=$place/$1
    if [ ! -x "$root/usr/sbin/$2" ]; then
        rm -rf "$root" && mkdir -p "$root/packages"
        # with those it needs that this machine does not have
        (cd "$root/packages" && { echo "$1"
            apt-get install --simulate --no-install-recommends "$1" | sed -n 's/^Inst \([^ ]*\) .*/\1/p'
        } | sort -u | xargs apt-get download -q >download.log 2>&1) || { cat "$root/packages/download.log" >&2; exit 1; }
        for file in "$root"/packages/*.deb; do dpkg --extract "$file" "$root"; done
    fi
    libraries=$(find "$root/usr/lib" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
    modules=$(dirname "$(find "$root/usr/lib" -name "$4")")
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s %s%s "$@"\n' "$libraries" "$root/usr/sbin/$2" "$3" "$modules" >"$place/bin/$2"
    chmod +x "$place/bin/$2"
}
unpacked rsyslog rsyslogd -M imuxsock.so
unpacked syslog-ng-core syslog-ng --module-path= libsyslogformat.so

PATH=$place/bin:$PATH exec "${BIN:-.venv/bin}/python" -m pytest -m recipe tests/acceptance/test_recipes.py
