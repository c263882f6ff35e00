#!/usr/bin/env bash
# Tests of sql/ems and sql/functions/capture.sql:   DATABASE_URL=postgres://… tests/sql/run.sh [name of a test]
#
# Needs psql and a role that may create databases. Works in databases of its own, which it drops, beside the one of the URL.
# A *.sql file holds tests, each from a line `-- test: name` to the next, run by psql in a fresh copy of the template.
# Directives within a test:
#   -- needs: superuser | two-phase | no two-phase     else it is skipped
#   -- meanwhile: SQL          another session has run this in a transaction that is still open
#   -- expect N: text          the output (warnings and notifications included) has N lines with this text
set -euo pipefail
cd "$(dirname "$0")"
url=${DATABASE_URL:?DATABASE_URL is not set}
only=${1:-}
root=$(cd ../.. && pwd)
template=ems_sync_sql_$$_template
scratch=ems_sync_sql_$$
work=$(mktemp -d)
passed=0 failed=0 skipped=0
export PGOPTIONS="${PGOPTIONS:-} -c client_min_messages=warning"

# The URL with another database name; everything else, the query part included, stays.
at() { sed -E "s#^(postgres(ql)?://[^/?]*)(/[^?]*)?(\?.*)?\$#\1/$1\4#" <<<"$url"; }
admin() { psql "$url" -XqAt -v ON_ERROR_STOP=1 "$@"; }
cleanup() {
    admin -c "drop database if exists $scratch with (force)" -c "drop database if exists $template with (force)" || true
    rm -rf "$work"
}
trap cleanup EXIT

admin -c "create database $template"
load() { psql "$(at "$template")" -XqAt -v ON_ERROR_STOP=1 "$@" >/dev/null; }
for file in "$root"/sql/ems/*.sql; do load -1 -f "$file"; done
load -1 -c 'create schema sync' -f "$(echo "$root"/sql/migrations/V1__*outbox*.sql)" -f "$root/sql/functions/capture.sql" \
    -c 'select sync.watch_reference_ems()' -f setup.sql

superuser=$(admin -c "select rolsuper from pg_roles where rolname = current_user")
two_phase=$(admin -c "select current_setting('max_prepared_transactions') <> '0'")

report() { # name, outcome, file with details
    case $2 in
        ok) passed=$((passed + 1)) ;;
        skipped) skipped=$((skipped + 1)) ;;
        *) failed=$((failed + 1)); sed 's/^/    /' "$3" ;;
    esac
    printf '%-8s %s\n' "$2" "$1"
}

run_test() { # name, file
    local name=$1 file=$2 need meanwhile wanted outcome=ok
    while read -r need; do
        case "$need/$superuser/$two_phase" in
            superuser/f/* | two-phase/*/f | 'no two-phase'/*/t) report "$name" skipped; return ;;
        esac
    done < <(sed -n 's/^-- needs: //p' "$file")
    admin -c "drop database if exists $scratch with (force)" -c "create database $scratch template $template"
    meanwhile=$(sed -n 's/^-- meanwhile: //p' "$file")
    if [ -n "$meanwhile" ]; then
        printf 'begin;\n%s;\nselect pg_sleep(60);\n' "$meanwhile" |
            PGAPPNAME=meanwhile psql "$(at "$scratch")" -XqAt >"$work/meanwhile" 2>&1 &
        for _ in $(seq 200); do
            [ "$(admin -c "select count(*) from pg_stat_activity where datname = '$scratch' and application_name = 'meanwhile' and wait_event = 'PgSleep'")" = 1 ] && break
            sleep 0.05
        done
    fi
    psql "$(at "$scratch")" -XqAt -v ON_ERROR_STOP=1 -v root="$root" -v VERBOSITY=default -f "$file" >"$work/out" 2>&1 || outcome=FAILED
    while IFS= read -r wanted; do
        local count=${wanted%%:*} text=${wanted#*: } found
        found=$(grep -cF -- "$text" "$work/out" || true)
        if [ "$found" != "$count" ]; then
            outcome=FAILED
            echo "expected $count lines with '$text', got $found" >>"$work/out"
        fi
    done < <(sed -n 's/^-- expect //p' "$file")
    report "$name" "$outcome" "$work/out"
}

for file in *_test.sql; do
    rm -f "$work"/case.*
    awk -v dir="$work" '/^-- test: /{n++} n{print > sprintf("%s/case.%03d", dir, n)}' "$file"
    for case in "$work"/case.*; do
        name="${file%_test.sql}: $(sed -n '1s/^-- test: //p' "$case")"
        case "$name" in *"$only"*) run_test "$name" "$case" ;; esac
    done
done

name='wake: no change waits for the fallback while writers and a sleeper race'
case "$name" in *"$only"*)
    if [ "$two_phase" = t ]; then
        report "$name" skipped
    else
        admin -c "drop database if exists $scratch with (force)" -c "create database $scratch template $template"
        if ./wake_race.sh "$(at "$scratch")" >"$work/out" 2>&1; then report "$name" ok; else report "$name" FAILED "$work/out"; fi
    fi ;;
esac

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
