-- Question $3 of process $2 about its share of the budget of target $1, whose concurrency is $4: it has $6 slots, for $5
-- seconds from now, has use for $7, and wants to send $8 requests at $9 per second. A turn lasts $10 seconds, a wish $11.
select kept, slots, keep, wait_seconds
from sync.ask_budget($1, $2, $3, $4, $5 * interval '1 second', $6, $7, $8, $9, $10 * interval '1 second', $11 * interval '1 second')
