-- The shared state of a target: whoever changes it, its version grows, and who depends on it is told at once.
create or replace function sync.target_changes() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
begin
    new.version := old.version + 1;
    new.updated_on := clock_timestamp();
    return new;
end
$body$;

-- Processes LISTEN, so that a pause, a refusal or an order holds everywhere within milliseconds; they also look twice a
-- second. A target that closes says so in the notification itself: nobody has to read first. Counting evidence notifies
-- nobody.
create or replace function sync.target_tells() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
begin
    perform pg_notify('ems_sync_target', concat_ws(' ', new.target, new.version,
        case when new.paused_on is null and new.disabled_on is null and new.held_on is null and new.breaker = 'closed'
                  and coalesce(new.throttled_until <= clock_timestamp(), true)
             then 'open' else 'closed' end));
    return null;
end
$body$;

create or replace trigger target_changes before update on sync.target
    for each row execute function sync.target_changes();

create or replace trigger target_tells after update on sync.target
    for each row
    when (old.paused_on is distinct from new.paused_on
       or old.disabled_on is distinct from new.disabled_on
       or old.held_on is distinct from new.held_on
       or old.breaker is distinct from new.breaker
       or old.on_trial is distinct from new.on_trial
       or old.closed_on is distinct from new.closed_on
       or old.throttled_until is distinct from new.throttled_until)
    execute function sync.target_tells();
