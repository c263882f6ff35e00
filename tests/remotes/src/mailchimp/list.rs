//! An audience: its settings, fields, interests, tags and members.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::address::subscriber_hash;
use super::member::{Member, Status};
use super::merge_field::{Kind, MergeField};
use super::options::TagCase;
use super::webhook::{Delivery, Webhook};

/// How an audience is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOptions {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether people have to confirm that they want to be members.
    pub double_optin: bool,
    /// Its merge fields. By default there is no `EMSID`, as in every list of MailChimp's own making.
    pub merge_fields: Vec<MergeField>,
    /// Its groups of interests.
    pub interest_categories: Vec<InterestCategory>,
}

/// A group of interests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterestCategory {
    /// Its id.
    pub id: String,
    /// Its name.
    pub title: String,
    /// Id and name of each interest.
    pub interests: Vec<(String, String)>,
}

impl Default for ListOptions {
    fn default() -> Self {
        Self {
            id: "a1b2c3d4e5".to_owned(),
            name: "Members".to_owned(),
            double_optin: false,
            merge_fields: vec![
                MergeField::new("FNAME", "First Name", Kind::Text),
                MergeField::new("LNAME", "Last Name", Kind::Text),
                MergeField::new("ADDRESS", "Address", Kind::Address),
                MergeField::new("PHONE", "Phone Number", Kind::Phone),
                MergeField::new("BIRTHDAY", "Birthday", Kind::Birthday),
            ],
            interest_categories: Vec::new(),
        }
    }
}

impl ListOptions {
    /// Another audience.
    pub fn named(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    /// With the field for the EMS's id.
    #[must_use]
    pub fn with_ems_id(self) -> Self {
        self.with_field(MergeField::new("EMSID", "EMS id", Kind::Text))
    }

    /// With one more field.
    #[must_use]
    pub fn with_field(mut self, field: MergeField) -> Self {
        self.merge_fields.push(field);
        self
    }
}

/// A tag of a list.
#[derive(Clone, Debug)]
pub(super) struct Tag {
    pub(super) id: usize,
    pub(super) name: String,
}

/// An audience with its members.
#[derive(Debug)]
pub(super) struct List {
    pub(super) options: ListOptions,
    members: BTreeMap<u64, Member>,
    by_id: HashMap<String, u64>,
    by_email: HashMap<String, u64>,
    by_contact: HashMap<String, u64>,
    by_ems_id: HashMap<String, BTreeSet<u64>>,
    tags: HashMap<String, Tag>,
    /// Hashes of addresses that were deleted for good.
    pub(super) forgotten: HashSet<String>,
    /// How often new subscriptions of an address, by its hash, are still refused.
    pub(super) crowded: HashMap<String, u64>,
    pub(super) webhooks: Vec<Webhook>,
    /// What the webhooks have to tell.
    pub(super) deliveries: Vec<Delivery>,
}

impl List {
    /// A list without members.
    pub(super) fn new(options: ListOptions) -> Self {
        Self {
            options,
            members: BTreeMap::new(),
            by_id: HashMap::new(),
            by_email: HashMap::new(),
            by_contact: HashMap::new(),
            by_ems_id: HashMap::new(),
            tags: HashMap::new(),
            forgotten: HashSet::new(),
            crowded: HashMap::new(),
            webhooks: Vec::new(),
            deliveries: Vec::new(),
        }
    }

    /// All members, the oldest first.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The member that a path or a person names: by hash, contact id or address.
    pub(super) fn find(&self, key: &str) -> Option<&Member> {
        if key.contains('@') {
            return self.find_email(key);
        }
        let web_id = self.by_id.get(&key.to_lowercase()).or_else(|| self.by_contact.get(key))?;
        self.members.get(web_id)
    }

    /// The member with this address, however it is spelt and hashed.
    pub(super) fn find_email(&self, email: &str) -> Option<&Member> {
        self.members.get(self.by_email.get(&subscriber_hash(email))?)
    }

    /// The members with this id of the EMS.
    pub(super) fn find_ems_id(&self, ems_id: &str) -> impl Iterator<Item = &Member> {
        let found = self.by_ems_id.get(ems_id).into_iter().flatten();
        found.filter_map(|web_id| self.members.get(web_id))
    }

    /// Adds a member, or overwrites the one with its `web_id`.
    pub(super) fn put(&mut self, member: Member) {
        self.take(member.web_id);
        let web_id = member.web_id;
        self.by_id.insert(member.id.clone(), web_id);
        self.by_email.insert(subscriber_hash(&member.email_address), web_id);
        self.by_contact.insert(member.contact_id.clone(), web_id);
        if let Some(ems_id) = member.ems_id() {
            self.by_ems_id.entry(ems_id).or_default().insert(web_id);
        }
        self.members.insert(web_id, member);
    }

    /// Removes a member without a trace.
    pub(super) fn take(&mut self, web_id: u64) -> Option<Member> {
        let member = self.members.remove(&web_id)?;
        self.by_id.remove(&member.id);
        self.by_email.remove(&subscriber_hash(&member.email_address));
        self.by_contact.remove(&member.contact_id);
        if let Some(ems_id) = member.ems_id()
            && let Some(found) = self.by_ems_id.get_mut(&ems_id)
        {
            found.remove(&web_id);
        }
        Some(member)
    }

    /// Removes all members and their traces.
    pub(super) fn clear(&mut self) {
        let webhooks = std::mem::take(&mut self.webhooks);
        *self = Self { webhooks, ..Self::new(self.options.clone()) };
    }

    /// The merge field with this tag; tags have no case.
    pub(super) fn field(&self, tag: &str) -> Option<&MergeField> {
        self.options.merge_fields.iter().find(|field| field.tag.eq_ignore_ascii_case(tag))
    }

    /// Whether there is such an interest.
    pub(super) fn has_interest(&self, id: &str) -> bool {
        self.interests().any(|interest| interest == id)
    }

    /// The ids of all interests.
    pub(super) fn interests(&self) -> impl Iterator<Item = &str> {
        let categories = self.options.interest_categories.iter();
        categories.flat_map(|category| category.interests.iter().map(|(id, _)| id.as_str()))
    }

    /// The key of the tag `name`, which is made if it is new.
    pub(super) fn tag_key(&mut self, name: &str, case: TagCase) -> String {
        let key = name.to_lowercase();
        let id = 1 + self.tags.len();
        self.tags.entry(key.clone()).or_insert_with(|| Tag {
            id,
            name: match case {
                TagCase::Sent => name.to_owned(),
                TagCase::Lower => key.clone(),
            },
        });
        key
    }

    /// A tag by its key.
    pub(super) fn tag(&self, key: &str) -> Option<&Tag> {
        self.tags.get(key)
    }

    /// The list as the API shows it.
    pub(super) fn to_value(&self) -> Value {
        let count = |status: Status| self.members().filter(|m| m.status == status).count();
        json!({
            "id": self.options.id,
            "web_id": 100_001,
            "name": self.options.name,
            "email_type_option": false,
            "double_optin": self.options.double_optin,
            "marketing_permissions": false,
            "has_welcome": false,
            "visibility": "prv",
            "stats": {
                "member_count": count(Status::Subscribed),
                "total_contacts": self.members.len(),
                "unsubscribe_count": count(Status::Unsubscribed),
                "cleaned_count": count(Status::Cleaned),
                "merge_field_count": self.options.merge_fields.len(),
            },
            "_links": [],
        })
    }
}
