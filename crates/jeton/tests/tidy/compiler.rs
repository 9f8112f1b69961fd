//! Proves how cargo calls rustc (`.cargo/rustc`): when the profile of what a server does is handed over, and
//! that all else stays as cargo wants it.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::tree::root;

/// The script beside a profile of 1.95.0, and a compiler of this version that only tells its arguments.
struct Stage {
    folder: TempDir,
}

impl Stage {
    fn new(version: &str) -> Self {
        let stage = Self { folder: TempDir::new().unwrap() };
        let said = format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'rustc {version} (0 2026-01-01)'; \
             else printf '%s\\n' \"$@\"; fi\n"
        );
        stage.write("compiler", &said);
        stage.write("rustc", &fs::read_to_string(root().join(".cargo/rustc")).unwrap());
        fs::create_dir(stage.path("profile")).unwrap();
        stage.write("profile/1.95.0.profdata", "");
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn call(&self, profile: Option<&str>, arguments: &[&str]) -> Output {
        let mut command = Command::new("sh");
        command.arg(self.path("rustc")).arg(self.path("compiler")).args(arguments);
        command.env_remove("JETON_PROFILE").envs(profile.map(|said| ("JETON_PROFILE", said)));
        command.env("CARGO_PKG_NAME", "a-name");
        command.envs([("CARGO_PKG_VERSION_MAJOR", "1"), ("CARGO_PKG_VERSION_MINOR", "95")]);
        command.output().unwrap()
    }

    /// What the compiler is told beyond `arguments`.
    fn added(&self, profile: Option<&str>, arguments: &[&str]) -> Vec<String> {
        let output = self.call(profile, arguments);
        assert!(output.status.success(), "{output:?}");
        let told = String::from_utf8(output.stdout).unwrap();
        let told: Vec<&str> = told.lines().collect();
        assert_eq!(told[..arguments.len()], *arguments);
        told[arguments.len()..].iter().map(|&argument| argument.to_owned()).collect()
    }
}

const OPTIMIZED: [&str; 4] = ["--crate-name", "a name", "-C", "opt-level=3"];
const NOT_OPTIMIZED: [&str; 4] = ["--crate-name", "a name", "-C", "opt-level=0"];
const NOTHING: Vec<String> = Vec::new();

#[test]
fn optimized_code_has_the_profile_of_its_compiler_and_nothing_else_has_one() {
    let stage = Stage::new("1.95.0");
    let profile = stage.path("profile/1.95.0.profdata");
    let used = [format!("-Cprofile-use={}", profile.display())];
    assert_eq!(stage.added(None, &OPTIMIZED)[..1], used);
    assert_eq!(stage.added(None, &NOT_OPTIMIZED), NOTHING);
    for other in ["1.95.1", "1.97.0-nightly"] {
        assert_eq!(Stage::new(other).added(None, &OPTIMIZED), NOTHING, "{other}");
    }
}

#[test]
fn cargo_is_told_which_profile_it_is() {
    let profiles = fs::read_dir(root().join(".cargo/profile")).unwrap();
    let profiles: Vec<PathBuf> = profiles.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(profiles.len(), 1, "a checksum of several would depend on their order");
    let output = Command::new("cksum").arg(&profiles[0]).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let checksum = told.split(' ').next().unwrap();
    let config = fs::read_to_string(root().join(".cargo/config.toml")).unwrap();
    let config: toml::Table = config.parse().unwrap();
    let flags = config["build"]["rustflags"].as_array().unwrap();
    assert_eq!(flags[0].as_str().unwrap(), format!("--cfg=profile=\"{checksum}\""));
}

#[test]
fn functions_are_split_where_their_parts_have_a_place_in_a_program() {
    let split = "-Cllvm-args=-enable-split-machine-functions".to_owned();
    let stage = Stage::new("1.95.0");
    assert_eq!(stage.added(None, &OPTIMIZED).contains(&split), cfg!(target_os = "linux"));
    let elsewhere = [&OPTIMIZED[..], &["--target", "aarch64-apple-darwin"]].concat();
    assert!(!stage.added(None, &elsewhere).contains(&split));
    assert!(
        !Stage::new("1.95.1").added(None, &OPTIMIZED).contains(&split),
        "nothing says what is rare"
    );
}

#[test]
fn a_build_goes_without_the_profile_or_records_one_when_told() {
    let stage = Stage::new("1.95.0");
    assert_eq!(stage.added(Some("none"), &OPTIMIZED), NOTHING);
    assert_eq!(stage.added(Some("record"), &OPTIMIZED), ["-Cprofile-generate"]);
    assert_eq!(stage.added(Some("record"), &NOT_OPTIMIZED), NOTHING);
    let refused = stage.call(Some("recrod"), &OPTIMIZED);
    assert_eq!(refused.status.code(), Some(2));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("JETON_PROFILE is none or record, not recrod"), "{told}");
}

#[test]
fn functions_are_called_alike_whatever_else_is_built_with_them() {
    let stage = Stage::new("1.95.1");
    for cargo_s_own in ["metadata=0123456789abcdef", "metadata=fedcba9876543210"] {
        let told = |level: &str| {
            let output =
                stage.call(None, &["-C", level, "-C", cargo_s_own, "-C", "extra-filename=-0123"]);
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let expected = "-C\nopt-level=3\n-C\nmetadata=a-name-1.95\n-C\nextra-filename=-0123\n";
        assert_eq!(told("opt-level=3"), expected);
        assert_eq!(
            told("opt-level=0"),
            format!("-C\nopt-level=0\n-C\n{cargo_s_own}\n-C\nextra-filename=-0123\n")
        );
    }
}

#[test]
fn cargo_may_run_it() {
    let mode = fs::metadata(root().join(Path::new(".cargo/rustc"))).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111);
}
