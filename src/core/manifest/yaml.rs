//! YAML text as a tree whose nodes know which bytes they were written in. It reads; it never writes YAML.
//!
//! Aliases and merge keys are followed for reading, because a container's name may well come through one. What is reached
//! that way, or is repeated by an alias elsewhere, is marked as not editable: changing its bytes would change two places.
//! Aliases of aliases make a file of one kilobyte as large as one likes, so every step through it is counted ([`Visits`]).
//!
//! Grammar: YAML 1.2.2, as `granit-parser` reads it.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::{FILE_BYTES_MAX, ManifestError, Uneditable};

/// Collections inside each other, per document. A pod template in a `List` needs about twelve; the parser's own state grows with it.
const NESTING_MAX: usize = 64;
/// Elements and entries that may be looked at in one file, each as often as it is come by. A file of the largest size without aliases,
/// full of containers, needs a third of its bytes; this many take some ten milliseconds.
const VISITS_MAX: usize = 2 * FILE_BYTES_MAX;

/// One document of a file.
pub(super) struct Document<'text> {
    nodes: Vec<Node<'text>>,
    /// Anchor id to node.
    anchors: HashMap<usize, usize>,
    /// Anchor ids that some alias names.
    repeated: HashSet<usize>,
}

struct Node<'text> {
    content: Content<'text>,
    span: Range<usize>,
    line: usize,
    anchor: usize,
}

enum Content<'text> {
    Scalar { value: Cow<'text, str>, style: ScalarStyle, is_text: bool },
    Sequence(Vec<usize>),
    Mapping(Vec<(usize, usize)>),
    Alias(usize),
}

/// The documents of `text`, in their order; the empty ones are left out.
pub(super) fn documents(text: &str) -> Result<Vec<Document<'_>>, ManifestError> {
    let options = granit_parser::options! { emit_comments: false, flow_nesting_limit: NESTING_MAX, block_nesting_limit: NESTING_MAX };
    let mut documents = Vec::new();
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| syntax(&error))?;
        match event {
            Event::DocumentStart(..) => builder = Builder::default(),
            Event::DocumentEnd => documents.extend(std::mem::take(&mut builder).finish()),
            event => builder.add(event, span),
        }
    }
    Ok(documents)
}

fn syntax(error: &granit_parser::ScanError) -> ManifestError {
    let marker = error.marker();
    ManifestError::Syntax { line: marker.line(), column: marker.col() + 1, what: error.info().into() }
}

// === Building ===

#[derive(Default)]
struct Builder<'text> {
    nodes: Vec<Node<'text>>,
    anchors: HashMap<usize, usize>,
    repeated: HashSet<usize>,
    /// The collections that are open, and for a mapping the key whose value comes next.
    open: Vec<(usize, Option<usize>)>,
}

impl<'text> Builder<'text> {
    fn add(&mut self, event: Event<'text>, span: Span) {
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let is_null = style == ScalarStyle::Plain && span.is_empty();
                let is_text = !is_null && tag.is_none_or(|tag| tag.is_yaml_core_schema_tag("str"));
                self.push(Content::Scalar { value, style, is_text }, span, anchor);
            }
            Event::SequenceStart(_, anchor, _) => self.open(Content::Sequence(Vec::new()), span, anchor),
            Event::MappingStart(_, anchor, _) => self.open(Content::Mapping(Vec::new()), span, anchor),
            Event::SequenceEnd | Event::MappingEnd => drop(self.open.pop()),
            Event::Alias(anchor) => {
                self.repeated.insert(anchor);
                self.push(Content::Alias(anchor), span, 0);
            }
            _ => {}
        }
    }

    fn open(&mut self, content: Content<'text>, span: Span, anchor: usize) {
        let node = self.push(content, span, anchor);
        self.open.push((node, None));
    }

    fn push(&mut self, content: Content<'text>, span: Span, anchor: usize) -> usize {
        let node = self.nodes.len();
        self.nodes.push(Node { content, span: span.byte_range().unwrap_or_default(), line: span.start.line(), anchor });
        if anchor != 0 {
            self.anchors.insert(anchor, node);
        }
        if let Some((parent, key)) = self.open.last_mut() {
            match self.nodes.get_mut(*parent).map(|parent| &mut parent.content) {
                Some(Content::Sequence(elements)) => elements.push(node),
                Some(Content::Mapping(entries)) => match key.take() {
                    Some(key) => entries.push((key, node)),
                    None => *key = Some(node),
                },
                _ => {}
            }
        }
        node
    }

    fn finish(self) -> Option<Document<'text>> {
        (!self.nodes.is_empty()).then_some(Document { nodes: self.nodes, anchors: self.anchors, repeated: self.repeated })
    }
}

