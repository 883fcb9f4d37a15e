//! Changes to a text whose other bytes stay.

use std::ops::Range;

use super::tree::{Element, Tree};

/// Changes that are collected first and applied at once. They must not overlap; those at one place keep their order.
pub(super) struct Edits<'a> {
    text: &'a str,
    tree: &'a Tree,
    changes: Vec<(Range<usize>, String)>,
}

impl<'a> Edits<'a> {
    pub(super) fn new(text: &'a str, tree: &'a Tree) -> Self {
        Self { text, tree, changes: Vec::new() }
    }

    pub(super) fn tree(&self) -> &'a Tree {
        self.tree
    }

    pub(super) fn set_attribute(&mut self, element: &Element, name: &str, value: &str) {
        let value = attribute_escaped(value);
        if let Some(attribute) = element.attribute(name) {
            self.changes.push((attribute.span.clone(), value));
        } else {
            let at = element.start_tag.start + 1 + element.name().len();
            self.changes.push((at..at, format!(" {name}='{value}'")));
        }
    }

    /// Puts `xml` before everything else inside the element, which is opened up if it was an empty tag.
    pub(super) fn insert_first(&mut self, element: &Element, xml: &str) {
        let end = element.start_tag.end;
        if xml.is_empty() {
        } else if element.is_empty_tag {
            self.changes.push((end - 2..end, format!(">{xml}</{}>", element.name())));
        } else {
            self.changes.push((end..end, xml.to_owned()));
        }
    }

    /// Takes the element out, with the white space before it.
    pub(super) fn remove(&mut self, element: &Element) {
        let start = self.text[..element.span.start].trim_end_matches([' ', '\t', '\r', '\n']).len();
        self.changes.push((start..element.span.end, String::new()));
    }

    pub(super) fn apply(mut self) -> String {
        self.changes.sort_by_key(|(range, _)| (range.start, range.end));
        let mut out = String::with_capacity(self.text.len() + 256);
        let mut done = 0;
        for (range, replacement) in self.changes {
            out.push_str(&self.text[done..range.start]);
            out.push_str(&replacement);
            done = range.end;
        }
        out.push_str(&self.text[done..]);
        out
    }
}

/// The value of an attribute in either kind of quotes.
pub(super) fn attribute_escaped(value: &str) -> String {
    quick_xml::escape::escape(value).into_owned()
}
