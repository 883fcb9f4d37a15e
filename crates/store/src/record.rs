//! Values as versioned JSON.

use async_trait::async_trait;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Entry, Key, Range, Revision, Store, StoreError, Txn};

/// A type that is stored as JSON.
///
/// Stored is `{"version": …, "value": …}`, so that a later program knows what it reads, and an earlier one that it cannot.
pub trait Record: Serialize + DeserializeOwned {
    /// The number of the type's form; the next one when an older program could not read the value any more.
    const VERSION: u32;

    /// Reads a value in an earlier form; `None` if this type never had that form.
    #[must_use]
    fn from_earlier(version: u32, value: serde_json::Value) -> Option<serde_json::Result<Self>> {
        let _ = (version, value);
        None
    }
}

/// A value as it was read, with what is needed to replace it by compare-and-set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: T,
    /// The revision that put it.
    pub revision: Revision,
}

impl<T: Record> Stored<T> {
    /// Reads an entry's value.
    pub fn from_entry(entry: Entry) -> Result<Self, StoreError> {
        let value = decode(&entry)?;
        Ok(Self { key: entry.key, value, revision: entry.revision })
    }
}

/// A [`crate::Page`] of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPage<T> {
    /// The values, in the range's order.
    pub items: Vec<Stored<T>>,
    /// Whether the limit left entries out.
    pub more: bool,
    /// The store's revision when it was read.
    pub revision: Revision,
}

/// Typed reads, for every store.
#[async_trait]
pub trait StoreExt: Store {
    /// The value under `key`, or `None` when there is none.
    async fn get_as<T: Record + Send>(&self, key: &Key) -> Result<Option<Stored<T>>, StoreError> {
        self.get(key).await?.map(Stored::from_entry).transpose()
    }

    /// The values in `range`, all read at one revision. One that cannot be read fails the whole, and is named.
    async fn range_as<T: Record + Send>(&self, range: &Range) -> Result<StoredPage<T>, StoreError> {
        let page = self.range(range).await?;
        let items = page.entries.into_iter().map(Stored::from_entry).collect::<Result<_, _>>()?;
        Ok(StoredPage { items, more: page.more, revision: page.revision })
    }
}

impl<S: Store + ?Sized> StoreExt for S {}

impl Txn {
    /// As [`Txn::put`], with a typed value.
    pub fn put_as<T: Record>(self, key: Key, value: &T) -> Result<Self, StoreError> {
        let envelope = Written { version: T::VERSION, value };
        match serde_json::to_vec(&envelope) {
            Ok(bytes) => Ok(self.put(key, bytes)),
            Err(source) => Err(StoreError::NotStorable { key, source }),
        }
    }
}

#[derive(Serialize)]
struct Written<'a, T> {
    version: u32,
    value: &'a T,
}

/// The version is read by itself first: a later form need not look like this one.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<T> {
    #[serde(rename = "version")]
    _version: u32,
    value: T,
}

fn decode<T: Record>(entry: &Entry) -> Result<T, StoreError> {
    let broken = |source| StoreError::BrokenValue { key: entry.key.clone(), source };
    let Version { version: found } = serde_json::from_slice(&entry.value).map_err(broken)?;
    if found != T::VERSION {
        return decode_earlier(entry, found);
    }
    let read: Read<T> = serde_json::from_slice(&entry.value).map_err(broken)?;
    Ok(read.value)
}

