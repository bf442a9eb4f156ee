#!/usr/bin/env bash
# Builds the same release twice, in two folders of different names and depths, and compares what came out.
#
#   scripts/reproduce.sh              the committed state of this repository: the program `counterfoil`
#   scripts/reproduce.sh SOURCE       any other folder with a Cargo.toml and a Cargo.lock: all of its programs
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
first=$work/a second=$work/somewhere/else/b

copy() {
    mkdir -p "$1"
    if [ -n "${source:-}" ]; then cp -R "$source/." "$1"; else git -C "$here/.." archive HEAD | tar -x -C "$1"; fi
}

source=${1:-}
packages=()
if [ -z "$source" ]; then
    SOURCE_DATE_EPOCH=$(git -C "$here/.." log -1 --format=%ct)
    export SOURCE_DATE_EPOCH
    packages=(--package gateway)
fi
for folder in "$first" "$second"; do
    copy "$folder/source"
    "$here/release.sh" "$folder/source" "$folder/target" "${packages[@]}"
done

sums() { (cd "$1/target/release" && find . -maxdepth 1 -type f -executable -exec sha256sum {} + | sort -k 2); }
if ! diff <(sums "$first") <(sums "$second"); then
    echo "reproduce: the two builds differ" >&2
    exit 1
fi
sums "$first"
# The paths of this machine are in none of them. (grep reads all of it: a pipe that closes early would count as a failure.)
if grep -rqF --include='*' "$work" "$first"/target/release/ --exclude-dir=deps --exclude-dir=build --exclude-dir=.fingerprint \
    --exclude-dir=incremental --exclude='*.d'; then
    echo "reproduce: a path of this machine is in what was built" >&2
    exit 1
fi
echo "reproduce: identical"
