#!/bin/sh
# What the service needs beside its files: its user, its folders, and a key for fingerprints where there is none.
set -eu
systemd-sysusers exposure-monitor.conf

# The state of an installation by hand, whose user was a dynamic one: its files belong to nobody by name.
state=/var/lib/exposure-monitor
if [ -L "$state" ] && [ -d /var/lib/private/exposure-monitor ]; then
    rm "$state"
    mv /var/lib/private/exposure-monitor "$state"
fi
if [ -d "$state" ] && [ "$(stat -c %U "$state")" != exposure-monitor ]; then
    chown -R exposure-monitor:exposure-monitor "$state"
fi
systemd-tmpfiles --create exposure-monitor.conf

# Written aside and linked into place: never over a key, and never half of one. With another key, all that is known
# would look new.
folder=/etc/exposure-monitor/credentials
key=$folder/fingerprint-key
if [ ! -e "$key" ] && [ ! -L "$key" ]; then
    umask 077
    fresh=$(mktemp "$folder/.fingerprint-key.XXXXXX")
    trap 'rm -f "$fresh"' EXIT
    od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n' >"$fresh"
    [ "$(wc -c <"$fresh")" -eq 64 ] || { echo "exposure-monitor: $key could not be written" >&2; exit 1; }
    chown exposure-monitor:exposure-monitor "$fresh"
    sync "$fresh"
    ln "$fresh" "$key" 2>/dev/null || [ -e "$key" ]
fi
# One made by hand is root's; commands that run as the service's user need it.
if [ -f "$key" ] && [ ! -L "$key" ] && [ "$(stat -c %U "$key")" = root ]; then
    chown exposure-monitor:exposure-monitor "$key"
fi
