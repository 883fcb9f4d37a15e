//! `cadenas provider`: new keys in time, and keys that somebody else may have.

use cadenas_keys::KeyId;
use clap::Args;

pub(super) const ROTATE: &str = "\
EXAMPLES:
  cadenas provider rotate nkp
  cadenas provider backup nkp --out nkp-2.p12      The new key encrypts from here on
  cadenas vm recrypt --all --from nkp --to nkp     Move the VMs now, not in the background

A native provider goes on with its last key until the new one is in a backup; then its VMs are moved
to it in the background. The VMs of a standard provider get new keys from its key servers, in the
background too.";
pub(super) const SET_ROTATION: &str = "\
EXAMPLES:
  cadenas provider set-rotation nkp --every 90d
  cadenas provider set-rotation nkp --every 12w
  cadenas provider set-rotation nkp --off

A new key of a native provider waits for its backup before it encrypts anything.";
pub(super) const MARK_COMPROMISED: &str = "\
EXAMPLES:
  cadenas provider mark-compromised 7d4f4a3e-9a55-4d6e-8f0e-2f4cf6f9b1aa

The key encrypts nothing from then on; it still opens what it encrypted. If it is the present key of a
native provider, `cadenas provider rotate` and a backup give it another one. `cadenas provider show`
and `cadenas vm show` have the IDs of keys.";

/// `cadenas provider set-rotation`
#[derive(Debug, Args)]
pub struct SetRotation {
    /// The provider's name or ID
    #[arg(value_name = "NAME")]
    pub provider: String,
    /// When.
    #[command(flatten)]
    pub schedule: Schedule,
}

/// A schedule, or none.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Schedule {
    /// How long after the last rotation: days (`90d`) or weeks (`12w`)
    #[arg(long = "every", value_name = "TIME", value_parser = days)]
    pub every_days: Option<u32>,
    /// Rotate only when asked
    #[arg(long)]
    pub off: bool,
}

/// `cadenas provider mark-compromised`
#[derive(Debug, Args)]
pub struct MarkCompromised {
    /// The key's ID
    #[arg(value_name = "KEY-ID")]
    pub key: KeyId,
}

/// A number of days from 1 to ten years: `90d`, `12w`.
fn days(text: &str) -> Result<u32, String> {
    const LONGEST: u32 = 3650;
    let days_each = |unit: char| match unit {
        'd' => Some(1),
        'w' => Some(7),
        _ => None,
    };
    let (number, unit) = text.split_at(text.trim_end_matches(|c: char| !c.is_ascii_digit()).len());
    let each = unit.parse().ok().and_then(days_each).ok_or("give days or weeks, such as 90d or 12w")?;
    let days = number.parse::<u32>().ok().and_then(|number| number.checked_mul(each));
    days.filter(|days| (1..=LONGEST).contains(days))
        .ok_or_else(|| format!("give 1 to {LONGEST} days, such as 90d or 12w"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_weeks_are_read_and_nothing_else() {
        assert_eq!(["1d", "90d", "12w", "3650d"].map(days), [Ok(1), Ok(90), Ok(84), Ok(3650)]);
        for other in
            ["", "d", "90", "0d", "3651d", "600w", "-1d", "1.5d", "3m", "90 d", "9999999999d", "4294967295w", "é"]
        {
            assert!(days(other).is_err(), "{other:?}");
        }
    }
}
