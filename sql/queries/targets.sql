-- The shared state of every target, at one moment of the database's clock. $1 is the slow start in seconds.
select t.target,
       t.version,
       now.now,
       t.paused_on is not null as paused,
       t.disabled_on is not null as disabled,
       t.disabled_reason,
       t.breaker,
       t.breaker_until,
       t.breaker_failures,
       t.breaker_opened_on,
       t.closed_on,
       t.on_trial,
       t.failing_since,
       t.failed_on,
       t.streak,
       t.window_since,
       t.window_served,
       t.window_failed,
       t.window_entities,
       t.throttled_until,
       t.learnt_pause,
       t.last_error,
       t.held_on is not null as held,
       coalesce(b.held_parts, '{}') as held_parts,
       d.oid::text || ' since ' || pg_postmaster_start_time() as database,
       case when opened.on > now.now - $1::double precision * interval '1 second'
            then greatest(extract(epoch from now.now - opened.on), 0)::double precision end as open_for
from (select clock_timestamp() as now) now
cross join sync.target t
join pg_database d on d.datname = current_database()
left join sync.binding b on b.target = t.target
cross join lateral (select greatest(t.closed_on, case when t.throttled_until <= now.now then t.throttled_until end) as on) opened
