-- Claims the leases of a batch. $3 is the lease in seconds. See sql/functions/claim.sql. The columns by name: a program of the version
-- before keeps its own when the function gets more of them.
select entity_type, entity_id, fence, owed_gen, owed_on, cause, traceparent, remote_id, data_hash, remote_hash, rejected_hash, in_doubt,
       intent_on, taken_over, lost_until, doubts, attempts, failures, tombstoned, holds, consents, former_remote_id, gave_up
from sync.claim($1, $2, $3 * interval '1 second', $4, $5)
