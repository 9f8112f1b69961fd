"""What every gateway has to hold. Each check says nothing, or how long something took, or fails."""

import json
import re
import time

from jeton import AUDIENCE, OTHER_AUDIENCE, claims
from process import Failed
from prover import Prover
from wire import PATIENCE, SILENCE, bearer, send

# What jeton promises about disabling and revoking, and what two cores under load may add to the asking.
PROMISE = 1.0
ASKING = 0.25
NAMES = ("client-id", "subject", "scope", "token-id")
PLAIN = {f"x-jeton-{name}" for name in NAMES}
STRANGER = "mallory"


class Trial:
    """One gateway with a caller of its own."""

    def __init__(self, gateway, running, jeton, upstream, caller):
        self.gateway, self.running, self.jeton = gateway, running, jeton
        self.upstream, self.caller = upstream, caller
        self.token = caller.token()

    def send(self, *headers, **more):
        return send(self.running.port, headers=headers, **more)

    def passes(self, *headers, token=None, **more):
        """What the API was told of a request that must reach it."""
        answer = self.send(bearer(token or self.token), *headers, **more)
        if answer.status != 200:
            raise Failed(f"refused with {answer.status} {answer.body[:200]!r}")
        return json.loads(answer.body)

    def refused(self, *headers, statuses, **more):
        """The answer to a request that must not reach the API."""
        before = self.upstream.reached
        answer = self.send(*headers, **more)
        if self.upstream.reached != before:
            raise Failed(f"reached the API, status {answer.status}")
        if answer.status not in statuses:
            raise Failed(f"{answer.status} instead of one of {sorted(statuses)}: {answer.body[:200]!r}")
        return answer

    def identity(self):
        says = claims(self.token)
        return dict(zip(NAMES, (says["client_id"], says["sub"], says["scope"], says["jti"])))


def folded(name):
    """A header's name as backends see it that make variables of names (CGI, WSGI, PHP)."""
    return re.sub("[^a-z0-9]", "-", name.lower())


def identity_told(told):
    """The identity headers that reached the API; every spelling counts."""
    found = {}
    for name, value in told["headers"]:
        if folded(name).startswith("x-jeton-"):
            found.setdefault(folded(name).removeprefix("x-jeton-"), []).append(value)
    return found


def expect_identity(trial, told, how):
    found = identity_told(told)
    expected = {name: [value] for name, value in trial.identity().items()}
    if found != expected:
        raise Failed(f"{how}: the API was told {found} instead of {expected}")


def no_token(trial):
    """No token is 401 with a challenge, whatever else is sent."""
    for headers in ([], [("Authorization", "Basic YTpi")], [("X-Jeton-Client-Id", STRANGER)]):
        challenged(trial.refused(*headers, statuses={401}))


def challenged(answer):
    """One challenge (RFC 6750 section 3)."""
    challenge = answer.header("WWW-Authenticate")
    if not challenge.startswith("Bearer ") or challenge.count("Bearer") > 1:
        raise Failed(f"not a challenge: {challenge!r}")


def identity(trial):
    """A valid token passes; the API hears who calls, and the request arrives whole."""
    told = trial.passes()
    expect_identity(trial, told, "plain")
    body = b"order " * 20_000
    told = trial.passes(method="POST", body=body, target="/orders/a%2Fb?x=1&y=%26")
    expect_identity(trial, told, "with a body")
    arrived = told["method"], told["target"], told["body"].encode()
    if arrived != ("POST", "/orders/a%2Fb?x=1&y=%26", body):
        raise Failed(f"the request changed on its way: {told['method']} {told['target']}")


def altered(trial):
    """No altered token passes, nor anything that is none."""
    head, payload, signature = trial.token.split(".")
    middle = len(signature) // 2
    other = "A" if signature[middle] != "A" else "B"
    for token in (
        f"{head}.{payload}.{signature[:middle]}{other}{signature[middle + 1:]}",
        f"{head}.{payload[:-4]}AAAA.{signature}",
        f"{head}.{payload}.",
        "eyJhbGciOiJub25lIn0." + payload + ".",
        "nonsense",
    ):
        challenged(trial.refused(bearer(token), statuses={401}))


