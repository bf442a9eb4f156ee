#!/usr/bin/env bash
# Restores into an empty folder, to the end of the archive or to a moment, checks every file against the backup's own manifest, and
# says how to start the server. It never touches a running one.
#
#   deploy/backup/restore.sh --to DIR [--time '2026-11-24 10:15:00+00'] [--backup NAME]
#
# BACKUP_DIR and BACKUP_DECRYPT ("age -d -i key.txt") as in archive-wal.sh. Run as the account that owns the server (postgres).
# With --time the newest base backup that ended before it is taken; without, the newest.
set -euo pipefail
umask 077
to='' time='' backup=''
while [ $# -gt 0 ]; do
    case $1 in
        --to) to=$2; shift 2 ;;
        --time) time=$2; shift 2 ;;
        --backup) backup=$2; shift 2 ;;
        *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
[ -n "$to" ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ "$(id -u)" -ne 0 ] || { echo "restore: PostgreSQL does not run as root: run this as the account that owns the server" >&2; exit 1; }
dir=${BACKUP_DIR:-/var/lib/counterfoil/archive}
here=$(cd "$(dirname "$0")" && pwd)
if [ -d "$to" ] && [ -n "$(ls -A "$to")" ]; then
    echo "restore: $to is not empty: nothing is overwritten" >&2
    exit 1
fi
if [ -z "$backup" ]; then
    limit=99999999T999999Z
    [ -z "$time" ] || limit=$(date -u -d "$time" +%Y%m%dT%H%M%SZ)
    for file in "$dir"/base/*.tar.gz; do
        name=$(basename "$file" .tar.gz)
        if [[ -e $file && ! $name > $limit ]]; then backup=$name; fi
    done
fi
[ -n "$backup" ] && [ -e "$dir/base/$backup.tar.gz" ] || { echo "restore: no base backup in $dir/base${time:+ that began before $time}" >&2; exit 1; }

(cd "$dir/base" && sha256sum --check --quiet "$backup.sha256")
mkdir -p "$to"
chmod 700 "$to"
bash -c "${BACKUP_DECRYPT:-cat}" <"$dir/base/$backup.tar.gz" | tar -xzf - -C "$to"
programs=$(compgen -G "/usr/lib/postgresql/$(cat "$to/PG_VERSION")/bin" || true)
PATH=${programs:+$programs:}$PATH
pg_verifybackup --no-parse-wal --quiet "$to"

# Recovery refuses less room than the primary had; its control file knows how much that was.
setting() { pg_controldata "$to" | sed -n "s/^$1 setting: *//p"; }
# An archive of its own: what the restored server writes must not land among what it came from.
{
    printf "\n# restored from %s\n" "$backup"
    printf "restore_command = 'BACKUP_DIR=\"%s\" BACKUP_DECRYPT=\"%s\" \"%s/fetch-wal.sh\" %%f \"%%p\"'\n" "$dir" "${BACKUP_DECRYPT:-cat}" "$here"
    printf "archive_mode = off\n"
    for name in max_connections max_worker_processes max_wal_senders max_locks_per_xact max_prepared_xacts; do
        parameter=${name/_xacts/_transactions}
        printf "%s = %s\n" "${parameter/_xact/_transaction}" "$(setting "$name")"
    done
    printf "recovery_target_timeline = 'latest'\n"
    [ -z "$time" ] || printf "recovery_target_time = '%s'\nrecovery_target_action = 'promote'\n" "$time"
} >>"$to/postgresql.auto.conf"
touch "$to/recovery.signal"
echo "restored $backup into $to. Start it (it recovers, then promotes itself):"
echo "    postgres -D $to"
echo "then prove it before anybody pays: counterfoil ledger verify --head heads.jsonl --keys seal.keys"
