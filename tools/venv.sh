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

# Outside a terminal pip shows no bars: every five seconds, one line with what it is doing.
narrate() {
    local line last="starting pip" begun=$SECONDS next=$((SECONDS + 5))
    while true; do
        if read -r -t 5 line; then
            case $line in WARNING*) ;; *) last=$line ;; esac
        elif [ $? -le 128 ]; then
            break # the end of pip's output; above 128 it only said nothing for five seconds
        fi
        if ((SECONDS >= next)); then
            echo "  $((SECONDS - begun)) s: ${last:0:100}"
            next=$((SECONDS + 5))
        fi
    done
}

if ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "Making the environment $folder with $("$python" --version) ..."
    "$python" -m venv --clear "$folder"
fi
echo "Installing $target into $folder with the versions of constraints.txt; the first time takes 2 to 6 minutes."
pip=("$folder/bin/python" -m pip install --disable-pip-version-check --no-input
    --constraint constraints.txt --editable "$target")
if [ -t 1 ]; then
    "${pip[@]}" # pip's own lines and bars
else
    log="$folder/install.log"
    "${pip[@]}" 2>&1 | tee "$log" | narrate || {
        tail -n 30 "$log" >&2
        exit 1
    }
fi
echo "Installed."
