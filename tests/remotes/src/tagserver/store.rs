//! The rows: one id sequence for the whole server, `externalId` unique per resource, foreign keys
//! enforced both ways. Nothing here scans all rows for one request.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::field::{Digits, FieldValue};
use super::resource::{Kind, Resource};
use crate::Reimage;

/// A row as tests see it: instants with as few digits as they need.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The server's id.
    pub id: i64,
    /// The EMS id; a row that staff made at the server may have none.
    pub external_id: Option<String>,
    /// The whole record, as the server would show it.
    pub body: Value,
}

/// What a row holds, besides its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) external_id: Option<String>,
    /// In the order of [`Resource::fields`].
    pub(super) values: Vec<Option<FieldValue>>,
}

/// Why the store does not take a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Another row of the resource has the `externalId`.
    Duplicate,
    /// A relation names a row that is not there.
    MissingRelation { field: &'static str, parent: Resource, id: i64 },
    /// Another row names this one.
    Referenced,
    /// There is no such row.
    UnknownId,
}

#[derive(Clone, Debug)]
struct Record {
    fields: Fields,
    /// From when on the look-up index knows it.
    created: Instant,
}

/// All rows of one server.
#[derive(Debug)]
pub(super) struct Store {
    first_id: i64,
    next_id: i64,
    records: HashMap<(Resource, i64), Record>,
    by_external_id: HashMap<(Resource, String), i64>,
    /// Sorted, for pages without sorting.
    ids: HashMap<Resource, Vec<i64>>,
    /// How many relations name a row.
    references: HashMap<(Resource, i64), u64>,
}

impl Fields {
    /// A record without any value.
    pub(super) fn empty(resource: Resource) -> Self {
        Self { external_id: None, values: vec![None; resource.fields().len()] }
    }

    /// The rows that this one names: field, resource and id.
    fn relations(
        &self,
        resource: Resource,
    ) -> impl Iterator<Item = (&'static str, Resource, i64)> + '_ {
        let fields = resource.fields().iter().zip(&self.values);
        fields.filter_map(|(field, value)| match (field.kind, value) {
            (Kind::Relation(parent), Some(FieldValue::Relation(id))) => {
                Some((field.name, parent, *id))
            }
            _ => None,
        })
    }

    /// The record as JSON; what is null is shown as null.
    pub(super) fn body(&self, resource: Resource, id: i64, digits: Digits) -> Value {
        let mut body = Map::new();
        body.insert("id".to_owned(), json!(id));
        body.insert("externalId".to_owned(), json!(self.external_id));
        for (field, value) in resource.fields().iter().zip(&self.values) {
            let value = value.as_ref().map_or(Value::Null, |value| value.write(digits));
            body.insert(field.name.to_owned(), value);
        }
        Value::Object(body)
    }
}

impl Store {
    /// An empty store whose sequence begins at `first_id`.
    pub(super) fn new(first_id: i64) -> Self {
        Self {
            first_id,
            next_id: first_id,
            records: HashMap::new(),
            by_external_id: HashMap::new(),
            ids: HashMap::new(),
            references: HashMap::new(),
        }
    }

    /// Adds a row under the next id, or under `id`, which must be free.
    pub(super) fn insert(
        &mut self,
        resource: Resource,
        id: Option<i64>,
        fields: Fields,
    ) -> Result<i64, Refusal> {
        self.check(resource, None, &fields)?;
        let id = id.unwrap_or(self.next_id);
        self.next_id = self.next_id.max(id.saturating_add(1));
        self.put(resource, id, Record { fields, created: Instant::now() });
        Ok(id)
    }

    /// Overwrites a row; tells whether it is different now.
    pub(super) fn replace(
        &mut self,
        resource: Resource,
        id: i64,
        fields: Fields,
    ) -> Result<bool, Refusal> {
        let before = self.records.get(&(resource, id)).ok_or(Refusal::UnknownId)?;
        let created = before.created;
        let changed = before.fields != fields;
        self.check(resource, Some(id), &fields)?;
        if changed {
            self.take(resource, id);
            self.put(resource, id, Record { fields, created });
        }
        Ok(changed)
    }

    /// Removes a row that nothing names.
    pub(super) fn delete(&mut self, resource: Resource, id: i64) -> Result<Fields, Refusal> {
        if !self.records.contains_key(&(resource, id)) {
            return Err(Refusal::UnknownId);
        }
        if self.references.get(&(resource, id)).is_some_and(|count| *count > 0) {
            return Err(Refusal::Referenced);
        }
        self.take(resource, id).ok_or(Refusal::UnknownId)
    }

