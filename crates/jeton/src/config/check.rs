//! From what was said to what is meant. Every value is read even after a mistake, so that all problems
//! are reported together; only then is a `Config` made, or not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jeton_dialect::{Dialects, load_folder};
use jeton_engine::engine::Settings;
use jeton_store::PostgresAddress;

use super::parse::{self, Wrong};
use super::problem::{Place, Problem, Problems, Severity};
use super::raw::{Raw, Said, default_of};
use super::{
    Admin, Config, Database, Log, LogFormat, MasterKeySource, Server, Storage, certificate_header,
    fetch, realms, settings, shown, tls, traces,
};

/// The file at hand.
pub(super) struct Source<'a> {
    pub(super) file_name: &'a str,
    pub(super) text: &'a str,
    pub(super) base_dir: &'a Path,
}

/// Checks everything.
pub(super) fn check(raw: Raw, source: &Source<'_>) -> Result<Config, Problems> {
    let grammar_is_broken =
        !raw.problems.is_empty() && raw.said.is_empty() && raw.realms.is_empty();
    let mut reader = Reader::new(raw);
    if grammar_is_broken {
        return Err(reader.into_problems(source));
    }
    let server = server(&mut reader, source.base_dir);
    let admin = admin(&mut reader, server.as_ref());
    let storage = storage(&mut reader, source.base_dir);
    let engine = engine_settings(&mut reader);
    let log = log(&mut reader);
    let traces = traces::traces(&mut reader, source.base_dir);
    let dialects = dialects(&mut reader, source.base_dir);
    let fetch = fetch::fetch(&mut reader, source.base_dir);
    let realms =
        dialects.as_ref().map(|dialects| realms::realms(&mut reader, dialects, source.base_dir));

    let (true, Some(server), Some(admin), Some(storage), Some(settings), Some(log), Some(dialects)) =
        (reader.raw.problems.is_empty(), server, admin, storage, engine, log, dialects)
    else {
        return Err(reader.into_problems(source));
    };
    let (Some(fetch), Some(traces)) = (fetch, traces) else {
        return Err(reader.into_problems(source));
    };
    let warnings = std::mem::take(&mut reader.warnings);
    Ok(Config {
        file: None,
        server,
        admin,
        storage,
        dialects,
        fetch,
        settings,
        log,
        traces,
        realms: realms.unwrap_or_default(),
        tls_places: tls::TlsPlaces::of(&reader),
        origins: shown::settings_in_force(&reader.raw, source.file_name, source.text),
        warnings: Problems::new(source.file_name, source.text, Severity::Warning, warnings),
    })
}

/// Reads settings one by one and collects what is wrong with them.
pub(super) struct Reader {
    pub(super) raw: Raw,
    pub(super) warnings: Vec<Problem>,
}

impl Reader {
    fn new(raw: Raw) -> Self {
        Self { raw, warnings: Vec::new() }
    }

    fn into_problems(self, source: &Source<'_>) -> Problems {
        let mut problems = self.raw.problems;
        // In the order of the file, whatever came from elsewhere after it.
        problems.sort_by_key(|problem| match &problem.place {
            Place::File(span) => (0, span.start),
            Place::Environment(_) => (1, 0),
            Place::Default => (2, 0),
        });
        Problems::new(source.file_name, source.text, Severity::Error, problems)
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.raw.problems.push(problem);
    }

    /// What was said under a key, or else its default.
    pub(super) fn said(&self, key: &str) -> Option<Said> {
        self.raw.said.get(key).cloned().or_else(|| default_of(&settings::pattern_of(key)))
    }

    /// Where something was said under a key.
    pub(super) fn place(&self, key: &str) -> Place {
        self.raw.said.get(key).map_or(Place::Default, |said| said.place.clone())
    }

    /// Where the first setting below a section was said.
    pub(super) fn place_below(&self, section: &str) -> Place {
        let below = format!("{section}.");
        let mut said = self.raw.said.range(below.clone()..);
        let first = said.next().filter(|(key, _)| key.starts_with(&below));
        first.map_or(Place::Default, |(_, said)| said.place.clone())
    }

