package interop;

import com.nimbusds.jose.util.JSONObjectUtils;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** What every Java client is put through, and what is printed about it: one line a check, divided by tabs. */
final class Checks {
    /** Who asks for a token. */
    record Credentials(String id, String secret) {}

    /** Where to ask. */
    record Realm(String algorithm, String issuer, String tokenEndpoint, String jwksUri, String introspectionEndpoint, String revocationEndpoint,
            Map<String, Credentials> clients) {}

    /** What a client brings: its way to a token, and its own error type. */
    interface Client {
        String fetch(Realm realm, Credentials credentials, String method) throws Exception;

        boolean isInvalidClient(Exception error);

        /** Verifies a token of the realm with the keys of that other realm. */
        void verify(String token, Realm realm, Realm keysOf) throws Exception;
    }

    /** A client that asks about tokens and takes them back, too. */
    interface Asking extends Client {
        boolean isActive(Realm realm, Credentials credentials, String token) throws Exception;

        void revoke(Realm realm, Credentials credentials, String token) throws Exception;
    }

    /** Something that may fail. */
    interface Act {
        void run() throws Exception;
    }

    final String scope;
    final String audience;
    private final List<Realm> realms = new ArrayList<>();
    private int failures;

    Checks() throws Exception {
        var facts = JSONObjectUtils.parse(Files.readString(Path.of(System.getenv("INTEROP_FACTS"))));
        scope = JSONObjectUtils.getString(facts, "scope");
        audience = JSONObjectUtils.getString(facts, "audience");
        for (var realm : JSONObjectUtils.getJSONObjectArray(facts, "realms")) {
            var clients = new java.util.HashMap<String, Credentials>();
            var told = JSONObjectUtils.getJSONObject(realm, "clients");
            for (var kind : told.keySet()) {
                var client = JSONObjectUtils.getJSONObject(told, kind);
                clients.put(kind, new Credentials((String) client.get("id"), (String) client.get("secret")));
            }
            realms.add(new Realm(
                    (String) realm.get("algorithm"),
                    (String) realm.get("issuer"),
                    (String) realm.get("token_endpoint"),
                    (String) realm.get("jwks_uri"),
                    (String) realm.get("introspection_endpoint"),
                    (String) realm.get("revocation_endpoint"),
                    clients));
        }
    }

    /** Runs everything and ends the process. */
    void run(Client client, Class<?> published, String verifier, List<String> algorithms) {
        System.out.println("version\t" + version(published));
        var realm = realms.get(0);
        for (var method : List.of("basic", "post")) {
            for (var kind : List.of("plain", "hard", "umlaut", "colon")) {
                check(kind + " " + method, () -> token(client, realm, kind, method));
            }
            check("wrong secret " + method, () -> refused(client, realm, method));
        }
        check("another token each time", () -> {
            if (token(client, realm, "plain", "basic").equals(token(client, realm, "plain", "basic"))) {
                throw new IllegalStateException("the same token twice");
            }
        });
        if (client instanceof Asking asking) {
            check("introspected", () -> introspected(asking, realm));
            check("revoked", () -> revoked(asking, realm));
        }
        for (var at = 0; at < realms.size(); at++) {
            var signed = realms.get(at);
            var other = realms.get((at + 1) % realms.size());
            if (algorithms.contains(signed.algorithm())) {
                check("verified\t" + verifier + "\t" + signed.algorithm(),
                        () -> client.verify(token(client, signed, "plain", "basic"), signed, signed));
                check(verifier + " refuses " + signed.algorithm() + " of another realm",
                        () -> notVerified(client, signed, other));
            }
        }
        System.exit(failures == 0 ? 0 : 1);
    }

    private void check(String name, Act act) {
        try {
            act.run();
            System.out.println("ok\t" + name);
        } catch (Exception error) {
            failures++;
            error.printStackTrace();
            System.out.println("failed\t" + name + "\t" + String.valueOf(error).replaceAll("\\s+", " "));
        }
    }

    private String token(Client client, Realm realm, String kind, String method) throws Exception {
        var credentials = realm.clients().get(kind);
        var token = client.fetch(realm, credentials, method);
        JWTClaimsSet claims = SignedJWT.parse(token).getJWTClaimsSet();
        var found = List.of(claims.getStringClaim("client_id"), claims.getSubject(), claims.getStringClaim("scope"));
        if (!found.equals(List.of(credentials.id(), credentials.id(), scope))) {
            throw new IllegalStateException("other claims than asked for: " + found);
        }
        return token;
    }

    private static void refused(Client client, Realm realm, String method) throws Exception {
        try {
            client.fetch(realm, new Credentials(realm.clients().get("plain").id(), "wrong"), method);
        } catch (Exception error) {
            if (client.isInvalidClient(error)) {
                return;
            }
            throw error;
        }
        throw new IllegalStateException("a token came back");
    }

    private void introspected(Asking client, Realm realm) throws Exception {
        var token = token(client, realm, "hard", "basic");
        var hard = realm.clients().get("hard");
        // Other clients' tokens are none of its business.
        if (!client.isActive(realm, hard, token)
                || client.isActive(realm, hard, token.substring(8))
                || client.isActive(realm, realm.clients().get("plain"), token)) {
            throw new IllegalStateException("the wrong answer about a token");
        }
    }

    private void revoked(Asking client, Realm realm) throws Exception {
        var token = token(client, realm, "hard", "basic");
        client.revoke(realm, realm.clients().get("hard"), token);
        if (client.isActive(realm, realm.clients().get("hard"), token)) {
            throw new IllegalStateException("still active");
        }
    }

    private void notVerified(Client client, Realm realm, Realm other) throws Exception {
        var token = token(client, realm, "plain", "basic");
        try {
            client.verify(token, realm, other);
        } catch (com.nimbusds.jose.proc.BadJOSEException
                | org.springframework.security.oauth2.jwt.JwtException expected) {
            return;
        }
        throw new IllegalStateException("another realm's keys verified it");
    }

    /** The version in the name of the jar, because not every manifest has it. */
    static String version(Class<?> published) {
        var jar = Path.of(published.getProtectionDomain().getCodeSource().getLocation().getPath()).getFileName().toString();
        return jar.replaceAll("^.*?-([0-9][^-]*)\\.jar$", "$1");
    }
}
