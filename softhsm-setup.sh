#!/usr/bin/env bash
# Makes a complete countersign installation on SoftHSM in one directory: token, keys, certificates,
# configuration, ledger.
#
# Started again it keeps what is there and makes what is missing. No file is made twice. Each one is
# made under another name and moved, so what has its final name is whole; what does not fit together
# is refused with a word about what to do.
set -euo pipefail

usage() {
  cat <<'END'
usage: softhsm-setup.sh [DIRECTORY]

Makes a countersign installation on SoftHSM in DIRECTORY (default ./run): a token with generated
keys, a demo authority with certificates, configuration, an empty ledger. A second run changes
nothing. To start over, delete the directory.

environment:
  COUNTERSIGN      the countersign binary (default: the release build beside this script, which is
                   built if it is not there)
  SOFTHSM_MODULE   the SoftHSM module (default: where distributions put it)
END
}

root=$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")
keys=(settlement-eur audit)
days=825 # the longest that some TLS clients accept for a server

main() {
  case ${1-} in
    -h | --help) usage && exit ;;
    -*) refuse "unknown option $1; see --help" ;;
  esac
  (($# <= 1)) || refuse "found $# arguments; expected at most one directory; see --help"

  find_software
  enter "${1:-run}"
  umask 077 # also for what a command makes under its temporary name

  once softhsm2.conf filled_in softhsm2.conf @DIRECTORY@ "$PWD"
  grep -qxF "directories.tokendir = $PWD/tokens" softhsm2.conf ||
    refuse "softhsm2.conf does not name $PWD/tokens; was $PWD moved? correct that line"
  export SOFTHSM2_CONF=$PWD/softhsm2.conf
  make_token
  make_certificates
  once policy.toml cat "$root/hsm-config/policy.toml"
  once countersign.toml \
    filled_in softhsm.toml '"/usr/lib/softhsm/libsofthsm2.so"' "\"$module\""
  once client.toml client shop
  once client-batch.toml client batch
  make_ledger
  local key
  for key in "${keys[@]}"; do make_key "$key"; done

  printf '\nStart the daemon with\n\n  SOFTHSM2_CONF=%q \\\n    %q serve --config %q\n' \
    "$SOFTHSM2_CONF" "$countersign" "$PWD/countersign.toml"
}

# -- saying ------------------------------------------------------------------------------------

made() { printf 'made  %s\n' "$*"; }
kept() { printf 'kept  %s\n' "$*"; }
refuse() {
  printf 'softhsm-setup.sh: %s\n' "$*" >&2
  exit 1
}

# -- making files ------------------------------------------------------------------------------

# once FILE COMMAND...: FILE is what the command prints, unless it is there already.
once() {
  local file=$1
  shift
  if [[ -e $file ]]; then
    kept "$file"
  else
    "$@" >"$file.new"
    mv -- "$file.new" "$file"
    made "$file"
  fi
}

# filled_in TEMPLATE PLACE VALUE: the template with VALUE where PLACE is.
filled_in() {
  local text
  text=$(<"$root/hsm-config/$1")
  [[ $text == *"$2"* ]] || refuse "hsm-config/$1 does not contain $2 any more"
  printf '%s\n' "${text//"$2"/"$3"}"
}

client() {
  cat <<END
# For the commands that talk to the daemon, as caller $1. Relative paths start here.
url = "https://localhost:8443"
server_ca = "tls/ca.pem"
certificate = "tls/$1.pem"
private_key = "tls/$1.key"
END
}

# -- software ----------------------------------------------------------------------------------

find_software() {
  "$root/.ci/need" softhsm2-util:softhsm2 openssl:openssl script:bsdutils jq:jq

  module=${SOFTHSM_MODULE:-}
  local candidate
  for candidate in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*-linux-*/softhsm/libsofthsm2.so \
    /usr/lib64/softhsm/libsofthsm2.so /usr/lib64/pkcs11/libsofthsm2.so \
    /usr/local/lib/softhsm/libsofthsm2.so; do
    [[ -n $module || ! -e $candidate ]] || module=$candidate
  done
  [[ -f $module ]] || refuse "found no SoftHSM module ${module:-in the usual places};" \
    "set SOFTHSM_MODULE to the path of libsofthsm2.so"

  countersign=${COUNTERSIGN:-${CARGO_TARGET_DIR:-$root/target}/release/countersign}
  if [[ ! -x $countersign ]]; then
    [[ -z ${COUNTERSIGN:-} ]] || refuse "COUNTERSIGN is $COUNTERSIGN, which is no program"
    command -v cargo >/dev/null || refuse "building countersign takes cargo; see https://rustup.rs"
    "$root/.ci/need" cc:gcc /usr/include/stdlib.h:libc6-dev make:make
    (cd "$root" && cargo build --release --locked)
  fi
  # Absolute, since the directory is about to change; links stay, since they survive upgrades.
  module=$(realpath -s -- "$module")
  countersign=$(realpath -s -- "$countersign")
}

# -- the directory -----------------------------------------------------------------------------

# enter DIRECTORY: makes it, makes sure that it is ours alone, and goes there.
enter() {
  if [[ ! -e $1 ]]; then
    mkdir -p -- "$(dirname -- "$1")"
    mkdir -m 700 -- "$1"
    made "$1"
  elif [[ -z $(ls -A -- "$1") || -e $1/softhsm2.conf ]]; then
    kept "$1"
  else
    refuse "$1 is in use for something else: it is not empty and has no softhsm2.conf;" \
      "name another directory"
  fi
  CDPATH='' cd -P -- "$1"
  # SoftHSM cuts its lines off at a hash sign.
  [[ $PWD != *'#'* ]] || refuse "SoftHSM cannot read a path with # in it: $PWD"
  [[ -O . && $(stat -c %a .) == 700 ]] ||
    refuse "$PWD has mode $(stat -c %a .), owner $(stat -c %U .); expected 700 and you;" \
      "it holds PINs and private keys: chown and chmod it"
  # Two runs at a time would each make half. The lock ends with this process.
  exec {lock}<.
  flock -n "$lock" || refuse "another softhsm-setup.sh is at work in $PWD; wait for it"
}

# -- the token ---------------------------------------------------------------------------------

make_token() {
  local pin
  for pin in so-pin user-pin; do
    # A new PIN never fits an old token, and SoftHSM has no way to read the old one out.
    [[ ! -e tokens || -e $pin ]] ||
      refuse "found the token directory tokens, but no $pin; expected the PIN that the token was" \
        "made with; put the file back (mode 0600), or delete $PWD to start over with new keys"
    once "$pin" openssl rand -hex 16
  done
  if [[ -e tokens ]]; then
    [[ $(tokens_in_view "$SOFTHSM2_CONF") == 1 ]] ||
      refuse "found $(tokens_in_view "$SOFTHSM2_CONF") tokens with the label countersign in" \
        "$PWD/tokens; expected 1; put the token back, or delete $PWD to start over with new keys"
    kept "tokens (label countersign)"
    return
  fi
  refuse_if_pinned "not the token directory tokens that has it; put it back"
  # Made elsewhere and moved: a run that is cut off leaves no half token under the final name.
  rm -rf tokens.new
  mkdir tokens.new
  sed "s|/tokens\$|/tokens.new|" softhsm2.conf >tokens.new.conf
  initialise_token tokens.new.conf
  [[ $(tokens_in_view tokens.new.conf) == 1 ]] || refuse "softhsm2-util made no token"
  rm tokens.new.conf
  mv tokens.new tokens
  made "tokens (label countersign)"
}

tokens_in_view() {
  SOFTHSM2_CONF=$1 softhsm2-util --module "$module" --show-slots |
    grep -cE '^ *Label: +countersign *$' || true
}

# softhsm2-util takes PINs from its arguments, which every user of the machine can see, or from a
# terminal. So it gets a terminal, and the PINs are typed: each twice, as it asks for it.
initialise_token() {
  local command log
  printf -v command 'softhsm2-util --module %q --init-token --free --label countersign' "$module"
  log=$(cat so-pin so-pin user-pin user-pin |
    SHELL=/bin/sh SOFTHSM2_CONF=$1 timeout 60 script -qec "$command" /dev/null | tr -d '\r') || {
    # The terminal echoes what is typed before the prompt: the log has the PINs too.
    log=${log//$(<so-pin)/(SO PIN)}
    refuse "softhsm2-util could not make the token: ${log//$(<user-pin)/(user PIN)}"
  }
}

# -- certificates ------------------------------------------------------------------------------

# The demo authority signs the daemon's certificate and those of the callers. In production they
# are two, and neither key is on this machine.
make_certificates() {
  mkdir -p tls
  once tls/openssl.cnf openssl_configuration
  if [[ ! -e tls/ca.pem ]]; then
    once tls/ca.key private_key
    once tls/ca.pem issue authority tls/ca.key "countersign demo authority"
  else
    kept tls/ca.pem
  fi
  certificate server localhost
  certificate shop shop
  certificate batch batch

  # What the authority keeps: the certificates it revoked, and the number of its next list.
  once tls/index.txt true
  once tls/crlnumber echo 01
  once tls/clients.crl.pem revocation_list
}

private_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256; }

# issue EXTENSIONS KEY COMMON_NAME [OPTION...]: a certificate, signed by the key itself or as the
# options say, with a random serial number.
issue() {
  openssl req -x509 -config tls/openssl.cnf -extensions "$1" -key "$2" -subj "/CN=$3" \
    -sha256 -days "$days" "${@:4}"
}

revocation_list() {
  # It tells the name of its configuration on standard error, which is no news.
  openssl ca -config tls/openssl.cnf -gencrl 2> >(grep -v '^Using configuration' >&2)
}

# certificate NAME COMMON_NAME: tls/NAME.key, and tls/NAME.pem by the authority.
certificate() {
  local pem=tls/$1.pem
  [[ -e tls/$1.key || ! -e $pem ]] ||
    refuse "found $pem, but not its private key tls/$1.key; put it back, or delete $pem too"
  once "tls/$1.key" private_key
  [[ -e $pem || -e tls/ca.key ]] || refuse "$pem is missing, and so is tls/ca.key to make it with"
  once "$pem" issue "$1" "tls/$1.key" "$2" -CA tls/ca.pem -CAkey tls/ca.key
  openssl verify -CAfile tls/ca.pem "$pem" >/dev/null ||
    refuse "$pem does not verify against tls/ca.pem; delete it to have it made anew"
}

openssl_configuration() {
  cat <<END
# The demo authority. To lock a caller out, in the directory above this one:
#   openssl ca -config tls/openssl.cnf -revoke tls/batch.pem
#   openssl ca -config tls/openssl.cnf -gencrl -out tls/clients.crl.pem

[req]
prompt = no
distinguished_name = on_the_command_line

[on_the_command_line]

[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always

[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always

# The URI is what makes a caller: see [callers.shop] in policy.toml.
[shop]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectAltName = URI:spiffe://demo.countersign.example/shop
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always

[batch]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectAltName = URI:spiffe://demo.countersign.example/batch
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always

[ca]
default_ca = revocation

[revocation]
database = tls/index.txt
crlnumber = tls/crlnumber
certificate = tls/ca.pem
private_key = tls/ca.key
default_md = sha256
default_crl_days = $days
crl_extensions = crl

[crl]
authorityKeyIdentifier = keyid:always
END
}

# -- the ledger and the keys -------------------------------------------------------------------

# refuse_if_pinned WHAT: a pinned key is beside something that was lost.
refuse_if_pinned() {
  local key
  for key in "${keys[@]}"; do
    [[ -z $(pinned_thumbprint "$key") ]] ||
      refuse "found $key pinned in countersign.toml, but $1, or delete $PWD to start over with" \
        "new keys"
  done
}

# Before the keys, so that a pinned key without a ledger can only mean that the ledger was lost.
make_ledger() {
  if [[ -e state/ledger.sqlite3 ]]; then
    kept "state/ledger.sqlite3"
    return
  fi
  refuse_if_pinned \
    "no ledger state/ledger.sqlite3; a new one would forget what was spent: put it back"
  "$countersign" init --config countersign.toml >/dev/null
  made "state/ledger.sqlite3"
}

# make_key KEY: has the token generate it, and pins it: from here on no other key passes for it.
make_key() {
  local key=$1 answer thumbprint
  if [[ -n $(pinned_thumbprint "$key") ]]; then
    kept "key $key, thumbprint $(pinned_thumbprint "$key")"
    return
  fi
  if answer=$("$countersign" keys generate "$key" --config countersign.toml --json); then
    thumbprint=$(jq -r '.thumbprint // empty' <<<"$answer")
  else
    # An earlier run may have been cut off between generating the key and pinning it.
    thumbprint=$(thumbprint_on_token "$key")
  fi
  [[ $thumbprint =~ ^[A-Za-z0-9_-]{43}$ ]] || refuse "the key $key was not generated: $answer"
  pin "$key" "$thumbprint"
  [[ $(pinned_thumbprint "$key") == "$thumbprint" ]] ||
    refuse "found no place for the thumbprint in countersign.toml; add this to [keys.$key]:" \
      "thumbprint = \"$thumbprint\""
  made "key $key, thumbprint $thumbprint"
}

# thumbprint_on_token KEY: what the daemon says of the key, having checked that it was generated there and cannot leave.
thumbprint_on_token() {
  "$countersign" keys list --config countersign.toml --json |
    jq -r --arg key "$1" 'arrays | .[] | select(.key == $key).thumbprint // empty' || true
}

pinned_thumbprint() {
  [[ ! -e countersign.toml ]] ||
    sed -nE "/^\[keys\.$1\]/,/^\[/ s/^ *thumbprint *= *\"([^\"]+)\".*/\1/p" countersign.toml
}

# pin KEY THUMBPRINT: puts it where the template keeps its place.
pin() {
  sed -E "/^\[keys\.$1\]/,/^\[/ s/^# thumbprint = .*/thumbprint = \"$2\"/" countersign.toml \
    >countersign.toml.new
  mv countersign.toml.new countersign.toml
}

main "$@"
