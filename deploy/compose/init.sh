#!/usr/bin/env bash
# Makes what compose.yaml needs and nobody should share: a CA with one certificate, keys of vault and seal, passwords. Once; what is
# there stays. Everything goes to deploy/compose/state (or to the folder that is given). As root, because the keys have to belong to the
# containers' user and to nobody else: the program refuses key files that others can read.
#
#   sudo deploy/compose/init.sh [FOLDER]
set -euo pipefail
umask 077
here=$(cd "$(dirname "$0")" && pwd)
state=${1:-$here/state}
[ "$(id -u)" -eq 0 ] || { echo "init.sh: run it as root" >&2; exit 1; }
mkdir -p "$state/tls" "$state/keys"

random() { openssl rand -hex "${1:-24}"; }
once() { [ -s "$1" ] || { "${@:2}" >"$1.new" && mv "$1.new" "$1"; }; }

# ---- certificates: a CA of this installation, a leaf for the gateway and one for the collector
if [ ! -s "$state/tls/ca.pem" ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=Counterfoil compose CA" \
        -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" \
        -keyout "$state/tls/ca.key" -out "$state/tls/ca.pem" 2>/dev/null
fi
leaf() {
    [ -s "$state/tls/$1.pem" ] && return
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
        -keyout "$state/tls/$1.key" -out "$state/tls/$1.csr" 2>/dev/null
    openssl x509 -req -in "$state/tls/$1.csr" -CA "$state/tls/ca.pem" -CAkey "$state/tls/ca.key" -CAcreateserial -days 397 \
        -extfile <(printf 'subjectAltName=DNS:%s,DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n' "$1") \
        -out "$state/tls/$1.pem" 2>/dev/null
    rm -f "$state/tls/$1.csr" "$state/tls/ca.srl"
}
leaf counterfoil
leaf collector

# ---- keys: of card data and of the seal. Lose the first, and stored cards are lost: keep a copy elsewhere.
vault_keys() {
    printf '# key: wraps the keys of cards; fingerprint: tells cards apart; pepper: of API keys\n'
    printf 'key k1 %s\nfingerprint %s\npepper %s\n' "$(random 32)" "$(random 32)" "$(random 32)"
}
seal_keys() { printf 'key k1 %s\n' "$(random 32)"; }
once "$state/keys/vault.keys" vault_keys
once "$state/keys/seal.keys" seal_keys

# ---- passwords
for name in owner gateway_app vault_app auditor grafana; do once "$state/${name}_password" random; done
password() { cat "$state/$1_password"; }
url() { printf 'postgresql://%s:%s@postgres/counterfoil' "$1" "$(password "$2")"; }
printf 'DATABASE_URL=%s\n' "$(url counterfoil_owner owner)" >"$state/owner.env"
printf 'PGPASSWORD=%s\n' "$(password owner)" >"$state/psql.env"
{
    printf 'ALTER ROLE gateway_app PASSWORD %s;\n' "'$(password gateway_app)'"
    printf 'ALTER ROLE vault_app PASSWORD %s;\n' "'$(password vault_app)'"
    printf 'ALTER ROLE auditor PASSWORD %s;\n' "'$(password auditor)'"
} >"$state/roles.sql"
if [ ! -s "$state/counterfoil.env" ]; then
    {
        printf 'COUNTERFOIL__DATABASE__URL=%s\n' "$(url gateway_app gateway_app)"
        printf 'COUNTERFOIL__DATABASE__VAULT_URL=%s\n' "$(url vault_app vault_app)"
        printf 'COUNTERFOIL__STRIPE__SECRET_KEY=%s\n' "sk_test_fill_in"
        printf 'COUNTERFOIL__STRIPE__WEBHOOK_SECRET=%s\n' "whsec_fill_in"
        printf 'DATABASE_URL=%s\n' "$(url auditor auditor)"
    } >"$state/counterfoil.env"
fi

chown -R 65532:65532 "$state/keys" "$state/tls/counterfoil.key"
chown 10001:10001 "$state/tls/collector.key" # the collector's user
chmod 711 "$state" "$state/tls"
chmod 644 "$state"/tls/*.pem "$state/roles.sql" # the second is read by another container's user: the folder keeps others out
chmod 700 "$state/keys"
echo "ready: $state. Put your acquirer's key and webhook secret into counterfoil.env."
