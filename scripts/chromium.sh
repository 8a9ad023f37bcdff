#!/bin/sh
# Make sure that the browser tests have a Chromium: scripts/chromium.sh VENV
# The system's, else by apt-get where that is allowed, else Playwright's own.
set -eu

venv=$1

say() { printf '%s\n' "$*" >&2; }
system() {
    # A name alone is not enough: some systems have a stub that only tells how to install it.
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        "$name" --version >/dev/null 2>&1 && return 0
    done
    return 1
}

system && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "Installing Chromium by apt-get"
    apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends chromium >&2 || true
    system && exit 0
fi
say "Installing Playwright's own Chromium"
"$venv/bin/playwright" install chromium >&2