    /// A setting, read. `None` when it is absent or wrong; what is wrong has been noted.
    pub(super) fn read<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&Said) -> Result<T, Wrong>,
    ) -> Option<T> {
        let said = self.said(key)?;
        let result = parse(&said);
        self.note(key, result.map_err(|wrong| (said.place, wrong)))
    }

    /// A setting that is a list, read; what is wrong has been noted at the item that is.
    pub(super) fn read_list<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&Said) -> Result<T, (Place, Wrong)>,
    ) -> Option<T> {
        let said = self.said(key)?;
        self.note(key, parse(&said))
    }

    fn note<T>(&mut self, key: &str, result: Result<T, (Place, Wrong)>) -> Option<T> {
        let (place, wrong) = match result {
            Ok(value) => return Some(value),
            Err(wrong) => wrong,
        };
        let problem = Problem::new(place, format!("`{key}` {}", wrong.what));
        let problem = match wrong.instead {
            Some(instead) => problem.remedy(instead),
            None => problem,
        };
        // Passwords stand in database URLs.
        let secretive = key.starts_with("storage.");
        self.problem(if secretive { problem.hidden() } else { problem });
        None
    }
}

fn server(reader: &mut Reader, base_dir: &Path) -> Option<Server> {
    let listen = reader.read("server.listen", parse::address);
    let tls = tls::tls(reader, base_dir);
    let proxies =
        reader.read_list("server.trusted_proxies", |said| parse::list(said, parse::network));
    let certificate_header = certificate_header::certificate_header(reader);
    // hyper keeps at least 8 KiB for a head.
    let header_bytes = reader.read("server.header_bytes_max", parse::bytes::<8_192, 1_048_576>);
    let headers = reader.read("server.headers_max", parse::number::<16, 1_000>);
    let body_bytes = reader.read("server.body_bytes_max", parse::bytes::<1_024, 16_777_216>);
    let header_timeout = reader.read("server.header_timeout", parse::duration::<1, 3_600>);
    let body_timeout = reader.read("server.body_timeout", parse::duration::<1, 3_600>);
    let write_timeout = reader.read("server.write_timeout", parse::duration::<1, 3_600>);
    let idle_timeout = reader.read("server.idle_timeout", parse::duration::<1, 86_400>);
    let connections = reader.read("server.connections_max", parse::number::<1, 1_000_000>);
    let in_flight = reader.read("server.requests_in_flight_max", parse::number::<1, 1_000_000>);
    let backlog = reader.read("server.backlog", parse::number::<1, 65_535>);
    let drain = reader.read("server.drain", parse::duration::<0, 3_600>);
    let grace = reader.read("server.shutdown_grace", parse::duration::<0, 3_600>);
    Some(Server {
        listen: listen?,
        tls: tls?,
        trusted_proxies: proxies?,
        certificate_header: certificate_header?,
        header_bytes_max: usize::try_from(header_bytes?).ok()?,
        headers_max: usize::try_from(headers?).ok()?,
        body_bytes_max: usize::try_from(body_bytes?).ok()?,
        header_timeout: header_timeout?,
        body_timeout: body_timeout?,
        write_timeout: write_timeout?,
        idle_timeout: idle_timeout?,
        connections_max: usize::try_from(connections?).ok()?,
        requests_in_flight_max: usize::try_from(in_flight?).ok()?,
        backlog: backlog?,
        drain: drain?,
        shutdown_grace: grace?,
    })
}

