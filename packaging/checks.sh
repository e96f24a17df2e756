# Before anything is unpacked: what would not work here, or would be lost. Part of both kinds of packages.
refuse() {
    { echo "exposure-monitor is not installed, and nothing was changed:"; printf '  %s\n' "$@"; } >&2
    exit 1
}

# $1: a path is there and $2, a command, names no package that it is of.
foreign() {
    { [ -e "$1" ] || [ -L "$1" ]; } && ! $2 "$1" >/dev/null 2>&1
}

check_host() {
    [ "$(uname -m)" = x86_64 ] || refuse "it is for x86_64, and this is $(uname -m)."
    grep -qw sse4_2 /proc/cpuinfo || refuse "its engine needs a processor with SSE 4.2 (/proc/cpuinfo shows none)."
    for folder in /opt /usr /var; do
        place=$folder
        [ -d "$place" ] || place=/  # /opt is there as long as somebody has something in it
        free=$(df -Pk "$place" | awk 'NR == 2 {print $4}')
        [ "$folder" = /opt ] && needed=@KILOBYTES@ || needed=10240
        [ "$free" -ge "$needed" ] ||
            refuse "$folder has $((free / 1024)) MiB free, and $((needed / 1024)) MiB are needed; make room first."
    done
}

# $1: a command that names the package of a path.
check_foreign() {
    unit=/etc/systemd/system/exposure-monitor.service
    if [ -f "$unit" ]; then
        refuse "$unit hides the unit of the package; it is of an installation by hand, or of systemctl edit --full." \
            "Keep it elsewhere: systemctl stop exposure-monitor; mv $unit $unit.old; systemctl daemon-reload" \
            "Put what you changed into systemctl edit exposure-monitor afterwards."
    fi
    for path in /opt/exposure-monitor /usr/bin/monitor /usr/lib/systemd/system/exposure-monitor.service \
        /usr/lib/sysusers.d/exposure-monitor.conf /usr/lib/tmpfiles.d/exposure-monitor.conf; do
        if foreign "$path" "$1"; then
            refuse "$path is there and of no package; move it away: mv $path $path.old" \
                "The configuration, the key and the state of an installation by hand stay where they are and are used."
        fi
    done
}
