#!/usr/bin/env bash
# tools/venv.sh FOLDER TARGET: make (or complete) the environment FOLDER and install TARGET with the exact versions.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 target=$2

# Of the Pythons on the path, the first that is new enough and can make environments.
find_python() {
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14 python}; do
        if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
    {
        echo "No Python 3.11 or newer with its 'venv' module was found${PYTHON:+ (PYTHON=$PYTHON)}."
        echo "Install one (Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python),"
        echo "or name it: make PYTHON=/path/to/python3 ..."
    } >&2
    return 1
}

if ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "Making the environment $folder with $("$python" --version)."
    "$python" -m venv --clear "$folder"
fi
echo "Installing $target with the versions of constraints.txt (the first time takes some minutes) ..."
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
    --constraint constraints.txt --editable "$target"
