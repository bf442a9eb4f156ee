#!/bin/sh
# Throws a development folder away: all payments, books, keys and certificates in it. Refuses while `counterfoil dev` runs on it.
set -eu

dir=${1:?usage: clean-dev.sh DIR}
[ -e "$dir/credentials.json" ] || [ -e "$dir/postgres" ] || { echo "$dir is not a development folder."; exit 0; }
if ! flock --nonblock "$dir/lock" true; then
    echo "counterfoil dev runs on $dir: stop it first." >&2
    exit 1
fi
if [ -s "$dir/postgres/data/postmaster.pid" ]; then
    echo "A database still runs in $dir/postgres (its dev was killed): start and stop counterfoil dev once." >&2
    exit 1
fi
# The data may lie elsewhere, behind a link (see the module dev::postgres).
rm -rf "$(readlink -f "$dir/postgres")" "$dir"
