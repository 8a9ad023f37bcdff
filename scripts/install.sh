#!/bin/sh
# Install the studio, editable, into a virtual environment: scripts/install.sh VENV [EXTRA]
# A torch that is there already is kept. On Linux without an NVIDIA GPU it is taken from PyTorch's CPU index, which
# spares 2 GB of CUDA libraries, where that can be reached; else from wherever pip looks.
set -eu

venv=$1
what=.${2:+[$2]}
cpu_index=https://download.pytorch.org/whl/cpu
python=$venv/bin/python

say() { printf '%s\n' "$*" >&2; }
pip() { "$python" -m pip --disable-pip-version-check "$@"; }
has_torch() { "$python" -c 'import importlib.metadata as m; m.version("torch")' 2>/dev/null; }
has_gpu() { [ -e /dev/nvidia0 ] || nvidia-smi -L >/dev/null 2>&1; }
answers() {
    "$python" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)' "$1/torch/" 2>/dev/null
}

if ! has_torch && [ "$(uname -s)" = Linux ] && ! has_gpu && answers "$cpu_index"; then
    say "Installing torch for the processor from $cpu_index"
    pip install --quiet --index-url "$cpu_index" --constraint constraints.txt torch ||
        say "That did not work; torch is taken from where pip usually looks."
fi

say "Installing $what with the versions of constraints.txt; the first time this fetches some 500 MB"
if ! pip install --quiet --constraint constraints.txt --editable "$what"; then
    say "These versions can't all be had here. Trying with what pyproject.toml allows."
    pip install --quiet --editable "$what"
fi
