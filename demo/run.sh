#!/usr/bin/env bash
# Shows, and checks, what countersign promises: payments are signed by the token, a retry gets the
# same signature, limits hold, and software that has never heard of countersign verifies the result.
#
# Exit status 0 means that all of it held.
set -euo pipefail

usage() {
  cat <<'END'
usage: demo/run.sh [--stay]

Runs the demo in a scratch directory, which is removed at the end. Exit status 0 if everything held.

  --stay   instead, sets up ./run beside the Makefile, prints commands to try, and runs the
           daemon in the foreground

environment: COUNTERSIGN, SOFTHSM_MODULE as for softhsm-setup.sh; NO_COLOR
END
}

root=$(dirname -- "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")")
countersign=${COUNTERSIGN:-${CARGO_TARGET_DIR:-$root/target}/release/countersign}
key=settlement-eur
creditor="Bakery Sol"
iban=ES9121000418450200051332

bold='' dim='' green='' red='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
fi

main() {
  case "$#:${1-}" in
    0:) ;;
    1:--stay) stay ;;
    1:-h | 1:--help) usage && exit ;;
    *) usage >&2 && exit 2 ;;
  esac
  "$root/.ci/need" curl:curl jq:jq jose:jose
  scratch=$(mktemp -d)
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  mkdir "$scratch/signed"

  set_up
  start_daemon
  sign_micropayments
  retry
  break_the_single_limit
  break_the_hour_limit
  show_limits
  verify
  verify_log
  printf '\n%sAll of it held.%s "make run" starts a daemon to try things out with.\n' \
    "$bold$green" "$plain"
}

# -- telling -----------------------------------------------------------------------------------

# step HEADLINE SENTENCE
step() {
  steps=$((${steps:-0} + 1))
  printf '\n%s%d  %s%s\n' "$bold" "$steps" "$1" "$plain"
  fold -s -w 80 <<<"$2" | sed "s/^/   $dim/; s/ *\$/$plain/"
  printf '\n'
}
# shellcheck disable=SC2059 # a format is what it takes
line() { printf "   $1\n" "${@:2}"; }
command_line() { line "$dim\$ %s$plain" "$*"; }
held() { line "${green}ok$plain  %s" "$*"; }

# failed WHAT EXPECTED FOUND
failed() {
  printf '\n%sFAILED%s  %s\n' "$bold$red" "$plain" "$1" >&2
  printf '        expected  %s\n        found     %s\n' "$2" "$3" >&2
  exit 1
}

# -- the scratch directory and the daemon ------------------------------------------------------

scratch='' daemon=''

# Runs on every way out, so that neither keys nor processes stay behind.
clean_up() {
  local status=$? tenths=0
  trap '' INT TERM
  if [[ -n $daemon ]]; then
    # It finishes what it is signing; longer than this it never takes.
    kill "$daemon" 2>/dev/null || true
    while kill -0 "$daemon" 2>/dev/null && ((tenths++ < 200)); do sleep 0.1; done
    kill -KILL "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  fi
  if ((status != 0 && status < 128)) && [[ -s $scratch/log ]]; then
    printf '\nThe last lines of the daemon'\''s log:\n' >&2
    tail -n 20 "$scratch/log" >&2
  fi
  rm -rf -- "$scratch"
  exit "$status"
}

set_up() {
  step "Set up" "softhsm-setup.sh makes a token, has it generate two keys that cannot leave it (P-256 \
for payments, Ed25519 for the log), and writes certificates, configuration and policy. Everything is in a scratch directory."
  "$root/softhsm-setup.sh" "$scratch/run" >"$scratch/setup" || {
    cat "$scratch/setup" >&2
    failed "set up" "softhsm-setup.sh to end with status 0" "another status; see above"
  }
  sed -n 's/^made  /   made  /p' "$scratch/setup"
  run=$scratch/run
  export SOFTHSM2_CONF=$run/softhsm2.conf
}

