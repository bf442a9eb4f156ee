#!/usr/bin/env bash
# Starts an instance of its own with a month of demonstration data, photographs every page of its console, and stops it.
#
#   scripts/screenshots.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?which folder?}
work=$(mktemp -d)
program=${CARGO_TARGET_DIR:-target}/debug/counterfoil
"$program" dev --demo --dir "$work" --api-port 0 --ops-port 0 > "$work/said" 2>&1 &
service=$!
trap 'kill $service 2>/dev/null; wait $service 2>/dev/null; rm -rf "$work"' EXIT
for _ in $(seq 1200); do
    [ -s "$work/dev.json" ] && break
    kill -0 $service 2>/dev/null || { cat "$work/said" >&2; exit 1; }
    sleep 0.1
done
NODE_EXTRA_CA_CERTS=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["ca_file"])' "$work/dev.json") \
    node tests/console/screenshots.mjs "$work/dev.json" "$folder"