fn decode_earlier<T: Record>(entry: &Entry, found: u32) -> Result<T, StoreError> {
    let broken = |source| StoreError::BrokenValue { key: entry.key.clone(), source };
    // Of a later form nothing but its version is known.
    let value =
        serde_json::from_slice(&entry.value).map(|read: Read<serde_json::Value>| read.value).unwrap_or_default();
    match T::from_earlier(found, value) {
        Some(value) => value.map_err(broken),
        None => Err(StoreError::UnknownVersion { key: entry.key.clone(), found, known: T::VERSION }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Provider {
        name: String,
        #[serde(default)]
        default: bool,
    }

    impl Record for Provider {
        const VERSION: u32 = 3;

        fn from_earlier(version: u32, value: serde_json::Value) -> Option<serde_json::Result<Self>> {
            (version == 2).then(|| serde_json::from_value(value).map(|name| Self { name, default: false }))
        }
    }

    fn key() -> Key {
        "provider/1".parse().expect("a good key")
    }

    fn read(json: &str) -> Result<Stored<Provider>, StoreError> {
        Stored::from_entry(Entry { key: key(), value: json.into(), revision: Revision::new(7) })
    }

    fn file() -> (tempfile::TempDir, std::sync::Arc<dyn Store>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = crate::SqliteStore::open(&folder.path().join("store.db")).expect("the store opens");
        (folder, std::sync::Arc::new(store))
    }

    #[tokio::test]
    async fn typed_values_come_back_with_their_revision() {
        let (_folder, store) = file();
        let provider = Provider { name: "main".to_owned(), default: true };
        let txn = Txn::new().put_as(key(), &provider).expect("it has a JSON form");
        let crate::CommitOutcome::Committed { revision } = store.commit(txn).await.expect("the store takes a commit")
        else {
            panic!("there was nothing to conflict with")
        };
        let expected = Stored { key: key(), value: provider, revision };
        let page = store.range_as::<Provider>(&Range::of(crate::Prefix::all())).await.expect("the store reads");
        assert_eq!(page.items, [store.get_as(&key()).await.expect("the store reads").expect("it is there")]);
        assert_eq!(page.items, [expected]);
    }

    #[test]
    fn the_stored_form_is_stable() {
        let provider = Provider { name: "main".to_owned(), default: false };
        let txn = Txn::new().put_as(key(), &provider).expect("it has a JSON form");
        let expected = r#"{"version":3,"value":{"name":"main","default":false}}"#;
        assert_eq!(txn, Txn::new().put(key(), expected));
        assert_eq!(read(expected).expect("it reads").value, provider);
    }

    #[test]
    fn another_version_is_told_with_key_and_both_numbers() {
        // The rest of a later form need not be like ours.
        let refused = read(r#"{"version":4,"sealed":"…"}"#).expect_err("it is not known");
        assert!(matches!(refused, StoreError::UnknownVersion { found: 4, known: 3, .. }), "{refused:?}");
        assert!(refused.to_string().contains("provider/1"));
    }

    #[test]
    fn an_earlier_form_is_read_where_the_type_knows_it() {
        let read_earlier = read(r#"{"version":2,"value":"x"}"#).expect("it reads");
        assert_eq!(read_earlier.value, Provider { name: "x".to_owned(), default: false });
        assert!(matches!(read(r#"{"version":2,"value":7}"#), Err(StoreError::BrokenValue { .. })));
        assert!(matches!(read(r#"{"version":1,"value":"x"}"#), Err(StoreError::UnknownVersion { found: 1, .. })));
    }

    #[test]
    fn a_broken_value_is_told_with_its_key() {
        for json in [
            "",
            "{",
            "null",
            "\u{0}",
            r#"{"value":{"name":"x"}}"#,
            r#"{"version":3}"#,
            r#"{"version":-3,"value":{"name":"x"}}"#,
            r#"{"version":3,"value":{"name":7}}"#,
            r#"{"version":3,"value":{"name":"x","colour":"red"}}"#,
            r#"{"version":3,"value":{"name":"x"},"more":1}"#,
            r#"{"version":3,"value":{"name":"x"}}{}"#,
        ] {
            let refused = read(json).expect_err("it cannot be read");
            assert!(matches!(refused, StoreError::BrokenValue { .. }), "{json}: {refused:?}");
            assert!(refused.to_string().contains("provider/1"));
        }
    }
}
