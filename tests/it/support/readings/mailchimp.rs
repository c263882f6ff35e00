//! MailChimp: who is mailed, in each list, under which name and with which tags.

use std::collections::{BTreeMap, BTreeSet};

use ems_sync_remotes::Simulator;
use ems_sync_remotes::mailchimp::{MailChimp, Row, Status};
use tokio_postgres::Client;

/// The membership of each person in the lists `news` and `club`: of those who share an address, the lowest id.
const EXPECTED: &str = "
    with eligible as (
        select p.*, lower(trim(p.email)) as address,
               coalesce((select not c.opted_in from ems.contact_preference c
                         where c.person_id = p.id and c.channel = 'EMAIL'), false) as is_out
        from ems.person p
        where trim(p.email) <> '' and exists (
            select 1 from ems.list_membership m where m.person_id = p.id and m.list_code in ('news', 'club'))
    )
    select m.list_code, e.id, e.address, e.first_name, e.last_name,
           case when e.is_out then 'UNSUBSCRIBED' else m.status end as status, m.labels
    from eligible e
    join ems.list_membership m on m.person_id = e.id and m.list_code in ('news', 'club')
    where e.id = (select min(o.id) from eligible o where o.address = e.address)";

const fn is_active(status: Status) -> bool {
    matches!(status, Status::Subscribed | Status::Pending)
}

fn lower(tags: &[String]) -> BTreeSet<String> {
    tags.iter().map(|tag| tag.to_lowercase()).collect()
}

/// Every difference between the EMS and the lists, each given by its code and its id at MailChimp.
pub(crate) async fn differences(
    ems: &Client,
    sim: &Simulator<MailChimp>,
    lists: [(&str, &str); 2],
) -> Vec<String> {
    let members = |(code, list): (&str, &str)| {
        let members = sim.rows(list).into_iter().map(|row| (row.email_address.to_lowercase(), row));
        (code.to_owned(), members.collect::<BTreeMap<_, _>>())
    };
    let held: BTreeMap<String, BTreeMap<String, Row>> = lists.map(members).into();
    let mut expected: BTreeSet<(String, String)> = BTreeSet::new();
    let mut differences = Vec::new();
    for row in ems.query(EXPECTED, &[]).await.unwrap() {
        let (code, id, address): (String, i64, String) = (row.get(0), row.get(1), row.get(2));
        let member = held[&code].get(&address);
        let mut differs = |what: String| differences.push(format!("person {id} in {code}: {what}"));
        if row.get::<_, String>("status") == "UNSUBSCRIBED" {
            if let Some(member) = member.filter(|member| is_active(member.status)) {
                differs(format!("is {:?} and wants no mail", member.status));
            }
            continue;
        }
        expected.insert((code.clone(), address));
        let Some(member) = member else {
            differs("is missing".to_owned());
            continue;
        };
        if !is_active(member.status) {
            differs(format!("is {:?}", member.status));
        }
        if member.ems_id != Some(id.to_string()) {
            differs(format!("carries the id {:?}", member.ems_id));
        }
        for (tag, column) in [("FNAME", "first_name"), ("LNAME", "last_name")] {
            let (wanted, there) = (row.get::<_, String>(column), &member.body["merge_fields"][tag]);
            if *there != wanted {
                differs(format!("{tag} is {there}, EMS {wanted}"));
            }
        }
        let labels: Vec<String> = row.get("labels");
        if lower(&member.tags) != lower(&labels) {
            differs(format!("the tags are {:?}, EMS {labels:?}", member.tags));
        }
    }
    for (code, members) in held {
        let mut ids = BTreeSet::new();
        for (address, member) in members {
            let is_mailed = member.status == Status::Subscribed;
            if is_mailed && !expected.contains(&(code.clone(), address)) {
                differences.push(format!("{:?} is mailed for nobody in {code}", member.ems_id));
            }
            if member.status != Status::Archived
                && let Some(id) = member.ems_id
                && !ids.insert(id.clone())
            {
                differences.push(format!("person {id} has two members in {code}"));
            }
        }
    }
    differences
}
