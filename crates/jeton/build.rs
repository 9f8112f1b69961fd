//! Has the linker put side by side what every start and ordinary requests run; the reasons are in
//! docs/decisions/0020.

use std::env;
use std::path::Path;

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
        for argument in [
            format!("--symbol-ordering-file={}", order.display()),
            "--no-warn-symbol-ordering".into(),
        ] {
            println!("cargo::rustc-link-arg-bin=jeton=-Xlinker");
            println!("cargo::rustc-link-arg-bin=jeton={argument}");
        }
    }
}
