#!/usr/bin/env bash
# restore_command: one segment back from the archive. Exit 1 when it is not there, which ends a recovery in the ordinary way.
#
#   restore_command = 'BACKUP_DIR=.. BACKUP_DECRYPT=.. /usr/share/counterfoil/backup/fetch-wal.sh %f %p'
set -euo pipefail
umask 077
name=${1:?name of the segment (%f)} to=${2:?where it goes (%p)}
source=${BACKUP_DIR:?}/wal/$name.gz
[ -e "$source" ] || exit 1
# A segment that does not come out as it went in stops the recovery with a word (above 125, PostgreSQL gives up), instead of ending it
# early in silence.
if ! bash -c "${BACKUP_DECRYPT:-cat}" <"$source" | gzip -d >"$to.new" || [ "$(sha256sum <"$to.new")" != "$(cat "$source.sha256")" ]; then
    echo "fetch-wal: $source is damaged" >&2
    exit 255
fi
mv "$to.new" "$to"
