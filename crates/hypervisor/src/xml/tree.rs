//! A small XML tree that knows where in the text each part stands.
//!
//! Bounded in size, depth, elements and attributes. There is no document type, so no entity beyond the five of XML itself.

use std::ops::Range;

use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesRef, BytesStart, Event},
};

/// libvirt passes at most 4 MiB of XML (`REMOTE_STRING_MAX`).
pub(crate) const MAX_BYTES: usize = 4 << 20;
const MAX_DEPTH: usize = 64;
const MAX_ELEMENTS: usize = 1 << 16;
const MAX_ATTRIBUTES: usize = 64;

/// The text is not XML, or more of it than we read.
#[derive(Debug, thiserror::Error)]
pub enum XmlError {
    /// Longer than any domain XML that libvirt passes on.
    #[error("it has {0} bytes; {MAX_BYTES} is the most that libvirt takes")]
    TooLong(usize),
    /// Too deep, too many elements or too many attributes in one.
    #[error("it has too many {0}")]
    TooMany(&'static str),
    /// A document type could define entities.
    #[error("it has a document type declaration, which libvirt never writes")]
    DocumentType,
    /// An entity that XML itself does not define.
    #[error("it uses an entity at byte {0} that XML does not define")]
    UnknownEntity(usize),
    /// Not exactly one outermost element.
    #[error("it has not exactly one outermost element")]
    Roots,
    /// Not well-formed.
    #[error("it is not well-formed XML near byte {at}")]
    Malformed {
        /// Bytes from the beginning.
        at: usize,
        /// The parser's own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A document: the elements in the order in which they begin; the first is the outermost.
#[derive(Debug)]
pub(crate) struct Tree(Vec<Element>);

#[derive(Debug)]
pub(crate) struct Element {
    name: String,
    attributes: Vec<Attribute>,
    children: Vec<usize>,
    /// The text directly inside, references resolved.
    text: String,
    /// From `<` of the start tag to `>` of the end tag.
    pub(crate) span: Range<usize>,
    /// The start tag, or the whole of an empty element.
    pub(crate) start_tag: Range<usize>,
    /// `<a/>`
    pub(crate) is_empty_tag: bool,
}

#[derive(Debug)]
pub(crate) struct Attribute {
    name: String,
    pub(crate) value: String,
    /// The raw value, between the quotes.
    pub(crate) span: Range<usize>,
}

impl Element {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.attribute(name).map(|attribute| attribute.value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        self.text.trim()
    }
}

impl Tree {
    pub(crate) fn parse(text: &str) -> Result<Self, XmlError> {
        if text.len() > MAX_BYTES {
            return Err(XmlError::TooLong(text.len()));
        }
        let mut builder = Builder { text, elements: Vec::new(), open: Vec::new() };
        let mut reader = Reader::from_str(text);
        loop {
            let begin = position(&reader);
            let event = reader.read_event().map_err(|source| malformed(begin, source))?;
            if event == Event::Eof {
                return builder.finish();
            }
            builder.take(event, begin..position(&reader))?;
        }
    }

    pub(crate) fn root(&self) -> &Element {
        &self.0[0]
    }

    pub(crate) fn children<'a>(&'a self, of: &'a Element) -> impl Iterator<Item = &'a Element> {
        of.children.iter().map(|&index| &self.0[index])
    }

    pub(crate) fn children_named<'a>(
        &'a self,
        of: &'a Element,
        name: &'a str,
    ) -> impl Iterator<Item = &'a Element> + 'a {
        self.children(of).filter(move |child| child.name == name)
    }

    pub(crate) fn child<'a>(&'a self, of: &'a Element, name: &'a str) -> Option<&'a Element> {
        self.children_named(of, name).next()
    }
}

struct Builder<'a> {
    text: &'a str,
    elements: Vec<Element>,
    open: Vec<usize>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Range<usize>) -> Result<(), XmlError> {
        match event {
            Event::Start(tag) => {
                let index = self.add(&tag, span, false)?;
                self.open.push(index);
                if self.open.len() > MAX_DEPTH { Err(XmlError::TooMany("levels")) } else { Ok(()) }
            }
            Event::Empty(tag) => self.add(&tag, span, true).map(drop),
            Event::End(_) => {
                let index = self.open.pop().ok_or(XmlError::Roots)?;
                self.elements[index].span.end = span.end;
                Ok(())
            }
            Event::Text(text) => self.add_text(&text.xml10_content(), &span),
            Event::CData(text) => self.add_text(&text.xml10_content(), &span),
            Event::GeneralRef(reference) => self.add_text(&resolved(&reference, span.start)?, &span),
            Event::DocType(_) => Err(XmlError::DocumentType),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::Eof => Ok(()),
        }
    }

    fn add(&mut self, tag: &BytesStart<'_>, span: Range<usize>, is_empty_tag: bool) -> Result<usize, XmlError> {
        let index = self.elements.len();
        if index == MAX_ELEMENTS {
            return Err(XmlError::TooMany("elements"));
        }
        match self.open.last() {
            Some(&parent) => self.elements[parent].children.push(index),
            None if index > 0 => return Err(XmlError::Roots),
            None => {}
        }
        self.elements.push(Element {
            name: tag.name().as_ref().to_owned(),
            attributes: self.attributes(tag, span.start)?,
            children: Vec::new(),
            text: String::new(),
            span: span.clone(),
            start_tag: span,
            is_empty_tag,
        });
        Ok(index)
    }

    fn attributes(&self, tag: &BytesStart<'_>, at: usize) -> Result<Vec<Attribute>, XmlError> {
        let mut attributes = Vec::new();
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|source| malformed(at, source))?;
            if attributes.len() == MAX_ATTRIBUTES {
                return Err(XmlError::TooMany("attributes in one element"));
            }
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|source| malformed(at, source))?;
            attributes.push(Attribute {
                name: attribute.key.as_ref().to_owned(),
                value: value.into_owned(),
                span: self.span_of(&attribute.value),
            });
        }
        Ok(attributes)
    }

    /// Where `part`, which the parser borrowed from the text, stands in it.
    fn span_of(&self, part: &str) -> Range<usize> {
        let start = part.as_ptr().addr() - self.text.as_ptr().addr();
        start..start + part.len()
    }

    fn add_text(&mut self, text: &str, span: &Range<usize>) -> Result<(), XmlError> {
        match self.open.last() {
            Some(&parent) => self.elements[parent].text.push_str(text),
            None if !self.text[span.clone()].trim_matches(['\u{feff}', ' ', '\t', '\r', '\n']).is_empty() => {
                return Err(XmlError::Roots);
            }
            None => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Tree, XmlError> {
        if self.elements.is_empty() || !self.open.is_empty() {
            return Err(XmlError::Roots);
        }
        Ok(Tree(self.elements))
    }
}

fn resolved(reference: &BytesRef<'_>, at: usize) -> Result<String, XmlError> {
    if let Some(character) = reference.resolve_char_ref().map_err(|source| malformed(at, source))? {
        return Ok(character.to_string());
    }
    resolve_predefined_entity(&reference.xml10_content()).map(str::to_owned).ok_or(XmlError::UnknownEntity(at))
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).expect("a position within a text in memory")
}

fn malformed(at: usize, source: impl std::error::Error + Send + Sync + 'static) -> XmlError {
    XmlError::Malformed { at, source: Box::new(source) }
}
