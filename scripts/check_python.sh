#!/bin/sh
# Say in plain words why $PYTHON cannot make the environment, before it fails half-way.
python="${PYTHON:-python3}"

refuse() {
  printf 'setup: %s\n' "$1" >&2
  exit 2
}

command -v "$python" >/dev/null 2>&1 ||
  refuse "$python was not found · agent-worker needs Python 3.11 or later · install it, or name another: make PYTHON=python3.12 setup"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
  refuse "$python does not run · see its message above · name another: make PYTHON=python3.12 setup"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  refuse "$python is Python $version · agent-worker needs 3.11 or later · install it, and name it: make PYTHON=python3.12 setup"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
  refuse "$python cannot make an environment · its modules venv and ensurepip are not installed · on Debian and Ubuntu run: apt-get install python$version-venv"
