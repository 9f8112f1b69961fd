//! Has the linker put side by side what every start and ordinary requests run, and pack what the start makes of
//! addresses; the reasons are in docs/decisions/0020 and 0024.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=order.txt");
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|said| said == value);
    // There rustc brings a linker along that knows the option; another one that somebody has chosen
    // may not.
    let is_rustc_s_own = env::var_os("RUSTC_LINKER").is_none()
        && !env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("ld="));
    if is("TARGET", "x86_64-unknown-linux-gnu") && is("PROFILE", "release") && is_rustc_s_own {
        let order = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        let order = Path::new(&order).join("order.txt");
        let mut arguments = vec![
            format!("--symbol-ordering-file={}", order.display()),
            "--no-warn-symbol-ordering".to_owned(),
        ];
        if knows_packed_relocations() {
            arguments.push("-z".to_owned());
            arguments.push("pack-relative-relocs".to_owned());
        }
        for argument in arguments {
            println!("cargo::rustc-link-arg-bin=jeton=-Xlinker");
            println!("cargo::rustc-link-arg-bin=jeton={argument}");
        }
    }
}

/// Whether the C library of this machine is one that can read them: 2.36 or newer.
fn knows_packed_relocations() -> bool {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let said = said.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    let version = said.as_deref().and_then(|said| said.trim().strip_prefix("glibc "));
    let mut parts = version.unwrap_or_default().split('.').map(str::parse::<u32>);
    matches!((parts.next(), parts.next()), (Some(Ok(2)), Some(Ok(36..))))
}
