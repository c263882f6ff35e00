-- How many entities walk $1 found in each way, and whether they differ in what the target ignores only.
select v.finding, v.reason = 'ignored' as is_ignored, count(*) as entities
from sync.verify_row v
where v.run = $1
group by v.finding, is_ignored
