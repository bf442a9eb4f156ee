#!/usr/bin/env bash
# cargo-deny, also where there is no network: licences, bans and sources are always checked; advisories against the newest list
# that can be had, which is said when it is an old one.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo deny --locked check bans licenses sources
if cargo deny --locked fetch db >/dev/null 2>&1; then
    cargo deny --locked check advisories
elif ls "${CARGO_HOME:-$HOME/.cargo}"/advisory-dbs/*/crates >/dev/null 2>&1; then
    echo "deny: warning: the list of advisories cannot be fetched; using the one that is here" >&2
    cargo deny --offline --locked check advisories
else
    echo "deny: warning: the list of advisories cannot be fetched and there is none here: advisories NOT checked" >&2
fi
