#!/usr/bin/env bash
# The restore drill: restores into a folder of its own, starts a server there on loopback, proves books, seal and audit log against the
# heads that were exported, and throws it all away. Monthly, and after every change of the backup. Prints how long it took.
#
#   BACKUP_DIR=/mnt/backup deploy/backup/drill.sh --database counterfoil --user counterfoil_owner \
#       --keys seal.keys --heads /mnt/auditor/heads.jsonl [--time ..] [--counterfoil PATH]
#
# Exit 0: the backup restores and every check holds. Any other: it does not, and the last lines say why.
set -euo pipefail
umask 077
database=counterfoil user=postgres keys='' heads='' time='' program=counterfoil
while [ $# -gt 0 ]; do
    case $1 in
        --database) database=$2; shift 2 ;;
        --user) user=$2; shift 2 ;;
        --keys) keys=$2; shift 2 ;;
        --heads) heads=$2; shift 2 ;;
        --time) time=$2; shift 2 ;;
        --counterfoil) program=$2; shift 2 ;;
        *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
# What leads to the running server must not lead this to it.
unset PGHOST PGHOSTADDR PGPORT PGUSER PGPASSWORD PGDATABASE PGSERVICE PGOPTIONS
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/counterfoil-drill.XXXXXX")
stop() {
    [ ! -e "$work/data/postmaster.pid" ] || kill -INT "$(head -n 1 "$work/data/postmaster.pid")" 2>/dev/null || true
    while [ -e "$work/data/postmaster.pid" ]; do sleep 0.1; done
    rm -rf "$work"
}
trap stop EXIT
began=$(date +%s)

"$here/restore.sh" --to "$work/data" ${time:+--time "$time"}
programs=$(compgen -G "/usr/lib/postgresql/$(cat "$work/data/PG_VERSION")/bin" || true)
PATH=${programs:+$programs:}$PATH
# Nobody but this account reaches it: a socket in our folder, no port.
printf 'local all all trust\n' >"$work/hba.conf"
postgres -D "$work/data" -c listen_addresses='' -c unix_socket_directories="$work" -c port=5432 -c hba_file="$work/hba.conf" \
    -c config_file="$( [ -e "$work/data/postgresql.conf" ] && echo "$work/data/postgresql.conf" || { : >"$work/empty.conf"; echo "$work/empty.conf"; })" \
    >"$work/log" 2>&1 &
server=$!
until psql -X -q -h "$work" -U "$user" -d "$database" -Atc 'SELECT 1' 2>/dev/null | grep -q 1 \
    && [ "$(psql -X -h "$work" -U "$user" -d "$database" -Atc 'SELECT pg_is_in_recovery()')" = f ]; do
    kill -0 "$server" 2>/dev/null || { tail -n 20 "$work/log" >&2; echo "drill: the restored server does not start" >&2; exit 1; }
    sleep 0.2
done
echo "recovered to $(psql -X -h "$work" -U "$user" -d "$database" -Atc 'SELECT max(recorded_at) FROM ledger.journal') (newest journal)"

url="host=$work user=$user dbname=$database"
"$program" ledger verify --database-url "$url" ${keys:+--keys "$keys"} ${heads:+--head "$heads"}
"$program" audit verify --database-url "$url" ${keys:+--keys "$keys"}
echo "drill: restored, started and proven in $(($(date +%s) - began)) s"
