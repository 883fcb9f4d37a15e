//! Links that work once, and the sessions that they began: a function of the time that callers give.

use std::collections::HashMap;

use cadenas_api::Actor;
use jiff::{SignedDuration, Timestamp};

use super::token::{Token, TokenDigest};

/// How long a link works.
const LINK: SignedDuration = SignedDuration::from_mins(10);
/// How long a session lasts without a request, as in vSphere's client.
const IDLE: SignedDuration = SignedDuration::from_mins(120);
/// How long a session lasts at most.
const LONGEST: SignedDuration = SignedDuration::from_hours(12);
/// Links and sessions that are kept; the oldest goes first.
const MOST: usize = 64;

/// Who may come in.
#[derive(Debug, Default)]
pub(super) struct Access {
    links: HashMap<TokenDigest, Link>,
    sessions: HashMap<TokenDigest, Session>,
}

/// For whom a session acts, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) actor: Actor,
    pub(crate) expires: Timestamp,
}

#[derive(Debug)]
struct Link {
    actor: Actor,
    expires: Timestamp,
}

#[derive(Debug)]
struct Session {
    signed: Signed,
    used: Timestamp,
}

impl Access {
    pub(super) fn open_link(&mut self, actor: &Actor, now: Timestamp) -> (Token, Timestamp) {
        self.links.retain(|_, link| now < link.expires);
        make_room(&mut self.links, |link| link.expires);
        let (token, expires) = (Token::random(), now + LINK);
        self.links.insert(token.digest(), Link { actor: actor.clone(), expires });
        (token, expires)
    }

    /// Spends a link.
    pub(super) fn begin(&mut self, link: &str, now: Timestamp) -> Option<(Token, Signed)> {
        let link = self.links.remove(&TokenDigest::of(link)).filter(|link| now < link.expires)?;
        self.sessions.retain(|_, session| session.lasts(now));
        make_room(&mut self.sessions, |session| session.used);
        let (token, signed) = (Token::random(), Signed { actor: link.actor, expires: now + LONGEST });
        self.sessions.insert(token.digest(), Session { signed: signed.clone(), used: now });
        Some((token, signed))
    }

    pub(super) fn find(&mut self, session: &str, now: Timestamp) -> Option<Signed> {
        let session = self.sessions.get_mut(&TokenDigest::of(session)).filter(|session| session.lasts(now))?;
        session.used = now;
        Some(session.signed.clone())
    }

    /// Whether a session lasts; asking does not keep it alive.
    pub(super) fn lasts(&self, session: &str, now: Timestamp) -> bool {
        self.sessions.get(&TokenDigest::of(session)).is_some_and(|session| session.lasts(now))
    }

    pub(super) fn end(&mut self, session: &str) {
        self.sessions.remove(&TokenDigest::of(session));
    }
}

impl Session {
    fn lasts(&self, now: Timestamp) -> bool {
        now < self.signed.expires && now < self.used + IDLE
    }
}

fn make_room<T>(map: &mut HashMap<TokenDigest, T>, age: impl Fn(&T) -> Timestamp) {
    if map.len() >= MOST
        && let Some(oldest) = map.iter().min_by_key(|(_, one)| age(one)).map(|(digest, _)| *digest)
    {
        map.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Actor {
        Actor { uid: 0, user: Some("root".to_owned()) }
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    #[test]
    fn a_link_works_once() {
        let mut access = Access::default();
        let (link, _) = access.open_link(&root(), at(0));
        let (session, signed) = access.begin(&link.text(), at(1)).expect("fresh");
        assert_eq!(signed.actor, root());
        assert!(access.begin(&link.text(), at(1)).is_none());
        assert!(access.find(&session.text(), at(2)).is_some());
        assert!(access.find(&link.text(), at(2)).is_none(), "a link is no session");
    }

    #[test]
    fn a_link_is_soon_too_old_and_a_wrong_one_opens_nothing() {
        let mut access = Access::default();
        let (link, expires) = access.open_link(&root(), at(0));
        assert_eq!(expires, at(10));
        assert!(access.begin("wrong", at(1)).is_none());
        assert!(access.begin(&link.text(), at(10)).is_none());
    }

    #[test]
    fn a_session_ends_when_it_is_not_used_and_after_half_a_day_in_any_case() {
        let mut access = Access::default();
        let mut begin = |now| {
            let (link, _) = access.open_link(&root(), now);
            access.begin(&link.text(), now).expect("fresh").0.text()
        };
        let (idle, used) = (begin(at(0)), begin(at(0)));
        for minutes in (100..720).step_by(100) {
            assert!(access.find(&used, at(minutes)).is_some(), "{minutes}");
        }
        assert!(access.lasts(&idle, at(119)) && access.lasts(&idle, at(119)), "asking keeps nothing alive");
        assert!(!access.lasts(&idle, at(120)));
        assert!(access.find(&idle, at(120)).is_none());
        assert!(access.find(&used, at(720)).is_none());
    }

    #[test]
    fn a_session_can_be_ended() {
        let mut access = Access::default();
        let (link, _) = access.open_link(&root(), at(0));
        let (session, _) = access.begin(&link.text(), at(0)).expect("fresh");
        access.end(&session.text());
        assert!(access.find(&session.text(), at(0)).is_none());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut access = Access::default();
        let links: Vec<_> = (0..100).map(|_| access.open_link(&root(), at(0)).0).collect();
        assert_eq!(access.links.len(), MOST);
        for link in links {
            access.begin(&link.text(), at(1));
            access.open_link(&root(), at(1));
        }
        assert!(access.sessions.len() <= MOST && access.links.len() <= MOST);
    }
}
