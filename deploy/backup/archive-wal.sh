#!/usr/bin/env bash
# archive_command: one segment of the write-ahead log to the archive, whole or not at all, never over another of its name.
#
#   archive_command = '/usr/share/counterfoil/backup/archive-wal.sh %p %f'
#
# BACKUP_DIR      where base backups and the log are kept: wal/ below it. Another machine's disk, mounted, or it protects from little.
#                 Default /var/lib/counterfoil/archive.
# BACKUP_ENCRYPT  filter that encrypts, standard input to standard output: "age -r age1..". Empty: the archive is as readable as the
#                 database (cards are sealed by the vault in both).
# Both are read from /etc/counterfoil/backup.environment when it is there.
set -euo pipefail
umask 077
# shellcheck source=/dev/null
[ -r "${BACKUP_ENVIRONMENT:-/etc/counterfoil/backup.environment}" ] && . "${BACKUP_ENVIRONMENT:-/etc/counterfoil/backup.environment}"
from=${1:?path of the segment (%p)} name=${2:?name of the segment (%f)}
archive=${BACKUP_DIR:-/var/lib/counterfoil/archive}/wal
mkdir -p "$archive"
target=$archive/$name.gz

# Asked again after a crash: the same segment is a success, another one of this name is not.
if [ -e "$target" ]; then
    digest=$(sha256sum <"$from")
    [ "$digest" = "$(cat "$target.sha256" 2>/dev/null)" ] && exit 0
    echo "archive-wal: $target is there and is another segment" >&2
    exit 1
fi

new=$archive/.$name.$$
trap 'rm -f "$new"' EXIT
gzip -1 <"$from" | bash -c "${BACKUP_ENCRYPT:-cat}" >"$new"
sha256sum <"$from" >"$new.sha256"
sync -d "$new" "$new.sha256"
mv "$new.sha256" "$target.sha256"
mv "$new" "$target"
sync "$archive"