def spoofed(trial):
    """Identity that a caller invents never reaches the API, in no spelling."""
    spellings = ("X-Jeton-{}", "x-jeton-{}", "X-JETON-{}", "X_Jeton_{}", "x_jeton-{}", "X-Jeton_{}",
                 "X.Jeton.{}", "X~Jeton!{}")
    tries = [[(spelling.format(name), STRANGER)] for spelling in spellings
             for name in ("Client-Id", "Subject", "Scope", "Token-Id")]
    tries += [[("X_Jeton_Client_Id", STRANGER)], [("X-Jeton-Client_Id", STRANGER)],
              [("X-Jeton-Scope", STRANGER)] * 2, [("X-Jeton-Subject", "")],
              [("X-Jeton-Subject", ""), ("x-jeton-subject", STRANGER)]]
    # Some gateways drop what the caller names here, after the true identity was put in.
    tries += [[("Connection", f"keep-alive, {name}")] for name in ("X-Jeton-Subject", "x-jeton-client-id")]
    for headers in tries:
        before = trial.upstream.reached
        answer = trial.send(bearer(trial.token), *headers)
        # In the plain spelling it is replaced; any other may also be refused.
        if answer.status == 200:
            expect_identity(trial, json.loads(answer.body), f"with {headers}")
        elif headers[0][0].lower() in PLAIN:
            raise Failed(f"with {headers}: refused with {answer.status} instead of replaced")
        elif trial.upstream.reached != before or not 400 <= answer.status < 500:
            raise Failed(f"with {headers}: {answer.status}")


def scope(trial):
    """Less scope than the recipe asks for is 403, and no query can ask for less."""
    token = trial.caller.token(scope="orders:write")
    for target in ("/orders/7", "/orders/7?scope=orders:write", f"/x?for=/&scope=orders:write&audience={AUDIENCE}"):
        answer = trial.refused(bearer(token), statuses={403}, target=target)
    both = trial.caller.token(scope="orders:write orders:read")
    trial.passes(token=both)
    if not answer.header("WWW-Authenticate"):
        return "ok, bare"
    if "insufficient_scope" not in answer.header("WWW-Authenticate"):
        raise Failed(f"another challenge: {answer.header('WWW-Authenticate')!r}")
    challenged(answer)


def audience(trial):
    """A token for somebody else does not pass."""
    token = trial.caller.token(audience=OTHER_AUDIENCE)
    trial.refused(bearer(token), statuses={401, 403})
    trial.refused(bearer(token), statuses={401, 403}, target=f"/orders?audience={OTHER_AUDIENCE}")


def in_the_url(trial):
    """A token in the URL does not count, and is refused beside one in the header."""
    target = f"/orders/7?access_token={trial.token}"
    trial.refused(statuses={400, 401}, target=target)
    trial.refused(bearer(trial.token), statuses={400, 401}, target=target)


def two_tokens(trial):
    """Of two tokens neither counts: gateway and API might take a different one each."""
    for pair in ((trial.token, "nonsense"), ("nonsense", trial.token)):
        trial.refused(*map(bearer, pair), statuses={400, 401, 403})