start_daemon() {
  step "Start the daemon" "It logs in to the token, compares the keys there with the pinned \
thumbprints, checks their attributes, and opens its listeners on free ports."
  sed -i -E 's/^(listen = "127\.0\.0\.1):[0-9]+"/\1:0"/' "$run/countersign.toml"
  command_line countersign serve --config countersign.toml
  : >"$scratch/ready"
  "$countersign" serve --config "$run/countersign.toml" >"$scratch/ready" 2>"$scratch/log" &
  daemon=$!
  local tenths ready='' port='127\.0\.0\.1:([0-9]+)'
  for ((tenths = 0; tenths < 300; tenths++)); do
    # Fails as long as the line is not whole.
    read -r ready <"$scratch/ready" && break
    kill -0 "$daemon" 2>/dev/null || failed "start" "a running daemon" "that it ended"
    sleep 0.1
  done
  [[ $ready =~ ^ready\ gateway=$port\ public=$port\ operations=$port$ ]] ||
    failed "start" '"ready gateway=... public=... operations=..." within 30 s' "\"$ready\""
  gateway=https://localhost:${BASH_REMATCH[1]}
  public=https://localhost:${BASH_REMATCH[2]}
  sed -i "s|^url = .*|url = \"$gateway\"|" "$run/client.toml"
  line '%s' "$ready"
}

# -- asking ------------------------------------------------------------------------------------

# cli COMMAND [ARGUMENT...], as caller shop
cli() { "$countersign" "$1" --client "$run/client.toml" "${@:2}"; }

# pay AMOUNT END_TO_END_ID: has the CLI ask for a signature. A signed payment leaves its JWS and its
# amount in signed/; a denied one is told by status 3, as the CLI does; anything else is a failure.
pay() {
  local status=0 answer=$scratch/answer state
  cli pay --key "$key" --amount "$1" --currency EUR --creditor-name "$creditor" --iban "$iban" \
    --end-to-end-id "$2" --idempotency-key "${2,,}" --json >"$answer" || status=$?
  case $status in
    0) ;;
    3) return 3 ;;
    *) failed "payment $2 over $1 EUR" "exit status 0 or 3" "$status" ;;
  esac
  state=$(jq -r .state "$answer")
  [[ $state == signed ]] || failed "payment $2 over $1 EUR" 'state "signed"' "\"$state\""
  # Without a newline at the end: jose takes none.
  jq -j .jws "$answer" >"$scratch/signed/$2.jws"
  printf '%s' "$1" >"$scratch/signed/$2.amount"
  line '%-9s %6s EUR   %s   %s' "$2" "$1" "$(jq -r .id "$answer")" \
    "$(sed -E 's/^(.{8}).*(.{16})$/\1...\2/' "$scratch/signed/$2.jws")"
}

# post AMOUNT END_TO_END_ID: the same payment without our CLI. Prints the HTTP status and the
# content type; the body is in answer.
post() {
  jq -n --arg key "$key" --arg amount "$1" --arg id "$2" --arg name "$creditor" --arg iban "$iban" \
    '{$key, $amount, currency: "EUR", creditor: {$name, account: {$iban}}, end_to_end_id: $id}' |
    curl -sS --max-time 30 --cacert "$run/tls/ca.pem" \
      --cert "$run/tls/shop.pem" --key "$run/tls/shop.key" \
      -H 'Content-Type: application/json' -H "Idempotency-Key: ${2,,}" --data-binary @- \
      -o "$scratch/answer" -w '%{http_code} %{content_type}' "$gateway/v1/payments"
}

