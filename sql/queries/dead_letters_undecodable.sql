-- Messages of target $1 that could not be decoded: digests $2, sizes $3. One open dead letter for each content.
insert into sync.dead_letter as d (target, reason, error, message_digest, message_bytes, cycles)
select $1, 'undecodable', 'A message that is no delivery', u.digest, min(u.bytes), count(*)
from unnest($2::bytea[], $3::integer[]) as u (digest, bytes)
group by u.digest
order by u.digest
on conflict (target, message_digest) where closed_on is null and message_digest is not null do update set
    cycles         = d.cycles + excluded.cycles,
    last_failed_on = clock_timestamp()
returning d.*
