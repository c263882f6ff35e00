-- The newest of what people, the breaker and the guard did: of target $1 (null: any), $2 at most. Each trail is read from its
-- newest end.
select a.happened_on, a.target, a.event, a.detail, a.by
from sync.audit a
where $1::text is null or a.target = $1
order by a.happened_on desc
limit $2