    /// Removes a row whatever names it.
    pub(super) fn tear_out(&mut self, resource: Resource, id: i64) -> bool {
        self.take(resource, id).is_some()
    }

    /// The row with this id.
    pub(super) fn get(&self, resource: Resource, id: i64) -> Option<&Fields> {
        self.records.get(&(resource, id)).map(|record| &record.fields)
    }

    /// The id of the row with this `externalId`.
    pub(super) fn id_of(&self, resource: Resource, external_id: &str) -> Option<i64> {
        self.by_external_id.get(&(resource, external_id.to_owned())).copied()
    }

    /// When the row was created.
    pub(super) fn created(&self, resource: Resource, id: i64) -> Option<Instant> {
        self.records.get(&(resource, id)).map(|record| record.created)
    }

    /// All ids of a resource, sorted.
    pub(super) fn ids(&self, resource: Resource) -> &[i64] {
        self.ids.get(&resource).map_or(&[], Vec::as_slice)
    }

    /// A row for people.
    pub(super) fn row(&self, resource: Resource, id: i64) -> Option<Row> {
        let fields = self.get(resource, id)?;
        let external_id = fields.external_id.clone();
        Some(Row { id, external_id, body: fields.body(resource, id, Digits::Fewest) })
    }

    /// Removes everything; ids begin again.
    pub(super) fn wipe(&mut self) {
        *self = Self::new(self.first_id);
    }

    /// Comes back from a new installation.
    pub(super) fn reimage(&mut self, how: Reimage) {
        match how {
            Reimage::Empty => self.wipe(),
            Reimage::Shuffled => self.shuffle(),
        }
    }

    /// Moves every row to the next id of its resource, the last to the first; relations follow.
    fn shuffle(&mut self) {
        let mut moved = HashMap::new();
        for (resource, ids) in &self.ids {
            let targets = ids.iter().cycle().skip(1);
            moved.extend(ids.iter().zip(targets).map(|(id, new)| ((*resource, *id), *new)));
        }
        let old = std::mem::replace(self, Self::new(self.first_id));
        self.next_id = old.next_id;
        for ((resource, id), mut record) in old.records {
            for (field, value) in resource.fields().iter().zip(&mut record.fields.values) {
                if let (Kind::Relation(parent), Some(FieldValue::Relation(id))) =
                    (field.kind, value)
                {
                    *id = moved.get(&(parent, *id)).copied().unwrap_or(*id);
                }
            }
            let id = moved.get(&(resource, id)).copied().unwrap_or(id);
            self.put(resource, id, record);
        }
    }

    /// What the database would check: relations exist, `externalId` is unique.
    fn check(&self, resource: Resource, id: Option<i64>, fields: &Fields) -> Result<(), Refusal> {
        for (field, parent, parent_id) in fields.relations(resource) {
            if !self.records.contains_key(&(parent, parent_id)) {
                return Err(Refusal::MissingRelation { field, parent, id: parent_id });
            }
        }
        let taken = fields.external_id.as_deref().and_then(|text| self.id_of(resource, text));
        if taken.is_some() && taken != id { Err(Refusal::Duplicate) } else { Ok(()) }
    }

    fn put(&mut self, resource: Resource, id: i64, record: Record) {
        for (_, parent, parent_id) in record.fields.relations(resource) {
            *self.references.entry((parent, parent_id)).or_default() += 1;
        }
        if let Some(external_id) = &record.fields.external_id {
            self.by_external_id.insert((resource, external_id.clone()), id);
        }
        let ids = self.ids.entry(resource).or_default();
        if let Err(place) = ids.binary_search(&id) {
            ids.insert(place, id);
        }
        self.records.insert((resource, id), record);
    }

    fn take(&mut self, resource: Resource, id: i64) -> Option<Fields> {
        let record = self.records.remove(&(resource, id))?;
        for (_, parent, parent_id) in record.fields.relations(resource) {
            if let Some(count) = self.references.get_mut(&(parent, parent_id)) {
                *count = count.saturating_sub(1);
            }
        }
        if let Some(external_id) = &record.fields.external_id {
            self.by_external_id.remove(&(resource, external_id.clone()));
        }
        if let Some(ids) = self.ids.get_mut(&resource)
            && let Ok(place) = ids.binary_search(&id)
        {
            ids.remove(place);
        }
        Some(record.fields)
    }
}
