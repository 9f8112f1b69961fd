//! `jeton client import` and `export`: JSON lines, all checked before the first is imported.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::Path;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jeton_engine::manage::{ManageError, NewSecret, Rotation};
use jeton_engine::name::ClientId;
use jeton_engine::realm::Realm;

use super::record::{self, Arriving};
use crate::cli::failure::Failure;
use crate::cli::new_file;
use crate::cli::open::Opened;
use crate::cli::output::{Form, Output};

/// The longest line that is read.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Problems that are printed before the rest is only counted.
const PROBLEMS_MAX: usize = 100;

/// A client and the line it stands on.
type Numbered = (usize, Arriving);

/// Takes over clients from a file or standard input.
pub(super) async fn import(
    file: Option<&Path>,
    dry_run: bool,
    realm: &Realm,
    opened: &Opened,
    output: Output,
) -> Result<(), Failure> {
    let lines = match file {
        Some(path) => {
            let opened = std::fs::File::open(path);
            lines(BufReader::new(opened.map_err(|error| Failure::file("reading", path, &error))?))?
        }
        None => lines(io::stdin().lock())?,
    };
    let mut problems = Vec::new();
    let arriving = read_all(&lines, realm, opened, &mut problems);
    check_all(&arriving, realm, opened, &mut problems).await?;
    if !problems.is_empty() {
        problems.sort_by_key(|(line, _)| *line);
        return Err(tell(&problems, file));
    }
    let count = arriving.len();
    if !dry_run {
        import_all(arriving, realm, opened).await?;
    }
    if output.form() == Form::Json {
        return output.json(&serde_json::json!({
            "realm": realm.name, "clients": count, "imported": if dry_run { 0 } else { count }
        }));
    }
    let plural = if count == 1 { "" } else { "s" };
    let word = if dry_run { "could be imported" } else { "imported" };
    output.line(&format!("{count} client{plural} {word}"))
}

/// The lines of a text, however it ends; blank ones are kept, so that numbers stay right.
fn lines(mut from: impl BufRead) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    loop {
        let mut line = Vec::new();
        let mut limited = io::Read::take(&mut from, LINE_BYTES_MAX as u64 + 1);
        let read = limited.read_until(b'\n', &mut line);
        let read = read.map_err(|error| Failure::failed(format!("reading failed: {error}")))?;
        if read == 0 {
            return Ok(all);
        }
        let number = all.len() + 1;
        if line.len() > LINE_BYTES_MAX {
            return Err(
                Failure::failed("the line is longer than 1 MiB").at(format!("line {number}"))
            );
        }
        let text = String::from_utf8(line);
        all.push(text.map_err(|_| {
            Failure::failed("the line is not UTF-8 text").at(format!("line {number}"))
        })?);
    }
}

/// What is wrong, and in which line.
type Problems = Vec<(usize, String)>;

fn read_all(
    lines: &[String],
    realm: &Realm,
    opened: &Opened,
    problems: &mut Problems,
) -> Vec<Numbered> {
    let mut seen: HashMap<ClientId, usize> = HashMap::new();
    let mut arriving = Vec::new();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = index + 1;
        match record::read(line, &realm.name, opened.now()) {
            Ok(one) => {
                if let Some(first) = seen.insert(one.client.id.clone(), number) {
                    let problem = format!("client_id: is the same as in line {first}");
                    problems.push((number, problem));
                }
                arriving.push((number, one));
            }
            Err(told) => problems.extend(told.into_iter().map(|problem| (number, problem))),
        }
    }
    arriving
}

async fn check_all(
    arriving: &[Numbered],
    realm: &Realm,
    opened: &Opened,
    problems: &mut Problems,
) -> Result<(), Failure> {
    for (number, one) in arriving {
        let mut found = vec![opened.manage().check_import(realm, &one.client).await];
        found.extend(one.secret.as_ref().map(|secret| opened.manage().check_secret(secret)));
        for error in found.into_iter().filter_map(Result::err) {
            match error {
                ManageError::Fault(_) => return Err(error.into()),
                refused => problems.push((*number, refused.to_string())),
            }
        }
    }
    Ok(())
}

/// Many at a time, so that they share commits.
async fn import_all(
    arriving: Vec<Numbered>,
    realm: &Realm,
    opened: &Opened,
) -> Result<(), Failure> {
    const AT_A_TIME: usize = 256;
    let imports = arriving.into_iter().map(async |(number, arriving)| {
        import_one(arriving, realm, opened).await.map_err(|error| (number, error))
    });
    let outcome = stream::iter(imports).buffered(AT_A_TIME).try_collect::<()>().await;
    outcome.map_err(|(number, error)| {
        let place =
            format!("line {number}; the lines before it are imported, and perhaps some after");
        Failure::from(error).at(place)
    })
}

async fn import_one(arriving: Arriving, realm: &Realm, opened: &Opened) -> Result<(), ManageError> {
    let Arriving { client, secret } = arriving;
    let id = client.id.clone();
    opened.manage().import_client(realm, client).await?;
    if let Some(secret) = secret {
        let rotation = Rotation { secret: NewSecret::Supplied(secret), ..Rotation::default() };
        opened.manage().rotate_secret(&realm.name, &id, rotation).await?;
    }
    Ok(())
}

fn tell(problems: &Problems, file: Option<&Path>) -> Failure {
    let name = file.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
    let mut to = anstream::stderr().lock();
    for (number, problem) in problems.iter().take(PROBLEMS_MAX) {
        // When standard error is gone, the exit code still tells.
        let _ = writeln!(to, "{name}:{number}: {problem}");
    }
    let mut count = problems.len().to_string();
    if problems.len() > PROBLEMS_MAX {
        count = format!("{count} (the first {PROBLEMS_MAX} are shown)");
    }
    Failure::failed(format!("problems found: {count}; nothing was imported"))
        .at(name)
        .next("mend the lines and import again; --dry-run only checks")
}

/// Prints every client of a realm, a line each.
pub(super) async fn export(
    out: Option<&Path>,
    realm: &Realm,
    opened: &Opened,
    output: Output,
) -> Result<(), Failure> {
    let clients = super::all(&realm.name, opened).await?;
    let mut text = String::new();
    for client in &clients {
        text.push_str(&record::write(client).to_string());
        text.push('\n');
    }
    let Some(path) = out else { return output.bytes(text.as_bytes()) };
    new_file::write_private(path, text.as_bytes())?;
    let plural = if clients.len() == 1 { "" } else { "s" };
    output.remark(&format!("{} client{plural} written to {}", clients.len(), path.display()))
}
