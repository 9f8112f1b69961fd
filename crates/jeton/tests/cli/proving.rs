//! `jeton client` and what proves a client: keys, certificates, assertions of others, bound tokens.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::place::{Place, Ran};
use super::rehearsal::{Authority, Use};

/// `jeton client VERB a --realm main --json` and more.
fn client(place: &Place, verb: &str, more: &[&str]) -> Ran {
    place.jeton(&[&["client", verb, "a", "--realm", "main", "--json"][..], more].concat())
}

/// Makes a key pair, `a.key` and `a.jwks.json`; gives the public JWK.
fn keygen(place: &Place, more: &[&str]) -> Value {
    let made = place.jeton(&[&["client", "keygen", "--out", "a.key"][..], more].concat()).done();
    std::fs::write(place.path("a.jwks.json"), &made.stdout).unwrap();
    made.json()["keys"][0].clone()
}

#[test]
fn a_key_pair_is_made_without_a_configuration_and_its_private_half_stays_in_its_file() {
    let place = Place::empty();
    let jwk = keygen(&place, &[]);
    assert_eq!((&jwk["kty"], &jwk["alg"]), (&json!("EC"), &json!("ES256")));
    assert!(jwk.get("d").is_none() && jwk["kid"].as_str().unwrap().len() == 43);
    let mode = std::fs::metadata(place.path("a.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = ["client", "keygen", "--out", "a.key", "--algorithm"];
    place.jeton(&[&again[..], &["EdDSA"]].concat()).failed(1, &["exists already", "a.key"]);
    place.jeton(&[&again[..], &["HS256"]].concat()).failed(2, &["no key pair"]);
    place.jeton(&["client", "keygen"]).failed(2, &["--out"]);
}

#[test]
fn a_client_with_keys_has_no_secret_and_its_keys_are_shown() {
    let place = Place::new();
    let jwk = keygen(&place, &["--algorithm", "EdDSA", "--key-id", "k1"]);
    let made = client(&place, "create", &["--jwks-file", "a.jwks.json"]).done().json();
    assert_eq!(made["authentication"], json!(["private_key_jwt"]));
    assert_eq!((&made["secrets"], made.get("client_secret")), (&json!([]), None));
    let key = &made["keys"][0];
    assert_eq!((&key["key_id"], &key["algorithms"]), (&json!("k1"), &json!(["EdDSA"])));
    let plain = place.jeton(&["client", "show", "a", "--realm", "main"]).done().stdout;
    let thumbprint = key["thumbprint"].as_str().unwrap();
    assert!(plain.contains(&format!("key\tk1 EdDSA {thumbprint}\n")), "{plain}");
    assert!(plain.contains("sender_constrained\tdpop allowed, mtls off\n"), "{plain}");
    client(&place, "rotate-secret", &[]).failed(1, &["cannot use one", "private_key_jwt"]);

    let exported = place.jeton(&["client", "export", "--realm", "main"]).done().stdout;
    let line: Value = serde_json::from_str(&exported).unwrap();
    assert_eq!(line["proof"]["keys"]["jwks"]["keys"][0], jwk);
    let other = Place::new();
    let import = ["client", "import", "--realm", "main"];
    other.jeton_reading(&import, exported.as_bytes()).done();
    assert_eq!(other.jeton(&["client", "export", "--realm", "main"]).done().stdout, exported);
}

#[test]
fn public_keys_come_as_a_set_alone_or_in_pem_and_private_ones_are_refused() {
    let place = Place::new();
    let jwk = keygen(&place, &[]);
    std::fs::write(place.path("jwk.json"), jwk.to_string()).unwrap();
    let certificate =
        Authority::new("nobody's").sign(&["a.example.com"], Use::Client, (2000, 3000));
    std::fs::write(place.path("certificate.pem"), &certificate.certificate_pem).unwrap();
    let create = |id: &str, more: &[&str]| {
        place.jeton(&[&["client", "create", id, "--realm", "main", "--json"][..], more].concat())
    };
    assert_eq!(
        create("b", &["--jwks-file", "jwk.json"]).done().json()["keys"][0]["key_id"],
        jwk["kid"]
    );
    let by_certificate =
        ["--jwks-file", "certificate.pem", "--authentication", "self_signed_tls_client_auth"];
    let made = create("c", &by_certificate).done().json();
    assert_eq!(made["keys"][0]["algorithms"], json!(["ES256"]));
    assert_eq!(made["secrets"], json!([]));
    let ran = create("d", &["--jwks-file", "a.key"]).failed(1, &["jwks-file", "private", "a.key"]);
    assert!(!ran.stderr.contains("PRIVATE KEY"));
    create("d", &["--jwks-file", "jeton.toml"]).failed(1, &["must be a JWK set, a JWK or PEM"]);
    create("d", &["--jwks-file", "absent"]).failed(1, &["absent"]);
    let uri = ["--jwks-uri", "https://a.example.com/jwks.json"];
    create("d", &[&uri[..], &["--jwks-file", "jwk.json"]].concat())
        .failed(2, &["cannot be used with"]);
    create("d", &["--jwks-uri", "http://a.example.com/jwks.json"]).failed(2, &["https"]);
    assert_eq!(create("d", &uri).done().json()["jwks_uri"], uri[1]);
}

#[test]
fn a_certificate_names_a_client_in_exactly_one_way() {
    let place = Place::new();
    for (flag, member, name) in [
        ("--tls-subject-dn", "tls_client_auth_subject_dn", "CN=a,O=Acme"),
        ("--tls-san-dns", "tls_client_auth_san_dns", "a.example.com"),
        ("--tls-san-uri", "tls_client_auth_san_uri", "spiffe://example.com/a"),
        ("--tls-san-ip", "tls_client_auth_san_ip", "192.0.2.7"),
        ("--tls-san-email", "tls_client_auth_san_email", "a@example.com"),
    ] {
        let made = client(&place, "create", &[flag, name]).done().json();
        assert_eq!(made["certificate_name"][member], name, "{flag}");
        assert_eq!(made["authentication"], json!(["tls_client_auth"]));
        assert_eq!(made["secrets"], json!([]));
        let two = client(&place, "create", &[flag, name, "--tls-san-dns", "b.example.com"]);
        two.failed(2, &["cannot be used"]);
        client(&place, "delete", &[]).done();
    }
    client(&place, "create", &["--tls-san-ip", "a.example.com"]).failed(2, &["--tls-san-ip"]);
    client(&place, "create", &["--tls-subject-dn", "Acme"]).failed(2, &["--tls-subject-dn"]);
    client(&place, "create", &["--authentication", "tls_client_auth"])
        .failed(1, &["tls-subject-dn", "tls-san-dns"]);
    client(&place, "create", &["--authentication", "private_key_jwt"])
        .failed(1, &["jwks-file or jwks-uri", "federated"]);
    client(&place, "create", &["--authentication", "magic"]).failed(2, &["private_key_jwt"]);
}

#[test]
fn tokens_are_bound_as_is_said_and_otherwise_as_usual() {
    let place = Place::new();
    let made = client(&place, "create", &["--sender-constrained", "dpop"]).done().json();
    assert_eq!(made["sender_constrained"], json!({ "dpop": "required", "mtls": "off" }));
    assert!(made["client_secret"].is_string(), "a bound token needs no other authentication");
    let update = |more: &[&str]| client(&place, "update", more);
    let bound = |more: &[&str]| update(more).done().json()["sender_constrained"].clone();
    let both = bound(&["--sender-constrained", "mtls=allowed", "--sender-constrained", "dpop=off"]);
    assert_eq!(both, json!({ "dpop": "off", "mtls": "allowed" }));
    let mtls = bound(&["--sender-constrained", "mtls"]);
    assert_eq!(mtls, json!({ "dpop": "off", "mtls": "required" }), "what is not said stays");
    let usual = bound(&["--no-sender-constrained"]);
    assert_eq!(usual, json!({ "dpop": "allowed", "mtls": "off" }));
    for wrong in ["tls", "dpop=sometimes", ""] {
        update(&["--sender-constrained", wrong]).failed(2, &["must be dpop or mtls"]);
    }
    update(&["--no-sender-constrained", "--sender-constrained", "dpop"])
        .failed(2, &["cannot be used with"]);
}

#[test]
fn update_moves_a_client_from_a_secret_to_keys_and_back() {
    let place = Place::new();
    keygen(&place, &[]);
    client(&place, "create", &[]).done();
    let update = |more: &[&str]| client(&place, "update", more);
    let ways = ["--authentication", "private_key_jwt", "--authentication", "client_secret_basic"];
    update(&ways).failed(1, &["private_key_jwt", "jwks-file"]);
    let idle = update(&["--jwks-file", "a.jwks.json"]).done();
    assert!(idle.stderr.contains("may not use its keys yet"), "{idle:?}");
    assert_eq!(update(&ways).done().stderr, "");
    update(&["--no-jwks", "--no-authentication"]).done();
    let changed = update(&[&ways[..], &["--jwks-file", "a.jwks.json"]].concat()).done().json();
    assert_eq!(changed["keys"].as_array().unwrap().len(), 1);
    update(&["--no-jwks"]).failed(1, &["private_key_jwt"]);
    update(&["--no-jwks", "--jwks-file", "a.jwks.json"]).failed(2, &["cannot be used with"]);
    let changed = update(&["--no-jwks", "--no-authentication"]).done().json();
    assert_eq!((&changed["keys"], &changed["authentication"]), (&json!([]), &json!([])));
    let name = ["--tls-san-dns", "a.example.com"];
    update(&name).failed(1, &["tls_client_auth"]);
    update(&[&name[..], &["--authentication", "tls_client_auth"]].concat()).done();
    let changed = update(&["--no-tls-name", "--no-authentication"]).done().json();
    assert_eq!(changed["certificate_name"], Value::Null);
    update(&["--no-tls-name", "--tls-san-dns", "b"]).failed(2, &["cannot be used with"]);
    update(&["--no-federated"]).done();
}

#[test]
fn the_assertions_of_others_stand_for_a_client_only_where_its_realm_trusts_them() {
    let place = Place::new();
    let subject = ["--federated", "github", "--federated-subject", "repo:acme/orders"];
    let create = |more: &[&str]| client(&place, "create", more);
    create(&subject).failed(1, &["federated", "[realm.main.trusted_issuers.github]"]);
    create(&subject[..2]).failed(2, &["--federated-subject"]);
    create(&subject[2..]).failed(2, &["--federated"]);
    create(&["--federated-claim", "ref=main"]).failed(2, &["--federated"]);
    let claim = |claim| create(&[&subject[..], &["--federated-claim", claim]].concat());
    claim("ref").failed(2, &["NAME=VALUE"]);
    claim("attempt:={").failed(2, &["JSON after :="]);

    let path = place.path("jeton.toml");
    let trusting = "[realm.main.trusted_issuers.github]\nissuer = \"https://github.example\"\n";
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + trusting).unwrap();
    claim("iss=me").failed(1, &["federated-claim", "judged anyway"]);
    let more = ["--federated-claim", "ref=a=b", "--federated-claim", "attempt:=1"];
    let made = create(&[&subject[..], &more].concat()).done().json();
    let claims = json!({ "ref": "a=b", "attempt": 1 });
    let federated = json!({ "issuer": "github", "subject": "repo:acme/orders", "claims": claims });
    assert_eq!((&made["federated"], &made["secrets"]), (&federated, &json!([])));
    client(&place, "update", &["--no-federated"]).failed(1, &["authentication", "private_key_jwt"]);
    let none = ["--no-federated", "--no-authentication"];
    let changed = client(&place, "update", &none).done().json();
    assert_eq!(changed["federated"], Value::Null);
}
