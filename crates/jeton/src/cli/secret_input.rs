//! Where secrets come in: standard input, a file, an environment variable. Never an argument,
//! because arguments are seen by every user of the machine and kept in shell histories.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;
use zeroize::Zeroizing;

use super::failure::Failure;

/// The longest secret or key that is read.
const BYTES_MAX: u64 = 64 * 1024;

/// Where a supplied secret comes from.
#[derive(Args, Clone, Debug, Default)]
#[group(multiple = false)]
pub(super) struct SecretInput {
    /// Take this secret from standard input; one newline at its end is not part of it
    #[arg(long)]
    pub secret_stdin: bool,
    /// Take this secret from a file; one newline at its end is not part of it
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Take this secret from an environment variable
    #[arg(long, value_name = "NAME")]
    pub secret_env: Option<String>,
}

impl SecretInput {
    /// The secret as text, where one was announced.
    pub(super) fn read(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        let Some(bytes) = self.read_bytes()? else { return Ok(None) };
        text(&bytes, "the secret").map(Some)
    }

    /// The secret as bytes, where one was announced.
    pub(super) fn read_bytes(&self) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        let secret = if self.secret_stdin {
            stdin("Secret")?
        } else if let Some(path) = &self.secret_file {
            file(path)?
        } else if let Some(name) = &self.secret_env {
            environment(name)?
        } else {
            return Ok(None);
        };
        if secret.is_empty() {
            return Err(
                Failure::usage("the secret is empty").next("printf %s \"$SECRET\" | jeton …")
            );
        }
        Ok(Some(secret))
    }
}

/// Where the secret of a client comes from as whom we call a server.
#[derive(Args, Debug)]
#[group(multiple = false, id = "secret", requires = "client_id")]
pub(super) struct ClientSecret {
    /// Take the client's secret from standard input; one newline at its end is not part of it
    #[arg(long)]
    client_secret_stdin: bool,
    /// Take the client's secret from a file; one newline at its end is not part of it
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// Take the client's secret from an environment variable
    #[arg(long, value_name = "NAME")]
    client_secret_env: Option<String>,
}

impl ClientSecret {
    /// The secret, where one was announced.
    pub(super) fn read(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        let input = SecretInput {
            secret_stdin: self.client_secret_stdin,
            secret_file: self.client_secret_file.clone(),
            secret_env: self.client_secret_env.clone(),
        };
        input.read()
    }
}

/// Standard input without the one newline at its end; asked for without echo on a terminal.
pub(super) fn stdin(prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed =
        |error: std::io::Error| Failure::failed(format!("standard input cannot be read: {error}"));
    if std::io::stdin().is_terminal() {
        let typed = rpassword::prompt_password(format!("{prompt}: ")).map_err(failed)?;
        return Ok(Zeroizing::new(typed.into_bytes()));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    std::io::stdin().lock().take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    without_newline(bytes, "standard input")
}

/// A file without the one newline at its end.
pub(super) fn file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error: std::io::Error| Failure::file("reading", path, &error);
    let mut bytes = Zeroizing::new(Vec::new());
    let opened = std::fs::File::open(path).map_err(failed)?;
    opened.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    without_newline(bytes, &path.display().to_string())
}

/// Bytes as text.
pub(super) fn text(bytes: &[u8], what: &str) -> Result<Zeroizing<String>, Failure> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(Failure::usage(format!("{what} is not UTF-8 text"))),
    }
}

fn environment(name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let value = std::env::var(name).map_err(|_| {
        Failure::usage(format!("the environment variable {name} is not set, or is not text"))
    })?;
    Ok(Zeroizing::new(value.into_bytes()))
}

fn without_newline(
    mut bytes: Zeroizing<Vec<u8>>,
    place: &str,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if bytes.len() as u64 > BYTES_MAX {
        let what = format!("more than {BYTES_MAX} bytes where a secret was expected");
        return Err(Failure::usage(what).at(place));
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        // A line ending of the other system is one newline too.
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<String, Failure> {
        let bytes = without_newline(Zeroizing::new(bytes.to_vec()), "test")?;
        text(&bytes, "the secret").map(|text| text.to_string())
    }

    #[test]
    fn exactly_one_newline_is_taken_off() {
        assert_eq!(read(b"s3cret").unwrap(), "s3cret");
        assert_eq!(read(b"s3cret\n").unwrap(), "s3cret");
        assert_eq!(read(b"s3cret\r\n").unwrap(), "s3cret");
        assert_eq!(read(b"s3cret\n\n").unwrap(), "s3cret\n");
        assert_eq!(read(b" s3cret \n").unwrap(), " s3cret ");
        assert_eq!(read(b"s3cret\r").unwrap(), "s3cret\r");
    }

    #[test]
    fn what_is_no_text_or_too_long_is_refused() {
        assert!(read(&[0xff, 0xfe]).is_err());
        assert!(read(&vec![b'a'; 64 * 1024 + 1]).is_err());
        assert!(read(&vec![b'a'; 64 * 1024]).is_ok());
    }
}
