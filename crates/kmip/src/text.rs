//! Text that another machine wrote.

use std::fmt;

/// What a server said, fit for a message: no control characters, and not long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerText(String);

impl ServerText {
    /// More than any server's explanation needs.
    const MAX_CHARS: usize = 200;

    /// Takes what was said; what does not print becomes `?`, and what is too long is cut.
    #[must_use]
    pub fn new(said: &str) -> Self {
        let mut text: String = said.chars().take(Self::MAX_CHARS).map(|c| if prints(c) { c } else { '?' }).collect();
        if said.chars().nth(Self::MAX_CHARS).is_some() {
            text.push('…');
        }
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Nothing if nothing was said, else a colon and the words: the end of a message.
impl fmt::Display for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": it says \"{}\"", self.0) }
    }
}

/// Whether a terminal shows this character as one, and does nothing else with it.
pub(crate) fn prints(c: char) -> bool {
    matches!(c, '\'' | '"' | '\\') || c.escape_debug().len() == 1
}

/// Hostile text for an error message, cut so that the message stays readable.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_cannot_move_the_cursor() {
        let text = ServerText::new("no\u{1b}[2Jkey\r\nhere\u{202e}");
        assert_eq!(text.as_str(), "no?[2Jkey??here?");
        assert_eq!(text.to_string(), ": it says \"no?[2Jkey??here?\"");
        assert_eq!(ServerText::default().to_string(), "");
    }

    #[test]
    fn what_a_server_says_is_bounded() {
        assert_eq!(ServerText::new(&"é".repeat(200)).as_str().chars().count(), 200);
        assert_eq!(ServerText::new(&"é".repeat(5000)).as_str().chars().count(), 201);
    }
}
