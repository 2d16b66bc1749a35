# For the other scripts, which source it: runs suites, keeps their logs, adds up what their runners counted.
# A suite counts its tests by the closing lines of its runner; one that fails without such a line counts as one failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CARGO_TERM_COLOR=never NO_COLOR=1
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
export TIDINGS_BIN=${TIDINGS_BIN:-$CARGO_TARGET_DIR/debug/tidings}
LOGS=$CARGO_TARGET_DIR/suites
PASSED=0
FAILED=0
SUITES=()
rm -rf "$LOGS"
mkdir -p "$LOGS"

# start NAME COMMAND…: runs a suite in the background, its output in a log.
start() {
  local name=$1
  shift
  local begun=$SECONDS
  (
    code=0
    "$@" >"$LOGS/$name.log" 2>&1 </dev/null || code=$?
    echo "$code $((SECONDS - begun))" >"$LOGS/$name.end"
  ) &
  SUITES+=("$name:$!")
}

# finish: waits for all that was started, shows each result, and the log of what failed.
finish() {
  local entry name code took passed failed
  for entry in ${SUITES[@]+"${SUITES[@]}"}; do
    name=${entry%%:*}
    wait "${entry##*:}" || true
    read -r code took <"$LOGS/$name.end"
    read -r passed failed < <(count "$LOGS/$name.log")
    if ((passed + failed == 0)); then
      if ((code == 0)); then passed=1; else failed=1; fi
    elif ((code != 0 && failed == 0)); then
      failed=1
    fi
    ((PASSED += passed, FAILED += failed)) || true
    printf '%-14s %5d passed %4d failed %5d s\n' "$name" "$passed" "$failed" "$took"
    if ((failed > 0)); then
      printf -- '--- log of %s\n' "$name"
      tail -n 400 "$LOGS/$name.log"
      printf -- '--- end of the log of %s\n' "$name"
    fi
  done
  SUITES=()
}

# suite NAME COMMAND…: runs one suite and waits for it.
suite() {
  start "$@"
  finish
}

