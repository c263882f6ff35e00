-- The audit trail of a batch at target $1; $2 is an array of attempts.
insert into sync.attempt
    (target, entity_type, entity_id, decision, outcome, class, error, attempt, duration_ms, fence)
select $1, a.entity_type, a.entity_id, a.decision, a.outcome, a.class, a.error, a.attempt, a.duration_ms, a.fence
from jsonb_to_recordset($2::jsonb) as a (entity_type text, entity_id bigint, decision text, outcome text, class text,
                                         error text, attempt integer, duration_ms integer, fence bigint)
