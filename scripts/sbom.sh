#!/usr/bin/env bash
# What is in the program, as CycloneDX 1.5: target/counterfoil.cdx.json. The same commit gives the same file.
set -euo pipefail
cd "$(dirname "$0")/.."
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

cargo cyclonedx --quiet --manifest-path gateway/Cargo.toml --format json --spec-version 1.5 \
    --describe binaries --target all --no-build-deps
mkdir -p target
# One file is asked for, each package writes its own; and where the sources lie here is nobody's business.
sed "s#file://$PWD#file:///source#g" gateway/counterfoil_bin.cdx.json > target/counterfoil.cdx.json
find . -maxdepth 2 -name '*_bin.cdx.json' -delete
echo "target/counterfoil.cdx.json"
