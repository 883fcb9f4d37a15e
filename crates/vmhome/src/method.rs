//! Whether disks are copied or rewritten where they lie.

use std::fmt;

use cadenas_image::ImageInfo;

use crate::{
    error::{Refusal, Size, TransitionError},
    home::VmHome,
};

/// How a transition gets at its new disks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Method {
    /// By a copy where there is room for one, else in place.
    #[default]
    Choose,
    /// By a copy beside the old disks, which are removed when it was proved.
    Copy,
    /// By rewriting each disk where it lies, with a journal.
    InPlace,
}

/// Why disks were rewritten in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyInPlace {
    /// It was asked for.
    Asked,
    /// There is no room for a copy.
    NoSpace {
        /// Bytes, for a copy.
        needed: u64,
        /// Bytes.
        free: u64,
    },
}

impl fmt::Display for WhyInPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("as asked"),
            Self::NoSpace { needed, free } => {
                write!(f, "because a copy needs up to {} and {} are free", Size(*needed), Size(*free))
            }
        }
    }
}

/// What a transition made, and how.
#[derive(Debug)]
pub struct Made {
    /// The VM home with its new descriptor.
    pub home: VmHome,
    /// Why its disks were rewritten in place; `None` if they were copied.
    pub in_place: Option<WhyInPlace>,
    /// The persistent bitmaps that a copy dropped, by disk: `vda: backup-1`.
    pub dropped_bitmaps: Vec<String>,
}

/// The persistent bitmaps of a disk, as [`Made::dropped_bitmaps`] tells them.
pub(crate) fn bitmaps_of<'a>(target: &'a str, info: &'a ImageInfo) -> impl Iterator<Item = String> + 'a {
    info.bitmaps.iter().map(move |bitmap| format!("{target}: {bitmap}"))
}

impl Method {
    /// Copies, or rewrites in place, as this says. A copy that is refused has changed nothing.
    pub(crate) fn run<T>(
        self,
        copy: impl FnOnce() -> Result<T, TransitionError>,
        in_place: impl FnOnce() -> Result<T, TransitionError>,
    ) -> Result<(T, Option<WhyInPlace>), TransitionError> {
        let asked = |done| (done, Some(WhyInPlace::Asked));
        match self {
            Self::InPlace => in_place().map(asked),
            Self::Copy => copy().map(|done| (done, None)),
            Self::Choose => match copy() {
                Err(TransitionError::Refused(no_space @ Refusal::NoSpace { needed, free, .. })) => match in_place() {
                    Err(TransitionError::Refused(refusal)) => Err(neither(no_space, refusal).into()),
                    done => done.map(|done| (done, Some(WhyInPlace::NoSpace { needed, free }))),
                },
                done => done.map(|done| (done, None)),
            },
        }
    }
}

fn neither(no_space: Refusal, in_place: Refusal) -> Refusal {
    Refusal::NoSpaceNorInPlace { no_space: Box::new(no_space), in_place: Box::new(in_place) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(refusal: Refusal) -> Result<(), TransitionError> {
        Err(refusal.into())
    }

    #[test]
    fn a_copy_is_chosen_unless_there_is_no_room_for_it() {
        let no_space = || refused(Refusal::NoSpace { folder: "/vms".into(), needed: 3 << 30, free: 1 << 30 });
        let not_empty = || refused(Refusal::HomeNotEmpty("/vms".into()));
        let (fine, never) = (|| Ok(()), || -> Result<(), TransitionError> { panic!("not asked for") });
        assert!(matches!(Method::Choose.run(fine, never), Ok(((), None))));
        let ((), why) = Method::Choose.run(no_space, fine).expect("in place");
        let why = why.expect("told");
        assert_eq!(why.to_string(), "because a copy needs up to 3.0 GiB and 1.0 GiB are free");
        assert!(Method::Choose.run(not_empty, never).is_err(), "another refusal stands");
        assert!(Method::Copy.run(no_space, never).is_err());
        let neither = Method::Choose.run(no_space, not_empty).expect_err("both are refused");
        assert!(matches!(neither, TransitionError::Refused(Refusal::NoSpaceNorInPlace { .. })), "{neither}");
        assert!(matches!(Method::InPlace.run(never, fine), Ok(((), Some(WhyInPlace::Asked)))));
    }
}