def bound(trial):
    """A bound token passes with a new proof for this very request, once, and is no bearer token. Where
    nobody can check proofs, none passes."""
    prover, thief = Prover(trial.jeton.place), Prover(trial.jeton.place)
    token = trial.caller.bound_token(prover)
    presented, url = ("Authorization", f"DPoP {token}"), f"{AUDIENCE}/orders/7"
    proof = prover.proof("GET", url, token)
    if not trial.gateway.checks_proofs:
        for headers in ([presented, proof], [bearer(token)], [bearer(token), proof]):
            trial.refused(*headers, statuses={401, 403})
        return "ok, none"
    told = trial.send(presented, proof, target="/orders/7?page=2")
    if told.status != 200:
        raise Failed(f"refused with {told.status} {told.header('WWW-Authenticate')!r}")
    for headers in (
        [presented],
        [presented, proof],
        [presented, thief.proof("GET", url, token)],
        [presented, prover.proof("POST", url, token)],
        [presented, prover.proof("GET", f"{AUDIENCE}/orders/8", token)],
        [presented, prover.proof("GET", "https://other.example.com/orders/7", token),
         ("X-Forwarded-Host", "other.example.com"), ("X-Forwarded-Proto", "https")],
        [bearer(token), prover.proof("GET", url, token)],
    ):
        answer = trial.refused(*headers, statuses={401})
        if "DPoP " not in answer.header("WWW-Authenticate"):
            raise Failed(f"not a challenge: {answer.header('WWW-Authenticate')!r}")
    invented = [("X-Forwarded-Uri", "/orders/8"), ("X-Forwarded-Method", "POST"), ("X-Original-URI", "/orders/8")]
    trial.refused(presented, prover.proof("POST", f"{AUDIENCE}/orders/8", token), *invented, statuses={401, 403})


def until_refused(trial, token, began):
    """How long it took until the token no longer passed; the promise holds from now on, not from `began`."""
    obeyed = time.monotonic() + PROMISE + ASKING
    while True:
        asked = time.monotonic()
        if trial.send(bearer(token)).status == 401:
            return f"{asked - began:.2f} s"
        if asked > obeyed:
            raise Failed(f"still passes after {asked - began:.2f} s")
        time.sleep(0.02)


def revoked(trial):
    """A revoked token no longer passes."""
    token = trial.caller.token()
    trial.passes(token=token)
    began = time.monotonic()
    trial.caller.revoke(token)
    took = until_refused(trial, token, began)
    trial.passes()
    return took


def disabled(trial):
    """The tokens of a disabled client no longer pass. It stays disabled."""
    trial.passes()
    began = time.monotonic()
    trial.caller.disable()
    return until_refused(trial, trial.token, began)


def silent(trial):
    """While jeton does not answer, nothing passes; afterwards everything is as before."""
    trial.passes()
    trial.jeton.process.suspend()
    try:
        began = time.monotonic()
        answer = closed(trial)
        took = time.monotonic() - began
    finally:
        trial.jeton.process.resume()
    trial.passes()
    return f"{took:.1f} s" if answer.status else f"> {PATIENCE:.0f} s"


def down(trial):
    """When jeton is gone, nothing passes; when it is back, no restart is needed."""
    trial.passes()
    trial.jeton.end()
    try:
        closed(trial)
    finally:
        trial.jeton.start()
    until = time.monotonic() + 5
    while trial.send(bearer(trial.token)).status != 200:
        if time.monotonic() > until:
            raise Failed("still closed 5 s after jeton came back")
        time.sleep(0.1)


def closed(trial):
    before = trial.upstream.reached
    answer = trial.send(bearer(trial.token))
    if trial.upstream.reached != before:
        raise Failed(f"reached the API, status {answer.status}")
    if answer != SILENCE and not (answer.status >= 500 or answer.status in (401, 403)):
        raise Failed(f"answered {answer.status}")
    return answer


def offline(trial):
    """Without jeton the keys fetched before go on deciding: a true token passes, an altered one does not."""
    trial.jeton.end()
    try:
        trial.passes()
        altered(trial)
    finally:
        trial.jeton.start()
    return "passes"


BOTH = (no_token, identity, altered, spoofed, scope, audience, in_the_url, two_tokens)
# Name of the row, check for gateways that ask, check for those that work offline.
ROWS = (
    *((check.__name__.replace("_", " "), check, check) for check in BOTH),
    ("bound", bound, None),
    ("revoked", revoked, None),
    ("jeton silent", silent, None),
    ("jeton down", down, offline),
    ("disabled", disabled, None),
)
