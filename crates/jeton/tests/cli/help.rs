//! Help, completions and the manual name every command; secrets are no arguments anywhere.

use std::process::{Command, Stdio};

use super::place::{Place, program};

/// The commands below `path`, as its help lists them.
fn below(place: &Place, path: &[String]) -> Vec<String> {
    let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    let help = place.jeton(&arguments).done().stdout;
    let Some((_, list)) = help.split_once("Commands:\n") else { return Vec::new() };
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Every command with its help, in the order of the help.
fn everything() -> Vec<(Vec<String>, String)> {
    let place = Place::empty();
    let mut found = Vec::new();
    let mut waiting = vec![Vec::new()];
    while let Some(path) = waiting.pop() {
        let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        found.push((path.clone(), place.jeton(&arguments).done().stdout));
        for name in below(&place, &path).into_iter().rev() {
            waiting.push([path.clone(), vec![name]].concat());
        }
    }
    found
}

#[test]
fn the_help_names_every_command_and_only_those_that_there_are() {
    let paths: Vec<String> = everything()
        .into_iter()
        .map(|(path, _)| [vec!["jeton".to_owned()], path].concat().join(" "))
        .collect();
    insta::assert_snapshot!(paths.join("\n"));
}

#[test]
fn every_command_shows_an_example_and_takes_config_and_json() {
    for (path, help) in everything() {
        for words in ["--config", "--json"] {
            assert!(help.contains(words), "{path:?} does not know {words}");
        }
        let is_a_leaf = !help.contains("Commands:\n");
        assert!(!is_a_leaf || help.contains("Example"), "{path:?} has no example");
    }
}

#[test]
fn no_flag_takes_a_secret_as_its_argument() {
    for (path, help) in everything() {
        for line in help.lines().map(str::trim_start).filter(|line| line.starts_with("--")) {
            let takes_a_value = line.contains('<');
            let is_secret = ["secret", "password", "token"]
                .iter()
                .any(|word| line.split_whitespace().next().is_some_and(|flag| flag.contains(word)));
            let by_reference = ["FILE", "NAME", "DURATION", "SECRET_ID"]
                .iter()
                .any(|kind| line.contains(&format!("<{kind}>")));
            // Where tokens come from, not a token.
            let is_place = line.starts_with("--token-endpoint <URL>");
            assert!(!takes_a_value || !is_secret || by_reference || is_place, "{path:?}: {line}");
        }
    }
}

#[test]
fn completions_and_manual_know_the_commands_too() {
    let place = Place::empty();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.jeton(&["completions", shell]).done().stdout;
        assert!(script.contains("rotate-secret"), "{shell}");
    }
    place.jeton(&["completions", "tcsh"]).failed(2, &["bash"]);
    assert!(place.jeton(&["man"]).done().stdout.contains("rotate\\-secret"));
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let place = Place::empty();
    for arguments in
        [&["man"][..], &["completions", "bash"], &["explain"], &["explain", "--json"], &["--help"]]
    {
        let mut writer = program()
            .args(arguments)
            .current_dir(place.path(""))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The reader is gone before anything is written, or soon after.
        drop(writer.stdout.take());
        let output = writer.wait_with_output().unwrap();
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 141)), "{arguments:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
    let shell = format!("{} man | head -1", env!("CARGO_BIN_EXE_jeton"));
    let output = Command::new("sh").args(["-c", &shell]).output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
}