# count LOG: "passed failed", from the closing lines of nextest, cargo test, node's runner and unittest.
count() {
  awk '
    /^ *Summary \[/ { for (i = 2; i <= NF; i++) if ($i ~ /^passed/) passed += $(i - 1); else if ($i ~ /^(failed|timed)/) failed += $(i - 1) }
    /^test result: / { for (i = 2; i <= NF; i++) if ($i ~ /^passed/) passed += $(i - 1); else if ($i ~ /^failed/) failed += $(i - 1) }
    /^(ℹ|#) pass [0-9]+$/ { passed += $3 }
    /^(ℹ|#) (fail|cancelled) [0-9]+$/ { failed += $3 }
    /^Ran [0-9]+ tests? in / { passed += $2 }
    /^FAILED \(.*(failures|errors)=/ { bad = 0; line = $0; while (match(line, /(failures|errors)=[0-9]+/)) { part = substr(line, RSTART, RLENGTH); sub(/.*=/, "", part); bad += part; line = substr(line, RSTART + RLENGTH) } passed -= bad; failed += bad }
    END { print passed + 0, failed + 0 }' "$1"
}

# closing: the summary line and the exit code.
closing() {
  printf '%d passed, %d failed\n' "$PASSED" "$FAILED"
  ((FAILED == 0 && PASSED > 0))
}

has() { command -v "$1" >/dev/null 2>&1; }

# packages PACKAGE…: installs Debian packages when that is allowed, else says what is missing.
packages() {
  if [[ $(id -u) != 0 ]] || ! has apt-get; then
    echo "missing: $*. Install these Debian packages (or their like) and run again." >&2
    return 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  # Another one may be installing.
  apt-get update && apt-get install -o DPkg::Lock::Timeout=300 -y --no-install-recommends "$@"
}

# database: what the tests of durability and of relays need: strace, a redis-server, of which each test starts its own, and a PostgreSQL of our
# own, which ends with the script. TIDINGS_TEST_POSTGRES names another one to be used; with TIDINGS_WITHOUT_POSTGRES=1 its tests are left out,
# and those of Redis with TIDINGS_WITHOUT_REDIS=1.
database() {
  local wanted=() port=
  has strace || [[ -n ${TIDINGS_WITHOUT_STRACE:-} ]] || wanted+=(strace)
  has redis-server || [[ -n ${TIDINGS_WITHOUT_REDIS:-} ]] || wanted+=(redis-server)
  [[ -n ${TIDINGS_WITHOUT_POSTGRES:-} ]] || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || has initdb || wanted+=(postgresql)
  ((${#wanted[@]} == 0)) || packages "${wanted[@]}" || return 1
  # Debian starts what it installs.
  [[ ${wanted[*]} != *redis-server* ]] || ! has systemctl || systemctl disable --now redis-server || true
  [[ -z ${TIDINGS_WITHOUT_POSTGRES:-}${TIDINGS_TEST_POSTGRES:-} ]] || return 0
  until [[ -n $port ]] && ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    port=$((RANDOM % 12000 + 20000))
  done
  DATABASE=$(mktemp -d)
  trap database_ends EXIT
  scripts/postgres "$DATABASE" "$port" &
  DATABASE_PID=$!
  until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    kill -0 "$DATABASE_PID" || return 1
    sleep 0.1
  done
  export TIDINGS_TEST_POSTGRES=postgres://tidings@127.0.0.1:$port/postgres
}

# database_ends: stops it, by its number, and removes what it kept.
database_ends() {
  kill -INT "$DATABASE_PID" 2>/dev/null && wait "$DATABASE_PID" || true
  rm -rf "$DATABASE"
}

# clients: everything the black-box suites need besides the binary.
clients() {
  local wanted=()
  has node && has npm || wanted+=(nodejs npm)
  has chromium || [[ -n ${CHROMIUM:-} ]] || wanted+=(chromium)
  has openssl || wanted+=(openssl)
  has redis-server && has redis-cli || wanted+=(redis-server redis-tools)
  has curl || wanted+=(curl)
  python3 -c 'import ensurepip, venv' 2>/dev/null || wanted+=(python3 python3-venv)
  ((${#wanted[@]} == 0)) || packages "${wanted[@]}"
  # Nothing of these packages has to be compiled; the tests use their JavaScript only.
  (cd tests/node && npm ci --ignore-scripts --no-fund --no-audit)
  python3 -m venv tests/python/.venv
  tests/python/.venv/bin/pip install --quiet --disable-pip-version-check -r tests/python/requirements.txt
}

unit_tests() {
  if has cargo-nextest; then
    cargo nextest run --locked --workspace --no-fail-fast
  else
    cargo test --locked --workspace --no-fail-fast
  fi
}

node_tests() {
  # Files in parallel, tests of a file one after the other; clients that keep timers after their last test do not hold the run up.
  cd tests/node && node --test --test-force-exit --test-concurrency=2 --test-reporter=spec ./*.test.mjs
}

python_tests() {
  cd tests/python && .venv/bin/python -W ignore::ResourceWarning -m unittest -v
}

# rust_suites: what needs no client; unit, transcript, vector and house tests are one build and one run.
rust_suites() {
  database >"$LOGS/database.log" 2>&1 || suite database bash -c "cat '$LOGS/database.log'; exit 1"
  suite format cargo fmt --all --check
  suite clippy cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
  suite unit unit_tests
  # What nextest leaves out: the examples in the client's documentation, and the documentation itself.
  suite doctests cargo test --locked --doc --package tidings-client
  suite docs env RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --package tidings-client
  suite rules scripts/rules
}

# blackbox_suites: real clients against the binary.
blackbox_suites() {
  start node node_tests
  start python python_tests
  finish
}
