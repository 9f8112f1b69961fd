//! A clock on the wall that only the programs of one drill see: `drills/faults/clock.c` adds to the
//! machine's what stands in a file.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};

use crate::place::Place;

/// The clock.
#[derive(Debug)]
pub(crate) struct WallClock {
    file: File,
    added_seconds: i64,
}

impl WallClock {
    /// A clock that goes right, for every program of this place from now on.
    ///
    /// # Errors
    /// When there is no C compiler.
    pub(crate) fn of(place: &mut Place) -> Result<Self> {
        let (library, path) = (place.path("clock.so"), place.path("clock"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/faults/clock.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-o"])
            .args([&library, &PathBuf::from(source)])
            .arg("-ldl")
            .output()
            .context("there is no C compiler")?;
        if !built.status.success() {
            bail!("{source}: {}", String::from_utf8_lossy(&built.stderr));
        }
        let file = File::options().create(true).truncate(true).write(true).open(&path)?;
        place.set("LD_PRELOAD", &library.display().to_string());
        place.set("DRILL_CLOCK", &path.display().to_string());
        let mut clock = Self { file, added_seconds: 0 };
        clock.set(0)?;
        Ok(clock)
    }

    /// From now on it is so many seconds ahead of the machine's, or behind it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn set(&mut self, seconds: i64) -> Result<()> {
        let nanoseconds = seconds.saturating_mul(1_000_000_000);
        self.file.write_all_at(&nanoseconds.to_ne_bytes(), 0)?;
        self.added_seconds = seconds;
        Ok(())
    }

    /// Goes on by so much.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn advance(&mut self, by: Duration) -> Result<()> {
        let by = i64::try_from(by.as_secs())?;
        self.set(self.added_seconds.saturating_add(by))
    }

    /// What it shows, in seconds since 1970.
    pub(crate) fn seconds(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_add(self.added_seconds)
    }
}