fn admin(reader: &mut Reader, server: Option<&Server>) -> Option<Admin> {
    let listen = reader.read("admin.listen", parse::address)?;
    let public = server.map(|server| server.listen);
    let same_port = public.filter(|public| public.port() == listen.port() && listen.port() != 0);
    if let Some(public) = same_port
        && (public.ip() == listen.ip()
            || public.ip().is_unspecified()
            || listen.ip().is_unspecified())
    {
        let place = match reader.place("admin.listen") {
            Place::Default => reader.place("server.listen"),
            place => place,
        };
        let message = format!(
            "the public listener ({public}) and the admin listener ({listen}) are the same"
        );
        let remedy = "give `admin.listen` another port: it is never to be reached from outside";
        reader.problem(Problem::new(place, message).remedy(remedy));
    }
    Some(Admin { listen })
}

fn storage(reader: &mut Reader, base_dir: &Path) -> Option<Storage> {
    let database = reader.read("storage.url", |said| database(parse::text(said)?, base_dir));
    let file = reader.read("storage.master_key.file", |said| Ok(parse::text(said)?.to_owned()));
    let variable = reader.read("storage.master_key.env", |said| Ok(parse::text(said)?.to_owned()));
    let queue = reader.read("storage.queue_max", parse::number::<16, 1_000_000>);
    let master_key = match (file, variable) {
        (Some(_), Some(_)) => {
            let place = reader.place("storage.master_key.env");
            let message = "`storage.master_key` names both a file and an environment variable";
            reader.problem(Problem::new(place, message).remedy("keep one of them").hidden());
            return None;
        }
        (Some(file), None) => MasterKeySource::File(base_dir.join(file)),
        (None, Some(name)) => MasterKeySource::Environment(name),
        (None, None) => match database.as_ref()? {
            Database::File(path) => {
                let mut name = path.clone().into_os_string();
                name.push(".master-key");
                MasterKeySource::BesideDatabase(PathBuf::from(name))
            }
            Database::Memory => MasterKeySource::Fresh,
            Database::Postgres(_) => {
                let place = reader.place("storage.url");
                let message = "`storage.master_key` is missing: the servers that share a \
                    PostgreSQL database must have the same one, which nobody but you can give them";
                let remedy = "name a file that only its owner can read: master_key = { file = \
                    \"/etc/jeton/master-key\" }, made by: openssl rand -base64 32 | tr '+/' '-_' | tr -d '='";
                reader.problem(Problem::new(place, message).remedy(remedy).hidden());
                return None;
            }
        },
    };
    Some(Storage { database: database?, master_key, queue_max: usize::try_from(queue?).ok()? })
}

fn database(url: &str, base_dir: &Path) -> Result<Database, Wrong> {
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        return match PostgresAddress::parse(url, base_dir) {
            Ok(address) => Ok(Database::Postgres(Box::new(address))),
            Err(error) => {
                Err(Wrong { what: error.to_string(), instead: error.instead().map(str::to_owned) })
            }
        };
    }
    match url.strip_prefix("sqlite:") {
        Some(":memory:") => Ok(Database::Memory),
        Some(path) if path.contains(['?', '#']) => {
            Err(Wrong::new("must not have parameters").instead("write \"sqlite:FILE\""))
        }
        // `sqlite:///var/lib/jeton.db` is another spelling of `sqlite:/var/lib/jeton.db`.
        Some(path) => match path.strip_prefix("//").unwrap_or(path) {
            "" => Err(Wrong::new("names no file").instead("write \"sqlite:jeton.db\"")),
            path => Ok(Database::File(base_dir.join(path))),
        },
        None => {
            Err(Wrong::new("must start with sqlite: or postgres:")
                .instead("write \"sqlite:jeton.db\""))
        }
    }
}

