//! `jeton init`: a commented configuration, an empty database and a master key, ready to serve.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::new_file;
use super::open::Opened;
use super::output::{Form, Output};
use crate::config::{self, MasterKeySource};

/// Small on purpose: every other setting, with its default and its reason, is in `jeton.example.toml`.
const TEMPLATE: &str = r#"# jeton.toml: how this server runs. Every setting, with its default and its reason: jeton.example.toml.
# `jeton config check` tells every problem at once; `jeton config show` tells what is in force.

[server]
listen = "127.0.0.1:8080"        # token endpoints; put TLS in front before you leave this machine

[admin]
listen = "127.0.0.1:8081"        # health: never to be reached from outside

[storage]
url = "sqlite:jeton.db"          # beside this file; so is the master key that encrypts signing keys

# A realm is an authorization server of its own: one issuer, its own clients, keys and tokens.
# Its token endpoint: http://127.0.0.1:8080/main/oauth2/token
[realm.main]
issuer = "http://127.0.0.1:8080/main"
dialects = ["rfc6749"]           # `jeton dialect list` shows all; several may be spoken at once
# scopes = ["read", "write"]     # what clients may be given; anything when left out
# token = { format = "jwt", algorithm = "EdDSA", lifetime = "10m" }
"#;

/// Where to begin.
#[derive(Args, Debug)]
pub(super) struct Init {
    /// The folder; made when it is missing
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

/// Does it.
pub(super) async fn run(init: Init, output: Output) -> Result<(), Failure> {
    let directory = init.directory;
    fs::create_dir_all(&directory)
        .map_err(|error| Failure::file("making the folder", &directory, &error))?;
    let file = directory.join("jeton.toml");
    for (path, what) in [(&file, "a configuration"), (&directory.join("jeton.db"), "a database")] {
        if path.exists() {
            return Err(Failure::failed(format!("there is {what} already; nothing was written"))
                .at(path.display())
                .next("another folder: jeton init DIR"));
        }
    }
    new_file::write_public(&file, TEMPLATE.as_bytes())?;
    // Environment variables may overrule the template; what then is in force is what is opened.
    let config = config::load(&file).map_err(|problems| {
        super::print_problems(&problems);
        Failure::usage("the new configuration has problems; look at JETON__ environment variables")
            .at(file.display())
    })?;
    let storage = config.storage.clone();
    Opened::new(config).await?.close().await;
    let master_key = match &storage.master_key {
        MasterKeySource::File(path) | MasterKeySource::BesideDatabase(path) => Some(path.clone()),
        MasterKeySource::Environment(_) | MasterKeySource::Fresh => None,
    };
    if output.form() == Form::Json {
        return output.json(&json!({
            "config": file, "database": directory.join("jeton.db"), "master_key": master_key
        }));
    }
    let spelled = super::shell_word(&file.display().to_string());
    output.line(&format!(
        "Made {} with the realm main, an empty database and a master key{}.

Next:
  jeton client create first --config {spelled}
  jeton serve --config {spelled}
  curl -u first:CLIENT_SECRET -d grant_type=client_credentials http://127.0.0.1:8080/main/oauth2/token",
        file.display(),
        master_key.map_or_else(String::new, |path| format!(" ({}; back it up)", path.display())),
    ))
}
