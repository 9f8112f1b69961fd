//! What a URL means, and which are refused.

use super::*;

fn parse(url: &str) -> Result<PostgresAddress, AddressError> {
    PostgresAddress::parse(url, Path::new("/etc/jeton"))
}

fn check(url: &str) -> Option<Check> {
    parse(url).unwrap().tls.map(|tls| tls.check)
}

#[test]
fn a_connection_over_the_network_is_checked_in_full_unless_it_is_said_otherwise() {
    let full = Some(Check::AuthorityAndHost);
    assert_eq!(check("postgres://jeton@db.example.com/auth"), full);
    assert_eq!(check("postgresql://jeton@192.0.2.7/auth"), full);
    assert_eq!(check("postgres://jeton@localhost,db/auth"), full, "one of them is far away");
    for near in ["localhost", "127.0.0.2:5433", "[::1]", "%2Frun%2Fpostgresql"] {
        assert_eq!(check(&format!("postgres://jeton@{near}/auth")), None, "{near}");
    }
    assert_eq!(check("postgres://jeton@/auth?host=/run/postgresql"), None);
    assert_eq!(check("postgres://jeton@db/auth?sslmode=disable"), None);
    assert_eq!(check("postgres://jeton@db/auth?sslmode=require"), Some(Check::Nothing));
    assert_eq!(check("postgres://jeton@db/auth?sslmode=verify-ca"), Some(Check::Authority));
    assert_eq!(check("postgres://jeton@localhost/auth?sslmode=verify-full"), full);
    // Naming an authority and not asking it would be a surprise.
    let named = "postgres://jeton@db/auth?sslmode=require&sslrootcert=ca.pem";
    assert_eq!(check(named), Some(Check::Authority));
}

#[test]
fn files_are_found_from_the_configuration() {
    let url = "postgres://jeton@db/auth?sslrootcert=ca.pem&sslcert=own.pem&sslkey=/keys/own.key";
    let tls = parse(url).unwrap().tls.unwrap();
    assert_eq!(tls.roots, Some("/etc/jeton/ca.pem".into()));
    assert_eq!(tls.own, Some(("/etc/jeton/own.pem".into(), "/keys/own.key".into())));
    let system = parse("postgres://jeton@db/auth?sslrootcert=system").unwrap();
    assert_eq!(system.tls.unwrap().roots, None);
}

#[test]
fn what_is_left_open_is_chosen_for_servers_that_fail() {
    let address = parse("postgres://jeton@one:5433,two:5434/auth").unwrap();
    let config = &address.config;
    assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
    assert_eq!(config.get_application_name(), Some("jeton"));
    assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(3)));
    assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_secs(10)));
    assert_eq!((address.patience, address.connections_max), (PATIENCE, CONNECTIONS));
    assert!(!address.is_pooled);
    let told = "statement_timeout=2&pool_size=20&pooler=transaction&connect_timeout=9\
        &application_name=other";
    let address = parse(&format!("postgres://jeton@one/auth?{told}")).unwrap();
    assert_eq!((address.patience, address.connections_max), (Duration::from_secs(2), 20));
    assert!(address.is_pooled);
    assert_eq!(address.config.get_application_name(), Some("other"));
    assert_eq!(address.config.get_connect_timeout(), Some(&Duration::from_secs(9)));
}

#[test]
fn an_address_shows_where_it_is_and_not_who_goes_there() {
    let url = "postgres://jeton:hunter2@one:5433,two:5434/auth?sslmode=verify-full";
    let address = parse(url).unwrap();
    assert_eq!(address.to_string(), "postgres://one:5433,two:5434/auth");
    assert_eq!(format!("{address:?}"), "PostgresAddress(postgres://one:5433,two:5434/auth)");
    let socket = parse("postgres://jeton@/auth?host=/run/postgresql").unwrap();
    assert_eq!(socket.to_string(), "postgres:///run/postgresql:5432/auth");
}

#[test]
fn what_is_no_address_is_refused_without_being_quoted() {
    for (url, why) in [
        ("postgres://jeton:hunter2@db/auth?sslmode=prefer", "can turn off"),
        ("postgres://jeton:hunter2@db/auth?sslmode=hunter2", "sslmode that is not known"),
        ("postgres://jeton:hunter2@db/auth?sslcert=a.pem", "only one of sslcert and sslkey"),
        ("postgres://jeton:hunter2@db/auth?pooler=session", "pooler that is not known"),
        ("postgres://jeton:hunter2@db/auth?pool_size=7", "pool_size that is no whole number"),
        ("postgres://jeton:hunter2@db/auth?statement_timeout=0", "from 1 to 600"),
        ("postgres://jeton:hunter2@db/auth?hunter2=1", "parameter that is not known"),
        ("postgres://jeton:hunter2@db/auth?target_session_attrs=any", "that is not known"),
        ("postgres://jeton:hunter2@db/auth?sslrootcert=%FF", "not UTF-8"),
        ("postgres://jeton:hunter2@db:hunter2/auth", "is not a PostgreSQL URL"),
        ("postgres://jeton:hunter2@db", "names no database"),
        ("postgres://db/auth", "names no user"),
        ("postgres:jeton", "is not a PostgreSQL URL"),
        ("postgres:///auth", "names no host"),
    ] {
        let error = parse(url).unwrap_err();
        assert!(error.to_string().contains(why), "{url}: {error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
