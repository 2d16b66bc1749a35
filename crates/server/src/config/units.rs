//! Values with a unit: durations, sizes and rates, read from text and shown as text.

use std::time::Duration;

const DURATIONS: [(&str, u64); 7] =
    [("d", 86_400_000), ("day", 86_400_000), ("days", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];
const SIZES: [(&str, u64); 7] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000), ("B", 1)];
const PERIODS: [(&str, Duration); 3] = [("s", Duration::from_secs(1)), ("min", Duration::from_secs(60)), ("h", Duration::from_secs(3600))];

/// How often something may happen: `count` times in each `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many times; at least once.
    pub count: u32,
    /// A second, a minute or an hour.
    pub per: Duration,
}

impl Rate {
    /// The same rate, a second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        f64::from(self.count) / self.per.as_secs_f64()
    }
}

/// Reads `120 s`, `30 min`, `250 ms`, `2 h`, `1 d`; a bare `0` needs no unit. `None` for anything else, and for what does not fit.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit {
        "" if number == 0 => 1,
        _ => DURATIONS.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.checked_mul(factor).map(Duration::from_millis)
}

/// The shortest exact text of `duration`.
pub(super) fn duration_text(duration: Duration) -> String {
    let milliseconds = duration.as_millis() as u64;
    if milliseconds == 0 {
        return "0 s".to_owned();
    }
    let (unit, factor) = DURATIONS.iter().find(|(_, factor)| milliseconds.is_multiple_of(*factor)).unwrap_or(&("ms", 1));
    format!("{} {unit}", milliseconds / factor)
}

/// Reads `10 KiB`, `64 KB`, `1 MiB`, `512 B` or a bare number of bytes, units in any case.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit {
        "" => 1,
        _ => SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    number.checked_mul(factor)
}

/// The text of a size in the largest binary unit that divides it.
pub(super) fn bytes_text(bytes: u64) -> String {
    match SIZES[..3].iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{} {unit}", bytes / factor),
        None => format!("{bytes} B"),
    }
}

/// Reads `100/s`, `30/min`, `5000/h`. Zero is no rate: it would refuse everybody.
pub(super) fn rate(text: &str) -> Option<Rate> {
    let (count, period) = text.split_once('/')?;
    let count = whole(count.trim()).and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0)?;
    let per = PERIODS.iter().find(|(name, _)| *name == period.trim())?.1;
    Some(Rate { count, per })
}

/// The text of a rate.
pub(super) fn rate_text(rate: Rate) -> String {
    let unit = PERIODS.iter().find(|(_, per)| *per == rate.per).map_or("s", |(name, _)| name);
    format!("{}/{unit}", rate.count)
}

/// Reads a whole number that may hold underscores between its digits.
pub(super) fn whole(text: &str) -> Option<u64> {
    let plain = text.starts_with(|c: char| c.is_ascii_digit()) && !text.ends_with('_') && !text.contains("__");
    plain.then(|| text.replace('_', "")).and_then(|digits| digits.parse().ok())
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    Some((whole(&text[..end])?, text[end..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("120 s", Some(120_000)),
            ("120s", Some(120_000)),
            ("30 min", Some(1_800_000)),
            ("250 ms", Some(250)),
            ("2 h", Some(7_200_000)),
            ("1 d", Some(86_400_000)),
            ("1_000 s", Some(1_000_000)),
            ("0", Some(0)),
            ("120", None),
            ("-1 s", None),
            ("1.5 s", None),
            ("s", None),
            ("", None),
            ("10 m", None),
            ("10 S", None),
            ("18446744073709551615 d", None),
            ("99999999999999999999 s", None),
        ] {
            assert_eq!(duration(text), milliseconds.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("10 KiB", Some(10_240)),
            ("64 KB", Some(64_000)),
            ("64 kB", Some(64_000)),
            ("1 MiB", Some(1_048_576)),
            ("2gib", Some(2_147_483_648)),
            ("512", Some(512)),
            ("512 B", Some(512)),
            ("10_240", Some(10_240)),
            ("10 Kib/s", None),
            ("-1", None),
            ("1 TiB", None),
            ("_1", None),
            ("18446744073709551615 GiB", None),
        ] {
            assert_eq!(bytes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!(rate("100/s"), Some(Rate { count: 100, per: Duration::from_secs(1) }));
        assert_eq!(rate("1_000 / min"), Some(Rate { count: 1000, per: Duration::from_secs(60) }));
        for text in ["100", "0/s", "/s", "100/", "100/day", "-1/s", "4294967296/s", "1/s/s"] {
            assert_eq!(rate(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for milliseconds in [0, 1, 999, 1_000, 1_500, 60_000, 90_000, 1_800_000, 3_600_000, 86_400_000] {
            let value = Duration::from_millis(milliseconds);
            assert_eq!(duration(&duration_text(value)), Some(value));
        }
        for value in [0, 1, 1000, 1024, 10_240, 1 << 20, 3 << 30, u64::MAX] {
            assert_eq!(bytes(&bytes_text(value)), Some(value));
        }
        for text in ["100/s", "7/min", "1/h"] {
            assert_eq!(rate(text).map(rate_text).as_deref(), Some(text));
        }
        assert_eq!((duration_text(Duration::from_secs(1800)), bytes_text(10_240)), ("30 min".to_owned(), "10 KiB".to_owned()));
    }
}