// === Reading ===

/// The visits that are left for one file. When they are spent everything reads as absent, so whoever read has to ask whether that is
/// why.
pub(super) struct Visits(Cell<usize>);

impl Visits {
    /// Those of a file that nobody has looked into.
    pub fn new() -> Self {
        Self(Cell::new(VISITS_MAX))
    }

    /// An error when they did not suffice: what was read is then not all there is.
    pub fn check(&self) -> Result<(), ManifestError> {
        if self.0.get() == 0 { Err(ManifestError::Tangled) } else { Ok(()) }
    }

    /// Counts one. `None` when there is none left.
    fn spend(&self) -> Option<()> {
        let left = self.0.get().checked_sub(1)?;
        self.0.set(left);
        (left > 0).then_some(())
    }
}

/// A node, and what on the way to it forbids to change it.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'doc, 'text> {
    document: &'doc Document<'text>,
    visits: &'doc Visits,
    node: &'doc Node<'text>,
    obstacle: Option<Uneditable>,
}

/// A scalar as it was written.
pub(super) struct Scalar<'doc> {
    /// What it says.
    pub value: &'doc str,
    /// The bytes of it in the file, quotes included.
    pub span: Range<usize>,
    /// Its notation.
    pub style: ScalarStyle,
}

impl<'text> Document<'text> {
    /// The document's outermost node, to be read at the cost of these visits.
    pub fn root<'doc>(&'doc self, visits: &'doc Visits) -> Option<Cursor<'doc, 'text>> {
        let node = self.nodes.first()?;
        Some(Cursor { document: self, visits, node, obstacle: None }.arrive())
    }

    fn node(&self, index: usize) -> Option<&Node<'text>> {
        self.nodes.get(index)
    }

    fn anchored(&self, anchor: usize) -> Option<&Node<'text>> {
        self.anchors.get(&anchor).and_then(|node| self.node(*node))
    }

    /// The text of a mapping's key.
    fn key(&self, index: usize) -> Option<&str> {
        match &self.node(index)?.content {
            Content::Scalar { value, .. } => Some(value),
            Content::Alias(anchor) => match &self.anchored(*anchor)?.content {
                Content::Scalar { value, .. } => Some(value),
                _ => None,
            },
            _ => None,
        }
    }
}

