#!/bin/sh
# Build the dashboard into agent_worker/gateway/dashboard: build_dashboard.sh FOLDER. Node.js 22 comes from npm; whatever
# Node.js is here only has to run npm.
cd "$1" || exit 2

refuse() {
  printf 'dashboard: %s\n' "$1" >&2
  exit 2
}

command -v npm >/dev/null 2>&1 ||
  refuse 'npm was not found · the dashboard is built with it · install Node.js 18 or later, and run: make dashboard'
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo 'installing what the dashboard is built with, once; about half a minute'
  npm ci --no-audit --no-fund --silent ||
    refuse 'npm could not install what the dashboard is built with · see its message above · try again: make dashboard'
fi
npm run --silent build