fn engine_settings(reader: &mut Reader) -> Option<Settings> {
    let memory = reader.read("secrets.argon2_memory", parse::bytes::<8_388_608, 1_073_741_824>);
    let passes = reader.read("secrets.argon2_passes", parse::number::<1, 100>);
    let runs = reader.read("secrets.argon2_runs_max", parse::number::<1, 256>);
    let waiting = reader.read("secrets.argon2_waiting_max", parse::number::<1, 100_000>);
    let remembered = reader.read("secrets.remembered_max", parse::number::<0, 10_000_000>);
    let remembered_for = reader.read("secrets.remembered_for", parse::duration::<0, 86_400>);
    let free = reader.read("guesses.free", parse::number::<1, 1_000_000>);
    let per_second = reader.read("guesses.per_second", parse::number::<1, 1_000_000>);
    let wait = reader.read("guesses.wait_max", parse::duration::<0, 60>);
    let prefix = reader.read("server.source_ipv6_prefix", parse::number::<48, 64>);
    let events = reader.read("storage.events_kept_for", parse::duration::<3_600, 3_153_600_000>);
    let grace = reader.read("storage.grace", parse::duration::<0, 86_400>);
    let check_grace = reader.read("storage.check_grace", parse::duration::<0, 86_400>);
    Some(Settings {
        argon2_memory_kib: u32::try_from(memory? / 1024).ok()?,
        argon2_passes: passes?,
        argon2_runs_max: usize::try_from(runs?).ok()?,
        argon2_waiting_max: usize::try_from(waiting?).ok()?,
        remembered_max: usize::try_from(remembered?).ok()?,
        remembered_for: remembered_for?,
        guesses_free: free?,
        guesses_per_second: per_second?,
        guess_wait_max: wait?,
        source_ipv6_prefix: u8::try_from(prefix?).ok()?,
        events_kept_for: events?,
        grace: grace?,
        check_grace: check_grace?,
    })
}

fn log(reader: &mut Reader) -> Option<Log> {
    let format = reader.read("log.format", |said| match parse::text(said)? {
        "auto" => Ok(LogFormat::Auto),
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(Wrong::new("must be \"auto\", \"text\" or \"json\"")),
    });
    let filter = reader.read("log.filter", |said| {
        let filter = parse::text(said)?;
        filter.parse::<tracing_subscriber::EnvFilter>().map_err(|error| {
            Wrong::new(format!("is no filter: {error}")).instead("write \"info\" or \"debug\"")
        })?;
        Ok(filter.to_owned())
    });
    Some(Log { format: format?, filter: filter? })
}

fn dialects(reader: &mut Reader, base_dir: &Path) -> Option<Arc<Dialects>> {
    let directory =
        reader.read("dialects.directory", |said| Ok(base_dir.join(parse::text(said)?)))?;
    let place = reader.place("dialects.directory");
    let mut dialects = Dialects::builtin_when_asked();
    if directory.is_dir() {
        for problem in own_dialects(&mut dialects, &directory) {
            reader.problem(Problem::new(place.clone(), problem));
        }
    } else if place != Place::Default {
        // The default folder need not exist; one that was named must.
        let message = format!("`dialects.directory` is not a folder: {}", directory.display());
        reader.problem(Problem::new(place, message).remedy("make it, or leave the setting out"));
    }
    Some(Arc::new(dialects))
}

/// Adds the dialects of a directory. A built-in one, word for word, is passed over: in a clone of
/// jeton's repository the default directory is the one the built-in dialects were made from.
fn own_dialects(dialects: &mut Dialects, directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut folders: Vec<PathBuf> = match entries {
        Ok(entries) => entries.iter().map(std::fs::DirEntry::path).collect(),
        Err(error) => {
            return vec![format!("the folder {} cannot be read: {error}", directory.display())];
        }
    };
    folders.sort();
    let mut problems = Vec::new();
    for folder in folders {
        let file = folder.join("dialect.toml");
        if !file.is_file() {
            continue;
        }
        let added = load_folder(&folder).and_then(|loaded| {
            let known = dialects.get(loaded.dialect.name().as_str());
            match known.is_some_and(|known| known.source_text() == loaded.dialect.source_text()) {
                true => Ok(()),
                false => dialects.add(loaded, &file.display().to_string()),
            }
        });
        if let Err(error) = added {
            problems.push(format!("the dialect in {} cannot be used\n{error}", folder.display()));
        }
    }
    problems
}