impl<'doc> Cursor<'doc, '_> {
    /// What forbids to change this node, if anything on the way to it does.
    pub fn obstacle(&self) -> Option<Uneditable> {
        self.obstacle
    }

    /// The line the node starts in, from 1.
    pub fn line(&self) -> usize {
        self.node.line
    }

    /// The bytes the node starts with; for a collection in block style none.
    pub fn span(&self) -> Range<usize> {
        self.node.span.clone()
    }

    /// The value of `key` in this mapping, through merge keys where the mapping itself does not have it.
    pub fn get(&self, key: &str) -> Option<Self> {
        self.entries()?;
        let mut found = self.entries_of(key);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => self.to(value, None),
            // kubectl takes the last; other readers the first, or neither. Whoever wrote it has to say which.
            (Some(_), Some((name, value))) => {
                let line = self.document.node(name).map_or(0, |node| node.line);
                self.to(value, Some(Uneditable::DuplicateKey { line }))
            }
            (None, _) => self.merged(key),
        }
    }

    /// The path of keys from here.
    pub fn walk(&self, keys: &[&str]) -> Option<Self> {
        keys.iter().try_fold(*self, |cursor, key| cursor.get(key))
    }

    /// The elements of this sequence; none when it is something else.
    pub fn elements(self) -> impl Iterator<Item = Self> {
        let elements = match &self.node.content {
            Content::Sequence(elements) => elements.as_slice(),
            _ => &[],
        };
        elements.iter().map_while(move |element| self.to(*element, None))
    }

    /// The entries of this mapping whose keys are text, without those that merge keys bring; none when it is something else.
    pub fn pairs(self) -> impl Iterator<Item = (&'doc str, Self)> {
        let entries = self.entries().unwrap_or_default();
        entries.iter().filter_map(move |(name, value)| Some((self.document.key(*name)?, self.to(*value, None)?)))
    }

    /// The scalar this is, when it is one that reads as text: null and other explicit types are not.
    pub fn scalar(&self) -> Option<Scalar<'doc>> {
        match &self.node.content {
            Content::Scalar { value, style, is_text: true } => Some(Scalar { value, span: self.span(), style: *style }),
            _ => None,
        }
    }

    /// The text of this scalar.
    pub fn text(&self) -> Option<&'doc str> {
        self.scalar().map(|scalar| scalar.value)
    }

    /// Whether nothing was written here, or that it is nothing: `~`, `null`.
    pub fn says_null(&self) -> bool {
        let is_word = |value: &str| matches!(value, "~" | "null" | "Null" | "NULL");
        self.is_null() || matches!(&self.node.content, Content::Scalar { value, style: ScalarStyle::Plain, .. } if is_word(value))
    }

    /// Whether nothing was written here.
    pub fn is_null(&self) -> bool {
        matches!(&self.node.content, Content::Scalar { style: ScalarStyle::Plain, .. }) && self.node.span.is_empty()
    }

    fn entries(&self) -> Option<&'doc [(usize, usize)]> {
        match &self.node.content {
            Content::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The entries of this mapping with this key, as the numbers of key and value.
    fn entries_of(&self, key: &str) -> impl Iterator<Item = (usize, usize)> {
        let visited = self.entries().unwrap_or_default().iter().map_while(|entry| self.visits.spend().map(|()| entry));
        visited.filter(move |(name, _)| self.document.key(*name) == Some(key)).copied()
    }

    /// Looks `key` up in the mappings that merge keys name (<https://yaml.org/type/merge.html>), each of them once: aliases
    /// can make a mapping contain itself, or the same one a thousand times.
    fn merged(&self, key: &str) -> Option<Self> {
        let mut seen = HashSet::new();
        let mut next = self.merge_sources();
        while let Some(source) = next.pop() {
            if !seen.insert(std::ptr::from_ref(source.node)) {
                continue;
            }
            if let Some((_, value)) = source.entries_of(key).next() {
                let merged = Some(Uneditable::Merged { line: self.line() });
                return Self { obstacle: self.obstacle.or(merged), ..source }.to(value, None);
            }
            next.extend(source.merge_sources());
        }
        None
    }

    /// The mappings merged into this one.
    fn merge_sources(&self) -> Vec<Self> {
        let sources = self.entries_of("<<").filter_map(|(_, value)| self.to(value, None));
        sources.flat_map(|source| if source.entries().is_some() { vec![source] } else { source.elements().collect() }).collect()
    }

    /// The node `index`, reached from here.
    fn to(&self, index: usize, obstacle: Option<Uneditable>) -> Option<Self> {
        self.visits.spend()?;
        let node = self.document.node(index)?;
        Some(Self { node, obstacle: self.obstacle.or(obstacle), ..*self }.arrive())
    }

    /// Follows an alias, and notes whether an alias elsewhere repeats this node.
    fn arrive(self) -> Self {
        if let Content::Alias(anchor) = self.node.content {
            let node = self.document.anchored(anchor).unwrap_or(self.node);
            return Self { node, obstacle: self.obstacle.or(Some(Uneditable::Alias { line: self.node.line })), ..self };
        }
        let is_repeated = self.document.repeated.contains(&self.node.anchor);
        let obstacle = self.obstacle.or(is_repeated.then_some(Uneditable::Repeated { line: self.node.line }));
        Self { obstacle, ..self }
    }
}
