#!/bin/sh
# What the README promises, on machines that have nothing: a fresh Debian by debootstrap, Python and make from its packages, a
# clone at /srv/monitor, then `make run` until a planted secret is alerted, then `make test`. Needs root; `make fresh` calls it.
#
#   tests/fresh.sh [RELEASE ...]       default: bookworm trixie forky (Debian 12, 13 and testing)
#   FRESH_DIR     where the roots lie (default /var/tmp/exposure-monitor-fresh)
#   FRESH_MIRROR  a Debian mirror (default: the one this machine uses)
#   FRESH_TESTS   how often `make test` runs (default 1; 0: only `make run`)
#   FRESH_BUSY    so many busy loops beside it (default 0), in sessions of their own, as other services are
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
folder=${FRESH_DIR:-/var/tmp/exposure-monitor-fresh}
tests=${FRESH_TESTS:-1}
busy=${FRESH_BUSY:-0}

[ "$(id -u)" = 0 ] || { echo "make fresh needs root: it makes roots with debootstrap and enters them" >&2; exit 1; }

# Told by its first line that it is the part inside.
if [ "${1:-}" = --inside ]; then
    cd /srv/monitor
    export DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8
    apt-get update -q >/dev/null
    apt-get install -q -y --no-install-recommends python3 make >/dev/null
    python3 --version

    # make run: ready, a planted secret, its alert.
    began=$(date +%s)
    make run >/tmp/run.log 2>&1 &
    wanted() {  # wanted SECONDS PATTERN: until the log shows it
        for _ in $(seq "$1"); do grep -q "$2" /tmp/run.log && return 0; sleep 1; done
        echo "make run never printed '$2':" >&2; cat /tmp/run.log >&2; return 1
    }
    wanted 300 ready
    .venv/bin/monitor sample github-pat >>var/log/demo.log
    wanted 60 'CRITICAL'
    echo "make run: alert $(($(date +%s) - began)) s after nothing was installed"
    pkill -TERM -f 'monitor run' || kill %1
    wait || true

    loops=
    for _ in $(seq 1 "$busy"); do setsid sh -c 'while :; do :; done' & loops="$loops $!"; done
    failed=0
    for round in $(seq 1 "$tests"); do
        began=$(date +%s)
        make test </dev/null >/tmp/test.log 2>&1 || { failed=1; tail -n 150 /tmp/test.log; }
        echo "make test, round $round of $tests beside $busy busy loops: $(tail -n 1 /tmp/test.log), $(($(date +%s) - began)) s in all"
    done
    [ -z "$loops" ] || kill $loops
    exit "$failed"
fi

command -v debootstrap >/dev/null || { apt-get update -q >/dev/null; apt-get install -q -y --no-install-recommends debootstrap >/dev/null; }
mirror=${FRESH_MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m 1 '/debian$' || true)}
mkdir -p "$folder"

for release in ${@:-bookworm trixie forky}; do
    root=$folder/$release
    base=$folder/$release.base
    [ -e "$base/etc/debian_version" ] || {
        rm -rf "$base"
        debootstrap --variant=minbase --include=ca-certificates,procps "$release" "$base.new" ${mirror:+"$mirror"} >"$folder/$release.log" 2>&1 ||
            { tail -n 20 "$folder/$release.log" >&2; exit 1; }
        mv "$base.new" "$base"
    }
    rm -rf "$root"
    cp -a "$base" "$root"

    # How this machine reaches its registries holds inside as well: resolver, certificates, pip's own configuration.
    cp -L /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
    for file in "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" /etc/pip.conf /etc/apt/apt.conf.d/*proxy*; do
        [ -f "$file" ] && { mkdir -p "$root$(dirname "$file")"; cp -L "$file" "$root$file"; }
    done
    # A mirror may lag, and testing's lists are good for a week only (debootstrap does not look); signatures are checked as ever.
    echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/99lag"
    git clone -q --no-hardlinks "file://$here" "$root/srv/monitor"
    cp "$0" "$root/tmp/fresh.sh"

    echo "== $release: Debian $(cat "$root/etc/debian_version"), commit $(git -C "$here" rev-parse --short HEAD)"
    unshare --mount --pid --fork --kill-child sh -euc '
        mount -t proc proc "$1/proc"
        mount -t sysfs sysfs "$1/sys"
        mount --rbind /dev "$1/dev"
        mount -t tmpfs tmpfs "$1/run"
        exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb CI=true \
            FRESH_TESTS="$2" FRESH_BUSY="$3" $4 chroot "$1" sh /tmp/fresh.sh --inside
    ' sh "$root" "$tests" "$busy" "$(env | grep -E '^(https?_proxy|no_proxy|PIP_(CERT|INDEX_URL|DEFAULT_TIMEOUT)|SSL_CERT_FILE)=' | tr '\n' ' ')"
    rm -rf "$root"
done
echo "fresh: all passed"
