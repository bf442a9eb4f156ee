#!/usr/bin/env bash
# Builds releases that anyone can build again, bit by bit: from the lock file, without this machine's paths, without the time.
#
#   scripts/release.sh SOURCE TARGET [CARGO ARGUMENTS]
#
# SOURCE is a folder with Cargo.toml and Cargo.lock, TARGET where cargo works; the programs are in TARGET/release. The same
# source, compiler (rust-toolchain.toml), C compiler and system libraries give the same bytes, wherever the folders are:
#   --locked             what Cargo.lock names and nothing else
#   --remap-path-prefix  /source, /cargo and /rust instead of the folders of this machine, also in what the C compiler writes
#   SOURCE_DATE_EPOCH    the time of the commit, for whatever asks for one
set -euo pipefail

source=$(realpath "$1") target=$(mkdir -p "$2" && realpath "$2")
shift 2
cargo_home=$(realpath "${CARGO_HOME:-$HOME/.cargo}")
sysroot=$(cd "$source" && rustc --print sysroot)

if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git -C "$source" log -1 --format=%ct 2>/dev/null || echo 0)
fi
export SOURCE_DATE_EPOCH
separator=$'\x1f'
remap=("$source=/source" "$target=/target" "$cargo_home=/cargo" "$sysroot=/rust")
CARGO_ENCODED_RUSTFLAGS=$(printf -- "--remap-path-prefix=%s$separator" "${remap[@]}")
export CARGO_ENCODED_RUSTFLAGS=${CARGO_ENCODED_RUSTFLAGS%"$separator"}
CFLAGS=$(printf -- '-ffile-prefix-map=%s ' "${remap[@]}")
export CFLAGS CARGO_INCREMENTAL=0 LC_ALL=C TZ=UTC
unset RUSTFLAGS

cd "$source"
exec cargo build --release --locked --target-dir "$target" "$@"
