-- The newest sample whose horizon has passed, less a margin of $1 seconds: every transaction that could have
-- stamped a row before it has ended, prepared ones included.
select max(s.sampled_on) - $1 * interval '1 second'
from sync.watermark_sample s
where s.horizon <= pg_snapshot_xmin(pg_current_snapshot())
