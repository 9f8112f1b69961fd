//! A disk that fails on command, for the folder `disk` of a place: `drills/faults/disk.c`, built here and loaded
//! into every program of the place. It knows what a disk would hold, so power can be lost.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::place::Place;

/// How flushes end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushes {
    /// What was written is on the disk.
    Well,
    /// With EIO, and what was written is on no disk; it stays in the system's memory.
    Fail,
    /// With EIO, and what was written is gone from memory too.
    Forget,
    /// Well, after a tenth of a second.
    Slow,
    /// Not at all.
    Hang,
}

/// Why everything that writes fails, as the system numbers it (`errno`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    /// It does not.
    Well = 0,
    /// The file system can only be read.
    ReadOnly = 30,
    /// The disk is broken.
    Broken = 5,
}

/// What became of flushes and writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    /// Flushes that succeeded.
    pub(crate) flushed: u32,
    /// Those that failed.
    pub(crate) flushes_failed: u32,
    /// Writes that were refused.
    pub(crate) writes_failed: u32,
}

/// Where `struct control` of the library has what.
const FORGET: u64 = 2;
const COUNTS: u64 = 8;
const CONTROL_BYTES: u64 = 4096;

/// A disk.
#[derive(Debug)]
pub(crate) struct Disk {
    live: PathBuf,
    holds: PathBuf,
    control: File,
}

impl Disk {
    /// Puts the folder `disk` of a place, where its database has to be, on such a disk.
    ///
    /// # Errors
    /// When the library cannot be built.
    pub(crate) fn under(place: &mut Place) -> Result<Self> {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/faults/disk.c");
        let library = place.path("disk.so");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-pthread", "-o"])
            .args([&library, &PathBuf::from(source)])
            .arg("-ldl")
            .output()
            .context("there is no C compiler")?;
        if !built.status.success() {
            bail!("{source}: {}", String::from_utf8_lossy(&built.stderr));
        }
        let (live, holds) = (place.path("disk"), place.path("holds"));
        fs::create_dir(&live)?;
        fs::create_dir(&holds)?;
        let path = place.path("control");
        let control = File::options().create_new(true).read(true).write(true).open(&path)?;
        control.set_len(CONTROL_BYTES)?;
        place.set("LD_PRELOAD", &library.display().to_string());
        place.set("DRILL_DISK_FOLDER", &live.display().to_string());
        place.set("DRILL_DISK_HOLDS", &holds.display().to_string());
        place.set("DRILL_DISK_CONTROL", &path.display().to_string());
        Ok(Self { live, holds, control })
    }

    /// From now on flushes end so.
    ///
    /// # Errors
    /// When the command cannot be given.
    pub(crate) fn flushes(&self, how: Flushes) -> Result<()> {
        let (command, forget) = match how {
            Flushes::Well => (0, 0),
            Flushes::Fail => (1, 0),
            Flushes::Forget => (1, 1),
            Flushes::Hang => (2, 0),
            Flushes::Slow => (3, 0),
        };
        self.control.write_all_at(&[forget], FORGET)?;
        Ok(self.control.write_all_at(&[command], 0)?)
    }

    /// From now on writes end so.
    ///
    /// # Errors
    /// When the command cannot be given.
    pub(crate) fn writes(&self, how: Writes) -> Result<()> {
        Ok(self.control.write_all_at(&[how as u8], 1)?)
    }

    /// What became of flushes and writes so far.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn counts(&self) -> Result<Counts> {
        let mut bytes = [0; 12];
        self.control.read_exact_at(&mut bytes, COUNTS)?;
        let numbers: Vec<u32> =
            bytes.as_chunks().0.iter().map(|four| u32::from_ne_bytes(*four)).collect();
        let [flushed, flushes_failed, writes_failed] = numbers[..] else { bail!("three numbers") };
        Ok(Counts { flushed, flushes_failed, writes_failed })
    }

    /// Loses power: of the files there is what the disk holds. Nobody may run that uses them.
    ///
    /// # Errors
    /// When the files cannot be replaced.
    pub(crate) fn lose_power(&self) -> Result<()> {
        for entry in fs::read_dir(&self.live)? {
            fs::remove_file(entry?.path())?;
        }
        for entry in fs::read_dir(&self.holds)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == "dirty") {
                fs::remove_file(entry.path())?;
            } else {
                fs::copy(entry.path(), self.live.join(entry.file_name()))?;
            }
        }
        Ok(())
    }
}
