//! Looks a dialect's folder over: the dialect file, who plays, every exchange. No file's problems hide
//! those of another, so that one look tells all there is to do.

use std::path::Path;

use http::Method;
use http::header::CONTENT_TYPE;
use jeton_engine::error::Kind;
use jeton_engine::name::DialectName;

use crate::check::load;
use crate::dialect::Dialect;
use crate::dialects::{Recorded, name_of, read, recorded};
use crate::exchange::{Cast, Exchange, parse};
use crate::problem::{Finder, Problems};

/// Every problem of a folder `NAME` with its `dialect.toml` and its exchanges.
pub fn inspect_folder(folder: &Path) -> Problems {
    let mut problems = Problems::default();
    let name = name_of(folder).map_err(|found| problems.extend(found)).ok();
    let (dialect, text) = inspect(&folder.join("dialect.toml"), name, &mut problems);
    match recorded(folder) {
        Ok(recorded) => {
            let directory = folder.join("exchanges");
            let script = Script {
                dialect: dialect.as_ref(),
                success_is_marked: text.contains("danger_success_status"),
            };
            script.inspect(&directory.display().to_string(), &recorded, &mut problems);
        }
        Err(found) => problems.extend(found),
    }
    problems
}

/// Every problem of a dialect file alone, whatever it is called.
pub fn inspect_file(file: &Path) -> Problems {
    let mut problems = Problems::default();
    inspect(file, None, &mut problems);
    problems
}

fn inspect(
    file: &Path,
    name: Option<DialectName>,
    problems: &mut Problems,
) -> (Option<Dialect>, String) {
    let text = match read(file) {
        Ok(text) => text,
        Err(found) => {
            problems.extend(found);
            return (None, String::new());
        }
    };
    // Without a usable name of its own, any name will do to look at what the file says.
    let name = name.or_else(|| "unnamed".parse().ok());
    let loaded = name.map(|name| load(&name, &file.display().to_string(), &text));
    let dialect = match loaded {
        Some(Ok(dialect)) => Some(dialect),
        Some(Err(found)) => {
            problems.extend(found);
            None
        }
        None => None,
    };
    (dialect, text)
}

/// What exchanges are held against.
struct Script<'d> {
    /// The dialect, unless it has problems of its own.
    dialect: Option<&'d Dialect>,
    /// Whether some refusals are answered as if they were successes.
    success_is_marked: bool,
}

impl Script<'_> {
    fn inspect(&self, directory: &str, recorded: &Recorded, problems: &mut Problems) {
        let cast_file = format!("{directory}/cast.toml");
        if let Some(text) = &recorded.cast {
            problems.extend(Cast::parse(&cast_file, text).err().unwrap_or_default());
        }
        for (name, text) in &recorded.exchanges {
            let file = format!("{directory}/{name}");
            let mut finder = Finder::new(&file, text);
            let ending = ending(name);
            if ending.is_none() {
                let remedy = "rename it to accepted-….http, refused-….http or failed-….http";
                finder.missing("the name does not tell how this ends", remedy);
            }
            match parse(&file, text) {
                Ok(exchange) => self.hold(ending, text, &exchange, &mut finder),
                Err(found) => problems.extend(found),
            }
            problems.extend(finder.finish());
        }
        if recorded.cast.is_none() && !recorded.exchanges.is_empty() {
            let mut finder = Finder::new(&cast_file, "");
            let remedy =
                "write `[[client]]` with an `id` and a `secret`: who plays in the exchanges";
            finder.missing("there are exchanges, but no cast", remedy);
            problems.extend(finder.finish());
        }
    }

    /// Holds an exchange against its name and against the dialect.
    fn hold(
        &self,
        ending: Option<Ending>,
        text: &str,
        exchange: &Exchange,
        finder: &mut Finder<'_>,
    ) {
        if let Some((hundred, message)) = ending {
            let status = exchange.response.status;
            let is_marked = self.success_is_marked && (200..300).contains(&status);
            if !(hundred..hundred + 100).contains(&status) && !is_marked {
                let remedy = "correct the status, or rename the file to how it ends";
                finder.at(&line_of(text, |line| line.starts_with("HTTP/1.1 ")), message, remedy);
            }
        }
        if let Some(dialect) = self.dialect {
            hold_target(dialect, text, exchange, finder);
        }
        hold_body(text, exchange, finder);
    }
}

/// The first status of those that an exchange may end with, and what to say when it ends otherwise.
type Ending = (u16, &'static str);

/// How an exchange ends, by the name of its file.
fn ending(name: &str) -> Option<Ending> {
    match name.split(['-', '.']).next()? {
        "accepted" => Some((200, "an accepted request has a status from 200 to 299")),
        "refused" => Some((400, "a refused request has a status from 400 to 499")),
        "failed" => Some((500, "a failed request has a status from 500 to 599")),
        _ => None,
    }
}

/// Another path or another method has one answer only.
fn hold_target(dialect: &Dialect, text: &str, exchange: &Exchange, finder: &mut Finder<'_>) {
    if exchange.breaks.is_some() || exchange.times > 1 {
        return;
    }
    let request = &exchange.request;
    let (kind, message) = if request.path() != dialect.path() {
        (Kind::NotFound, format!("the dialect's path is `{}`", dialect.path()))
    } else if request.method != *dialect.method() {
        (Kind::MethodNotAllowed, format!("the dialect's method is `{}`", dialect.method()))
    } else {
        return;
    };
    let answered = dialect.row(kind).status.as_u16();
    if exchange.response.status != answered {
        let remedy = format!("correct it, or record what it is answered with: {answered}");
        let line = line_of(text, |line| line.ends_with(" HTTP/1.1"));
        finder.at(&line, message, remedy);
    }
}

/// A body that says that it is JSON is JSON; the answer to a HEAD request has none.
fn hold_body(text: &str, exchange: &Exchange, finder: &mut Finder<'_>) {
    let response = &exchange.response;
    let content_type = response.headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    let media_type = content_type.and_then(|value| value.split(|byte| *byte == b';').next());
    let media_type = media_type.unwrap_or_default().trim_ascii().to_ascii_lowercase();
    let is_json = media_type == b"application/json" || media_type.ends_with(b"+json");
    let is_head = exchange.request.method == Method::HEAD && response.body.is_empty();
    if !is_json || is_head {
        return;
    }
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&response.body) {
        let body = String::from_utf8_lossy(&response.body);
        let at = if body.is_empty() { None } else { text.rfind(&*body) };
        let start = at.unwrap_or(text.len());
        let message = format!("the recorded body is not JSON: {error}");
        finder.at(&(start..text.len()), message, "correct the body, or its Content-Type");
    }
}

/// Where the first such line stands.
fn line_of(text: &str, is_it: impl Fn(&str) -> bool) -> std::ops::Range<usize> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let plain = line.trim_end();
        if is_it(plain) {
            return start..start + plain.len();
        }
        start += line.len();
    }
    0..0
}
