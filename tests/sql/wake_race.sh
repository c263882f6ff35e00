#!/usr/bin/env bash
# The wake-up argument of sql/functions/capture.sql under load: wake_race.sh URL [cycles]
#
# Four writers commit at random times, some after a savepoint that they roll back. One sleeper goes through the relay's
# steps: drain, try the lock, drain again, sleep. When it wakes and finds rows, a notification must have come since it had
# the lock: else a relay would have slept until its fallback.
set -euo pipefail
url=$1 cycles=${2:-300}
export PGOPTIONS="-c client_min_messages=warning"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for writer in 1 2 3 4; do
    psql "$url" -XqAt -v ON_ERROR_STOP=1 >/dev/null 2>"$work/writer.$writer" <<SQL &
do \$\$
begin
    while to_regclass('test.stop') is null loop
        update ems.person set city = random()::text where id = $writer;
        begin
            update ems.tag set bib_number = random()::text;
            if random() < 0.7 then
                raise exception 'roll back to the savepoint';
            end if;
        exception when raise_exception then
        end;
        if random() < 0.3 then
            perform pg_sleep(random() * 0.004);
            update ems.person set province = random()::text where id = $writer;
        end if;
        commit;
        perform pg_sleep(random() * 0.05);
    end loop;
end
\$\$;
SQL
done

{
    echo 'listen ems_sync_outbox;'
    for _ in $(seq "$cycles"); do
        cat <<'SQL'
delete from sync.outbox;
select pg_try_advisory_lock(4541779, 1) as asleep \gset
\echo cycle :asleep
\if :asleep
delete from sync.outbox;
select pg_sleep(random() * 0.02);
select count(*) as found from sync.outbox \gset
select pg_sleep(0.01);
\echo found :found
select pg_advisory_unlock(4541779, 1);
\else
select pg_sleep(0.005);
\endif
SQL
    done
    echo 'create table test.stop ();'
} | psql "$url" -XqAt -v ON_ERROR_STOP=1 >"$work/sleeper"
wait
cat "$work"/writer.*

awk '
    /^cycle t/ { sleeps++; woken = 0 }
    /^cycle f/ { awake++ }
    /Asynchronous notification/ { woken = 1 }
    /^found/ && $2 > 0 { found++; if (!woken) missed++ }
    END {
        printf "%d sleeps, %d refused, %d found rows, %d without a notification\n", sleeps, awake, found, missed
        exit (missed > 0 || found < sleeps / 10 || sleeps == 0)
    }' "$work/sleeper"
