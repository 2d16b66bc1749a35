//! Which steps bring the tables of a database up to date.

use super::error::StoreError;

/// One step: it is taken once and never changed afterwards.
pub(super) struct Migration {
    pub(super) version: i64,
    pub(super) sql: &'static str,
}

/// The steps that a database of version `found` lacks.
pub(super) fn missing(all: &[Migration], found: i64) -> Result<&[Migration], StoreError> {
    let newest = all.last().map_or(0, |migration| migration.version);
    if found > newest {
        return Err(StoreError::Broken(format!(
            "its tables are of version {found}, and this release knows versions up to {newest}; run the release that wrote them, or a later one"
        )));
    }
    let first = all.iter().position(|migration| migration.version > found).unwrap_or(all.len());
    Ok(&all[first..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_taken_once_and_the_future_is_refused() {
        let all = [1, 2, 3].map(|version| Migration { version, sql: "" });
        for (found, steps) in [(0, 3), (1, 2), (3, 0)] {
            assert_eq!(missing(&all, found).map(<[Migration]>::len), Ok(steps));
        }
        let error = missing(&all, 4).err().unwrap().to_string();
        assert!(error.contains("version 4") && error.contains("up to 3"), "{error}");
    }
}