# The sum of what was signed, in cents.
spent() {
  local sum=0 amount
  for amount in "$scratch"/signed/*.amount; do
    amount=$(<"$amount")
    sum=$((sum + 10#${amount/./}))
  done
  echo "$sum"
}

# euros CENTS
euros() { printf '%d.%02d' $(($1 / 100)) $(($1 % 100)); }

# -- the steps ---------------------------------------------------------------------------------

sign_micropayments() {
  step "Sign twelve micropayments" "The caller \"shop\" asks; each payment is decided, recorded, \
signed by the token, verified and recorded again before the answer leaves the daemon."
  command_line countersign pay --client client.toml --key "$key" --amount 0.05 --currency EUR \\
  line "$dim    --creditor-name '$creditor' --iban $iban \\\\$plain"
  line "$dim    --end-to-end-id DEMO-1 --idempotency-key demo-1$plain"
  local amount number=0
  for amount in 0.05 0.10 0.15 0.25 0.40 0.60 0.80 1.00 1.25 1.50 1.90 2.50; do
    number=$((number + 1))
    pay "$amount" "DEMO-$number" ||
      failed "payment DEMO-$number" "to be signed" "denied: $(jq -c . "$scratch/answer")"
  done
}

retry() {
  step "Ask once more" "Suppose that the answer to DEMO-1 got lost: the caller asks again with the \
same idempotency key, here with curl. ECDSA is randomised: a second signature would differ."
  command_line "curl --cert shop.pem --key shop.key -H 'Idempotency-Key: demo-1' ... /v1/payments"
  local found
  found=$(post 0.05 DEMO-1)
  [[ $found == 20[01]\ application/json* ]] || failed "retry" "201 application/json" "$found"
  jq -j .jws "$scratch/answer" | cmp -s - "$scratch/signed/DEMO-1.jws" ||
    failed "retry" "the first signature, byte for byte" "$(jq -c . "$scratch/answer")"
  held "the same JWS, byte for byte"
}

# denied_by NAME FREE ASKED: checks the problem document in answer, and shows its numbers. FREE and
# ASKED are in cents.
denied_by() {
  local found=$scratch/answer
  jq -e --arg name "$1" --argjson free "$2" --argjson asked "$3" '
    def cents: tonumber * 100 | round;
    .rule == "limit_exceeded" and (.detail | length > 0) and .limit.name == $name and
    (.limit.free | cents) == $free and (.limit.asked | cents) == $asked' "$found" >/dev/null ||
    failed "denial" "limit_exceeded by \"$1\", free $(euros "$2"), asked $(euros "$3")" \
      "$(jq -c . "$found")"
  jq -r '"   rule    \(.rule)", "   detail  \(.detail)",
    (.limit | "   limit   \(.name): cap \(.cap), free \(.free), asked \(.asked)")' "$found"
}

break_the_single_limit() {
  step "Ask for too much at once" "The policy caps a single payment at 25.00 EUR. A denial is a \
decision: an HTTP status of its own, the rule, and the numbers."
  local found
  found=$(post 30.00 DEMO-TOO-MUCH)
  line 'HTTP %s' "$found"
  [[ $found == 403\ application/problem+json* ]] ||
    failed "30.00 EUR at once" "403 application/problem+json" "$found"
  denied_by single 2500 3000
}

break_the_hour_limit() {
  step "Drain the hour" "Each of these payments is small enough by itself. The policy also caps \
what is signed within an hour at 100.00 EUR, so the last one is denied."
  local number=0 status found
  for ((number = 1; number <= 8; number++)); do
    status=0
    pay 25.00 "HOUR-$number" || status=$?
    ((status == 0)) || break
  done
  ((status == 3)) || failed "hour limit" "a denial" "$(euros "$(spent)") EUR signed"
  line '%-9s %6s EUR   denied, exit status 3\n' "HOUR-$number" 25.00
  # The same question gets the same answer, also when it is no.
  found=$(post 25.00 "HOUR-$number")
  [[ $found == 403\ * ]] || failed "25.00 EUR beyond the hour limit" "403" "$found"
  denied_by hour $((10000 - $(spent))) 2500
  (($(spent) <= 10000)) || failed "hour limit" "at most 100.00 EUR" "$(euros "$(spent)") signed"
}

show_limits() {
  step "Look at the limits" "A caller sees how much room is left for its keys, and when more comes \
back."
  command_line countersign limits --client client.toml "$key"
  cli limits "$key" >"$scratch/limits" || failed "limits" "exit status 0" "$?"
  sed 's/^/   /' "$scratch/limits"
  local name
  for name in hour day; do
    grep -qw -- "$name" "$scratch/limits" || failed "limits" "a line for \"$name\"" "none"
  done
}

verify() {
  step "Verify it all with software that is not ours" "The public listener tells the public key. \
The jose tool computes the key's thumbprint and verifies each signature; then each payload is \
compared with what was asked."
  local jwks=$scratch/jwks.json payload=$scratch/payload found pinned jws id
  local url=$public/.well-known/jwks.json
  command_line curl --cacert ca.pem "$url"
  curl -sS --fail --max-time 30 --cacert "$run/tls/ca.pem" -o "$jwks" "$url"
  found=$(jq -c '.keys[0]' "$jwks" | jose jwk thp -i - -a S256)
  pinned=$(sed -nE "/^\[keys\.$key\]/,/^\[/ s/^thumbprint = \"(.*)\"/\1/p" "$run/countersign.toml")
  [[ $found == "$pinned" ]] || failed "thumbprint of the key in JWKS" "$pinned, as pinned" "$found"
  held "the key has the thumbprint that is pinned in countersign.toml: $found"

  local count=0
  for jws in "$scratch"/signed/*.jws; do
    id=$(basename -- "$jws" .jws)
    jose jws ver -i "$jws" -k "$jwks" -O "$payload" ||
      failed "signature of $id" "jose to verify it" "that jose refused it"
    jq -e --arg key "$key" --arg amount "$(<"${jws%.jws}.amount")" --arg id "$id" \
      --arg name "$creditor" --arg iban "$iban" '.payment |
      .key == $key and .amount == $amount and .currency == "EUR" and .end_to_end_id == $id and
      .creditor.name == $name and .creditor.account.iban == $iban' "$payload" >/dev/null ||
      failed "payload of $id" "the payment that was asked for" "$(<"$payload")"
    count=$((count + 1))
  done
  held "jose verified $count signatures over $(euros "$(spent)") EUR, each for the payment asked"

  tamper "$jwks"
  printf '\n   What was signed as DEMO-1:\n'
  jose jws ver -i "$scratch/signed/DEMO-1.jws" -k "$jwks" -O - | jq . | sed 's/^/   /'
}

verify_log() {
  step "Verify the log" "Every decision above, denials too, is a leaf of a log whose head the audit \
key signs every second. Whoever has that key's public half can check all of it, or one payment by \
its receipt, without asking anybody."
  local vkey receipt=$scratch/receipt.json id
  vkey=$(curl -sS --fail --max-time 30 --cacert "$run/tls/ca.pem" "$public/log/key")
  # The newest leaf is covered within a second.
  sleep 1.5
  command_line countersign log verify --key "$vkey"
  "$countersign" log verify --config "$run/countersign.toml" --key "$vkey" >"$scratch/log" ||
    failed "log" "every leaf to be in its place" "$(<"$scratch/log")"
  sed 's/^/   /' "$scratch/log"
  id=$(jose jws ver -i "$scratch/signed/DEMO-1.jws" -k "$scratch/jwks.json" -O - |
    jq -r .payment_id)
  curl -sS --fail --max-time 30 --cacert "$run/tls/ca.pem" --cert "$run/tls/shop.pem" \
    --key "$run/tls/shop.key" -o "$receipt" "$gateway/v1/payments/$id/receipt"
  printf '\n'
  command_line countersign receipt verify receipt.json --jwks jwks.json --key "$vkey"
  "$countersign" receipt verify "$receipt" --jwks "$scratch/jwks.json" --key "$vkey" \
    >"$scratch/verified" || failed "receipt of DEMO-1" "it to verify" "$(<"$scratch/verified")"
  sed 's/^/   /' "$scratch/verified"
  sed 's/0\.05/9.05/' "$receipt" >"$receipt.changed"
  if "$countersign" receipt verify "$receipt.changed" --jwks "$scratch/jwks.json" --key "$vkey" \
    >/dev/null 2>&1; then
    failed "a receipt with one byte changed" "it to be refused" "that it verified"
  fi
  held "with one byte changed, 0.05 EUR to 9.05 EUR, the receipt is refused"
}

# tamper JWKS: one byte of a signed payment is changed, 0.05 EUR to 9.05 EUR, and jose must see it.
tamper() {
  local header payload signature
  # Fails for want of a newline, after it has read everything.
  IFS=. read -r header payload signature <"$scratch/signed/DEMO-1.jws" || true
  printf '%s' "$payload" | jose b64 dec -i - -O "$scratch/before"
  sed 's/"amount":"0\.05"/"amount":"9.05"/' "$scratch/before" >"$scratch/after"
  local changed
  changed=$(cmp -l "$scratch/before" "$scratch/after" | wc -l) || true
  ((changed == 1)) || failed "tampering" "one changed byte" "$changed"
  printf '%s.%s.%s' "$header" "$(jose b64 enc -I "$scratch/after" -o -)" "$signature" \
    >"$scratch/tampered.jws"
  if jose jws ver -i "$scratch/tampered.jws" -k "$1" -O "$scratch/payload" 2>/dev/null; then
    failed "0.05 EUR changed to 9.05 EUR" "jose to refuse it" "that jose verified it"
  fi
  held "with one byte changed, 0.05 EUR to 9.05 EUR, jose refuses the signature"
}

# -- make run ----------------------------------------------------------------------------------

# Sets up ./run, prints what can be pasted into another terminal, and becomes the daemon.
stay() {
  "$root/softhsm-setup.sh" "$root/run"
  countersign=$(realpath -s -- "$countersign")
  export SOFTHSM2_CONF=$root/run/softhsm2.conf
  printf '\n%sIn another terminal:%s\n' "$bold" "$plain"
  cat <<END

  cd $(printf %q "$root")
  export SOFTHSM2_CONF=\$PWD/run/softhsm2.conf
  alias countersign=$(printf %q "$countersign")

  # Have a payment signed; the same command again gets the same signature.
  countersign pay --client run/client.toml --key $key --amount 0.25 --currency EUR \\
    --creditor-name "$creditor" --iban $iban \\
    --end-to-end-id INV-1 --idempotency-key inv-1

  # The same without our CLI.
  curl --cacert run/tls/ca.pem --cert run/tls/shop.pem --key run/tls/shop.key \\
    -H 'Content-Type: application/json' -H 'Idempotency-Key: inv-2' \\
    -d '{"key": "$key", "amount": "0.40", "currency": "EUR", "end_to_end_id": "INV-2",
         "creditor": {"name": "$creditor", "account": {"iban": "$iban"}}}' \\
    https://localhost:8443/v1/payments

  # What became of a payment: put the id from an answer above.
  countersign payment show --client run/client.toml PAYMENT_ID

  # How much room is left.
  countersign limits --client run/client.toml $key

  # The public key, for whoever verifies.
  curl --cacert run/tls/ca.pem https://localhost:8444/.well-known/jwks.json

  # How the daemon is doing, and whether the installation is sound.
  curl http://127.0.0.1:9090/metrics
  countersign doctor --config run/countersign.toml

END
  printf '%sThe daemon runs here; Ctrl-C ends it. ./run is kept.%s\n' "$bold" "$plain"
  exec "$countersign" serve --config "$root/run/countersign.toml"
}

main "$@"
