-- Takes duty $1 of target $2 for $3 unless it was begun within $4 seconds or somebody has it; lease $5 seconds.
insert into sync.duty as d (duty, target, started_on, owner, lease_until)
values ($1, $2, clock_timestamp(), $3, clock_timestamp() + $5 * interval '1 second')
on conflict (duty, target) do update set
    started_on  = clock_timestamp(),
    owner       = excluded.owner,
    lease_until = excluded.lease_until
where (d.owner is null or d.lease_until <= clock_timestamp())
  and d.started_on <= clock_timestamp() - $4 * interval '1 second'
