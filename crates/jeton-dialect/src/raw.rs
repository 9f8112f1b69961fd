//! What a dialect file says, key by key, before anything is checked. The JSON Schema comes from here.

use std::borrow::Cow;

use jeton_engine::error::Kind;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use toml::Spanned;
use toml::de::DeValue;

use crate::problem::Finder;
use crate::said::{Json, Members, OneOrMany, Raw, Said, raw};

raw! {
    /// A dialect: the wire format of a token endpoint.
    struct Dialect {
        /// What people call it.
        title: String,
        /// What is asked, where it stands, and in which order it is checked.
        request: Request,
        /// How a token looks and how long it lives.
        token: Token,
        /// What all answers have in common.
        answers: Answers,
        /// The answer that carries a token.
        success: Success,
        /// One row per kind of refusal; a kind without a row takes the row of its more general kind.
        refusals: Refusals,
        /// How many requests each client may make.
        limits: Limits,
        /// What wrong secrets do to a client.
        lockout: Lockout,
    }

    /// What is asked, where it stands, and in which order it is checked.
    struct Request {
        /// The one method of the endpoint: POST, PUT, PATCH or GET.
        method: String,
        /// The path below the realm, such as `/auth/v1/token`.
        path: String,
        /// Each accepted Content-Type (without parameters) and how its body is decoded: `json` or `form`.
        media_types: Members<String>,
        /// What happens to parameters in the URL: `ignored` (default), or `refused` when they are known ones.
        query: String,
        /// Reads parameters from the URL. Dangerous: URLs, and the secrets in them, end up in logs.
        danger_query: bool,
        /// The ways a client may authenticate: `client_secret_post` (default) and `client_secret_basic`.
        authentication: Vec<Said<String>>,
        /// Our parameters, each with its name on the wire, or several names.
        parameters: Members<OneOrMany>,
        /// Names of parameters that are only checked.
        extra_parameters: Vec<Said<String>>,
        /// Parameters that may be given more than once: `resource`, `audience`.
        repeatable: Vec<Said<String>>,
        /// The most bytes a parameter may have, where it is not 255 (`client_id`), 1024 (`client_secret`) or 4096.
        lengths: Members<u32>,
        /// What is checked of the parameters, in this order.
        checks: Vec<Said<Check>>,
    }

    /// One check: either `required`, or `parameter` with `allowed`.
    struct Check {
        /// These must be there, in this order; `credentials` stands for any way of authenticating.
        required: Vec<Said<String>>,
        /// This parameter, when it is there ...
        parameter: String,
        /// ... must have one of these values.
        allowed: Vec<Said<String>>,
        /// The kind of refusal when it is not so.
        otherwise: String,
    }

    /// How a token looks and how long it lives.
    struct Token {
        /// `jwt`, `stored`, `sealed`, or `realm` when the realm decides.
        format: String,
        /// How long a token lives when neither client nor realm say: `90s`, `10m`, `1h`, `30d` or `never`.
        lifetime: String,
        /// Lets a token be told never to expire. Dangerous: it is good until somebody revokes it.
        danger_never_expires: bool,
        /// Who tokens are for when neither client nor realm say.
        audience: String,
        /// jwt: the signature algorithm.
        algorithm: String,
        /// jwt: the members of the JOSE header, in order.
        header: Members<Json>,
        /// jwt: the claims, in order.
        claims: Members<Json>,
        /// stored: what every token starts with.
        prefix: String,
        /// stored: the characters after the prefix.
        alphabet: String,
        /// stored: how many characters follow the prefix.
        length: u32,
    }

    /// What all answers have in common.
    struct Answers {
        /// Headers of every answer, in order. One whose value is absent is left out.
        headers: Members<String>,
        /// Further headers of refusals.
        refusal_headers: Members<String>,
        /// The Content-Type of JSON bodies; `application/json` when absent.
        json_media_type: String,
    }

    /// The answer that carries a token.
    struct Success {
        /// The status, 200 when absent.
        status: u32,
        /// Further headers, in order.
        headers: Members<String>,
        /// The Content-Type, when it is not the usual one.
        media_type: String,
        /// A JSON body.
        json: Json,
        /// A text body.
        text: String,
    }

    /// The answer to one kind of refusal. Without `json` and `text` it has no body.
    struct Refusal {
        /// The status.
        status: u32,
        /// Permits a status from 200 to 299. Dangerous: a client that only looks at the status believes it has a token.
        danger_success_status: bool,
        /// Further headers, in order.
        headers: Members<String>,
        /// The `WWW-Authenticate` header, sent when the request came with an `Authorization` header.
        challenge: String,
        /// The Content-Type, when it is not the usual one.
        media_type: String,
        /// A JSON body.
        json: Json,
        /// A text body.
        text: String,
    }

    /// How many requests each client may make.
    struct Limits {
        /// Such as `["100/min", "1000/hour"]`; all of them hold.
        client: Vec<Said<String>>,
        /// Whether answers tell what is left in the fields `RateLimit-Policy` and `RateLimit`: `standard` (default where the dialect has no headers with `{limit}`, `{remaining}` or `{reset}`) or `off`.
        fields: String,
    }

    /// What wrong secrets do to a client.
    struct Lockout {
        /// After so many wrong secrets ...
        failures: u32,
        /// ... within this time ...
        within: String,
        /// ... the client is locked for so long, or `until_unlocked`.
        duration: String,
    }
}

/// The rows of refusals, by kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusals(pub(crate) Members<Refusal>);

impl Raw for Refusals {
    const EXPECTED: &'static str = "a table";

    fn read(value: &Spanned<DeValue<'_>>, finder: &mut Finder<'_>) -> Option<Self> {
        Members::read(value, finder).map(Self)
    }
}

impl JsonSchema for Refusals {
    fn schema_name() -> Cow<'static, str> {
        "Refusals".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let row = generator.subschema_for::<Refusal>();
        let rows: serde_json::Map<String, serde_json::Value> =
            Kind::ALL.iter().map(|kind| (kind.name().to_owned(), row.clone().to_value())).collect();
        schemars::json_schema!({
            "type": "object",
            "properties": rows,
            "required": ["refused", "server_error"],
            "additionalProperties": false,
        })
    }
}

/// The JSON Schema of dialect files, for editors.
pub fn json_schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Dialect).to_value();
    drop_null(&mut schema);
    schema
}

/// TOML has no null: what may be absent is absent.
fn drop_null(schema: &mut serde_json::Value) {
    use serde_json::Value;
    let is_null = |value: &Value| {
        value.as_str() == Some("null") || value.get("type").and_then(Value::as_str) == Some("null")
    };
    match schema {
        Value::Object(members) => {
            if let Some(Value::Array(types)) = members.get_mut("type") {
                types.retain(|name| !is_null(name));
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    members.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = members.get_mut("anyOf") {
                choices.retain(|choice| !is_null(choice));
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    members.remove("anyOf");
                    members.extend(only);
                }
            }
            members.values_mut().for_each(drop_null);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_null),
        _ => {}
    }
}
