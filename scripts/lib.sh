# shellcheck shell=bash
# What every script here starts with: where things are, how to speak, how to fail.
#
# All that scripts download or build for themselves lies in `.cache/` of the checkout, and nowhere else;
# `VEDETTE_CACHE=DIR` moves it (several checkouts can share one). stdout is for results, stderr for talk.

set -euo pipefail

NAME="$(basename "$0")"
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
CACHE="${VEDETTE_CACHE:-$ROOT/.cache}"

# Behind what the user has: our own tools, a Rust that rustup has just installed, Debian's daemons.
PATH="$PATH:$CACHE/tools/bin:${CARGO_HOME:-$HOME/.cargo}/bin:/usr/local/sbin:/usr/sbin:/sbin"
export PATH

# Says something to the person who waits.
say() { printf '%s: %s\n' "$NAME" "$*" >&2; }

# Says what went wrong and what to do, and ends.
die() {
    printf '%s: error: %s\n' "$NAME" "$*" >&2
    exit 1
}

# The same for a wrong command line: exit code 2.
usage_error() {
    printf '%s: %s (see `%s --help`)\n' "$NAME" "$*" "$0" >&2
    exit 2
}

# The comment at the head of the calling script is its help.
show_help() {
    sed -n '2,/^[^#]/ { s/^# \{0,1\}//p; }' "$0"
    exit 0
}

# Runs a command as root.
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

have() { command -v "$1" >/dev/null 2>&1; }

# The SHA-256 of a file, as hexadecimal digits.
digest_of() { sha256sum -- "$1" | cut -d ' ' -f 1; }

# The mirror that this Debian's own sources name; nothing where they name none, or this is no Debian.
debian_mirror() {
    local codename
    [ "$(. /etc/os-release && echo "$ID")" = debian ] || return 0
    codename="$(. /etc/os-release && echo "${VERSION_CODENAME:-}")"
    # shellcheck disable=SC2016 # apt-get's own $(SITE)
    apt-get indextargets --format '$(SITE) $(RELEASE)' 2>/dev/null | sed -n "/security/d; s/ $codename\$//p" | head -n 1 || true
}

# Makes the virtual environment $1, empty.
make_venv() {
    have python3 || die "python3 is missing: run scripts/setup"
    rm -rf "$1"
    python3 -m venv "$1" >&2 ||
        die "python3 cannot make a virtual environment: run scripts/setup (Debian: python3-venv)"
}

# Runs a pip of ours: Debian's Python may have none, and that of Ubuntu 20.04 does not find today's wheels.
pip() {
    local venv="$CACHE/venv-pip"
    if ! [ -e "$venv/done" ]; then
        make_venv "$venv"
        "$venv/bin/python" -m pip --disable-pip-version-check install --quiet pip==25.0.1 >&2 ||
            die "cannot install pip: is the Python package index reachable? (pip's message is above)"
        touch "$venv/done"
    fi
    "$venv/bin/python" -m pip --disable-pip-version-check "$@"
}

# Where cargo puts what it builds for this checkout, whatever the user's configuration says.
target_dir() {
    (cd "$ROOT" && cargo metadata --quiet --format-version 1 --no-deps) |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'
}
