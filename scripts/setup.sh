#!/usr/bin/env bash
# Make .venv with the pinned dependencies, and see that ffmpeg is there.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v ffmpeg >/dev/null || ! command -v ffprobe >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends ffmpeg libgl1 libglib2.0-0
    else
        echo "ffmpeg is missing: run  sudo apt-get install ffmpeg libgl1 libglib2.0-0  and try again" >&2
        exit 1
    fi
fi

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "$python is older than 3.11: install Python 3.11 or newer, or run  make PYTHON=python3.11 ..." >&2
    exit 1
}
[ -x .venv/bin/python ] || "$python" -m venv .venv || {
    echo "the venv module is missing: run  sudo apt-get install python3-venv  and try again" >&2
    exit 1
}

.venv/bin/pip install -q -c constraints.txt -e ".[dev,s3]"
