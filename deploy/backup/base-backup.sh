#!/usr/bin/env bash
# A base backup of the running server: one compressed and perhaps encrypted file, whole or not at all, with its digest. Old ones beyond
# BACKUP_KEEP are removed with the log that only they need.
#
#   PGHOST=.. PGUSER=replicator BACKUP_DIR=/mnt/backup deploy/backup/base-backup.sh
#
# BACKUP_KEEP is how many stay (default 14). BACKUP_DIR and BACKUP_ENCRYPT: as in archive-wal.sh.
set -euo pipefail
umask 077
dir=${BACKUP_DIR:-/var/lib/counterfoil/archive} keep=${BACKUP_KEEP:-14}
mkdir -p "$dir/base"
name=$(date -u +%Y%m%dT%H%M%SZ)
new=$dir/base/.$name.$$
trap 'rm -f "$new"' EXIT

# The log comes from the archive, so it is not in here; the manifest is, and restoring checks every file against it.
pg_basebackup --pgdata=- --format=tar --wal-method=none --checkpoint=fast --label="counterfoil $name" --no-password \
    | gzip -1 | bash -c "${BACKUP_ENCRYPT:-cat}" >"$new"
sync -d "$new"
mv "$new" "$dir/base/$name.tar.gz"
(cd "$dir/base" && sha256sum "$name.tar.gz" >"$name.sha256")
sync "$dir/base"

mapfile -t all < <(find "$dir/base" -name '*.tar.gz' -printf '%f\n' | sort)
for ((i = 0; i < ${#all[@]} - keep; i++)); do
    rm -f "$dir/base/${all[i]}" "$dir/base/${all[i]%.tar.gz}.sha256"
done
# Each backup leaves a history file in the archive that names its first segment: what is older than the oldest of ours may go.
oldest=$(find "$dir/base" -name '*.tar.gz' -printf '%f\n' | sort | head -n 1)
for history in "$dir"/wal/*.backup.gz; do
    [ -e "$history" ] || continue
    if bash -c "${BACKUP_DECRYPT:-cat}" <"$history" | gzip -d 2>/dev/null | grep -q "^LABEL: counterfoil ${oldest%.tar.gz}$"; then
        first=$(basename "$history" | cut -c 1-24)
        find "$dir/wal" -name '[0-9A-F]*.gz*' -printf '%f\n' | while read -r segment; do
            if [[ ${segment:0:24} < $first ]]; then rm -f "$dir/wal/$segment"; fi
        done
    fi
done
echo "$dir/base/$name.tar.gz"
