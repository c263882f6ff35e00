-- How many entities walk $1 found in each way.
select v.finding, count(*) as entities from sync.verify_row v where v.run = $1 group by v.finding
