#!/bin/sh
# What a push, a pull request or a merge request brought: `monitor scan --git` of that range, on a runner. Arguments go to
# it. What it is about stand in variables, which action.yml and gitlab.yml set; no text from outside is a part of a script.
#   EXPOSURE_HEAD, EXPOSURE_BASE    commits: what came, and what was there before (empty or zeros: nothing was)
#   EXPOSURE_REF, EXPOSURE_DEFAULT  the full name of what was pushed, and the default branch
#   EXPOSURE_MONITOR                the program; default: that on PATH
# Exit code: 0 nothing found, 1 findings, 2 not everything could be read.
set -eu
unset PYTHONPATH PYTHONHOME # which may lead into the checkout
export PYTHONSAFEPATH=1

monitor=${EXPOSURE_MONITOR:-monitor}
head=${EXPOSURE_HEAD:-} base=${EXPOSURE_BASE:-} ref=${EXPOSURE_REF:-} default=${EXPOSURE_DEFAULT:-}

stop() {
    echo "exposure-monitor: $1" >&2
    exit 2
}
full() { # a whole name of a commit, and not zeros
    case $1 in
        *[!0-9a-f]*) return 1 ;;
        *[!0]*) [ ${#1} -ge 40 ] ;;
        *) return 1 ;;
    esac
}
there() { git rev-parse --verify --quiet "$1^{commit}" >/dev/null; }
fetch() { git fetch --quiet --no-tags --no-recurse-submodules origin "$@" 2>/dev/null; }

full "$head" || stop "EXPOSURE_HEAD is no whole name of a commit"
git rev-parse --git-dir >/dev/null || stop "git reads no repository here: check it out first"
if [ "$(git rev-parse --is-shallow-repository)" = true ]; then
    echo "The checkout is shallow, so the rest of its history is fetched." >&2
    fetch --unshallow "$head" ||
        stop "the history could not be fetched: check out all of it (GitHub: fetch-depth: 0, GitLab: GIT_DEPTH: 0)"
fi
there "$head" || fetch "$head" || stop "$head is not in the checkout, and could not be fetched"

tip=$head
case $ref in
    refs/tags/*) # a checkout has what an annotated tag leads to, and not its message
        if fetch "$ref" && [ "$(git rev-parse 'FETCH_HEAD^{commit}')" = "$head" ]; then
            tip=$(git rev-parse FETCH_HEAD)
        else
            echo "The tag could not be fetched, so its message is not scanned." >&2
        fi
        ;;
esac

if full "$base" && { there "$base" || fetch "$base"; }; then
    set -- "^$base" "$@"
elif [ -n "$default" ] && [ "$ref" != "refs/heads/$default" ]; then
    # A new branch or tag, or one whose former commit is gone: what the default branch has is not new.
    known=refs/remotes/origin/$default
    fetch "+refs/heads/$default:$known" || there "$known" || stop "the default branch could not be fetched"
    set -- "^$known" "$@"
fi
exec "$monitor" scan --git "$tip" "$@"
