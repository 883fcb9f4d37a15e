//! Order, prefixes, pages.

use std::sync::Arc;

use super::{committed, key};
use crate::{Key, Order, Page, Prefix, Range, Store, Txn};

/// In order of bytes, no more and no less than the keys below the prefix.
pub async fn a_range_holds_its_prefix_in_order<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let texts = ["vm/b", "vm/a/2", "vm", "vm/a", "vms/a", "vm-1/a", "vm/a-1", "vm/B", "vm/a/10", "event/1", "vm/a.1"];
    let store = filled(open().await, &texts).await;
    let page = read(&store, &below("vm")).await;
    assert_eq!(keys(&page), ["vm/B", "vm/a", "vm/a-1", "vm/a.1", "vm/a/10", "vm/a/2", "vm/b"]);
    assert!(!page.more);
    let page = read(&store, &below("vm/a").order(Order::Descending)).await;
    assert_eq!(keys(&page), ["vm/a/2", "vm/a/10"]);
    assert_eq!(read(&store, &Range::of(Prefix::all())).await.entries.len(), texts.len());
    assert!(read(&store, &below("nothing")).await.entries.is_empty());
}

/// `more` is true exactly when entries were left out; a limit of 0 reads none.
pub async fn the_limit_leaves_out_and_says_so<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let store = filled(open().await, &["e/1", "e/2", "e/3"]).await;
    for (limit, expected, more) in [(0, 0, true), (2, 2, true), (3, 3, false), (4, 3, false), (u32::MAX, 3, false)] {
        let page = read(&store, &below("e").limit(limit)).await;
        assert_eq!((page.entries.len(), page.more), (expected, more), "limit {limit}");
    }
    assert!(!read(&store, &below("nothing").limit(0)).await.more);
}

/// Pages of any size, in both orders, give every entry once; the start key need not exist.
pub async fn pages_follow_each_other_both_ways<F: Future<Output = Arc<dyn Store>>>(open: impl Fn() -> F) {
    let texts: Vec<String> = (0..25).map(|number| format!("e/{number:02}")).collect();
    let store = filled(open().await, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for limit in [1, 7, 25, 26] {
        assert_eq!(paged(&store, below("e").limit(limit)).await, texts);
        let mut newest_first = paged(&store, below("e").limit(limit).order(Order::Descending)).await;
        newest_first.reverse();
        assert_eq!(newest_first, texts);
    }
    assert_eq!(keys(&read(&store, &below("e").after(key("e/22-x"))).await), ["e/23", "e/24"]);
    let before = read(&store, &below("e").order(Order::Descending).after(key("e/01-x"))).await;
    assert_eq!(keys(&before), ["e/01", "e/00"]);
    // A start key outside the prefix neither widens the range nor fails.
    assert_eq!(read(&store, &below("e").after(key("a"))).await.entries.len(), texts.len());
    assert!(read(&store, &below("e").after(key("z"))).await.entries.is_empty());
    assert!(read(&store, &below("e").order(Order::Descending).after(key("a"))).await.entries.is_empty());
}

async fn filled(store: Arc<dyn Store>, texts: &[&str]) -> Arc<dyn Store> {
    let txn = texts.iter().fold(Txn::new(), |txn, text| txn.put(key(text), *text));
    committed(&store, txn).await;
    store
}

async fn read(store: &Arc<dyn Store>, range: &Range) -> Page {
    store.range(range).await.expect("the store reads")
}

async fn paged(store: &Arc<dyn Store>, mut range: Range) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let page = read(store, &range).await;
        all.extend(keys(&page).into_iter().map(str::to_owned));
        match page.entries.last() {
            Some(last) if page.more => range = range.after(last.key.clone()),
            _ => return all,
        }
    }
}

fn below(prefix: &str) -> Range {
    Range::of(prefix.parse().expect("the suite's prefixes are good"))
}

fn keys(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|entry| Key::as_str(&entry.key)).collect()
}
