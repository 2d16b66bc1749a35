//! A copy of a database that is in use, made step by step so that nobody who writes waits for long.

use super::{BUSY, Place, opening};
use crate::store::error::BackupError;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// Pages copied at once.
const STEP_PAGES: i32 = 256;
/// How long to wait if somebody holds the database just then.
const PAUSE: Duration = Duration::from_millis(50);

/// What every store answers.
const OURS: &str = "SELECT count(*) FROM schema_version";

/// Copies the database at `from` into a new file.
pub(in crate::store) fn backup(from: &Path, file: &Path) -> Result<(), BackupError> {
    if !from.exists() {
        return Err(BackupError::Missing);
    }
    let place = Place::File(from.to_owned());
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|error| opening(&place, &error))?;
    source.busy_timeout(BUSY).map_err(|error| opening(&place, &error))?;
    // What is no store is told of before a file is made for it.
    source.query_row(OURS, [], |_| Ok(())).map_err(|error| opening(&place, &error))?;
    fresh(file)?;
    let copied = copy(&source, file).map_err(|error| opening(&Place::File(file.to_owned()), &error));
    if copied.is_err() {
        // Half a copy is none.
        let _ = std::fs::remove_file(file);
    }
    copied.map_err(BackupError::Store)
}

/// Makes the file, readable for nobody else; never the one that is there.
fn fresh(file: &Path) -> Result<(), BackupError> {
    use std::os::unix::fs::OpenOptionsExt;
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    made.map(drop).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => BackupError::Exists,
        _ => BackupError::Unmade(error.to_string()),
    })
}

fn copy(source: &Connection, file: &Path) -> rusqlite::Result<()> {
    let mut target = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // One state of the source from the first page to the last: else each commit meanwhile would start the copy anew.
    let snapshot = source.unchecked_transaction()?;
    snapshot.query_row(OURS, [], |_| Ok(()))?;
    let backup = Backup::new(&snapshot, &mut target)?;
    loop {
        match backup.step(STEP_PAGES)? {
            StepResult::Done => break,
            StepResult::More => {}
            _ => std::thread::sleep(PAUSE),
        }
    }
    drop(backup);
    target.pragma_update(None, "wal_checkpoint", "TRUNCATE").or_else(|error| match error {
        rusqlite::Error::ExecuteReturnedResults => Ok(()),
        error => Err(error),
    })?;
    target.close().map_err(|(_, error)| error)
}
