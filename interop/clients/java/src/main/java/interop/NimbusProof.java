package interop;

import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.gen.ECKeyGenerator;
import com.nimbusds.jose.util.Base64URL;
import com.nimbusds.jose.util.JSONObjectUtils;
import com.nimbusds.jose.util.X509CertUtils;
import com.nimbusds.jwt.SignedJWT;
import com.nimbusds.oauth2.sdk.ClientCredentialsGrant;
import com.nimbusds.oauth2.sdk.ErrorObject;
import com.nimbusds.oauth2.sdk.GeneralException;
import com.nimbusds.oauth2.sdk.OAuth2Error;
import com.nimbusds.oauth2.sdk.Scope;
import com.nimbusds.oauth2.sdk.TokenRequest;
import com.nimbusds.oauth2.sdk.TokenResponse;
import com.nimbusds.oauth2.sdk.auth.ClientAuthentication;
import com.nimbusds.oauth2.sdk.auth.JWTAuthenticationClaimsSet;
import com.nimbusds.oauth2.sdk.auth.PKITLSClientAuthentication;
import com.nimbusds.oauth2.sdk.auth.PrivateKeyJWT;
import com.nimbusds.oauth2.sdk.auth.SelfSignedTLSClientAuthentication;
import com.nimbusds.oauth2.sdk.dpop.DPoPProofFactory;
import com.nimbusds.oauth2.sdk.dpop.DefaultDPoPProofFactory;
import com.nimbusds.oauth2.sdk.id.Audience;
import com.nimbusds.oauth2.sdk.id.ClientID;
import com.nimbusds.oauth2.sdk.token.AccessToken;
import com.nimbusds.openid.connect.sdk.Nonce;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManagerFactory;

/** Nimbus OAuth 2.0 SDK without secrets: assertions, certificates and DPoP as objects, nonces by hand. */
public final class NimbusProof {
    private interface Act {
        void run() throws Exception;
    }

    private final Map<String, Object> facts;
    private int failures;

    private NimbusProof(Map<String, Object> facts) {
        this.facts = facts;
    }

    public static void main(String[] arguments) throws Exception {
        var proof = new NimbusProof(JSONObjectUtils.parse(Files.readString(Path.of(System.getenv("INTEROP_FACTS")))));
        proof.run();
    }

    private void run() {
        System.out.println("version\t" + Checks.version(TokenRequest.class));
        // It refuses to make an assertion with EdDSA.
        for (var algorithm : List.of("ES256", "PS256")) {
            check("private_key_jwt", algorithm, () -> bearer(fetch("main", keyed("main", algorithm), socket(null), false)));
        }
        check("refused", "another key", () -> refused(OAuth2Error.INVALID_CLIENT,
                () -> fetch("main", keyed("main", "other"), socket(null), false)));
        check("refused", "unbound", () -> refused(OAuth2Error.INVALID_REQUEST,
                () -> fetch("fapi2", keyed("fapi2", "ES256"), socket(null), false)));
        check("tls_client_auth", "yes", () -> bound("tls", fetch("main", pki(), socket("tls"), false)));
        check("self_signed", "yes", () -> bound("self", fetch("main", selfSigned(), socket("self"), false)));
        check("DPoP", "key", () -> fetch("main", keyed("main", "ES256"), socket(null), true));
        check("nonce", "key", () -> fetch("nonce", keyed("nonce", "ES256"), socket(null), true));
        check("fapi2", "key+DPoP", () -> fetch("fapi2", keyed("fapi2", "PS256"), socket(null), true));
        check("fapi2", "mTLS+mTLS", () -> bound("tls", fetch("fapi2", pki(), socket("tls"), false)));
        check("fapi2", "mTLS+DPoP", () -> fetch("fapi2", pki(), socket("tls"), true));
        System.exit(failures == 0 ? 0 : 1);
    }

    private void check(String name, String detail, Act act) {
        try {
            act.run();
            System.out.println("ok\t" + name + "\t" + detail);
        } catch (Exception error) {
            failures++;
            error.printStackTrace();
            System.out.println("failed\t" + name + " " + detail + "\t" + String.valueOf(error).replaceAll("\\s+", " "));
        }
    }

    /** Makes the client's proof anew for each request. */
    private interface Authentication {
        ClientAuthentication make() throws Exception;
    }

    private AccessToken fetch(String realm, Authentication authentication, SSLSocketFactory socket, boolean dpop)
            throws Exception {
        var key = new ECKeyGenerator(Curve.P_256).generate();
        var factory = dpop ? new DefaultDPoPProofFactory(key, JWSAlgorithm.ES256) : null;
        var response = send(realm, authentication, socket, factory, null);
        if (dpop && response.getDPoPNonce() != null && !response.indicatesSuccess()) {
            response = send(realm, authentication, socket, factory, response.getDPoPNonce());
        }
        var parsed = TokenResponse.parse(response);
        if (!parsed.indicatesSuccess()) {
            throw new GeneralException(parsed.toErrorResponse().getErrorObject());
        }
        var token = parsed.toSuccessResponse().getTokens().getAccessToken();
        if (dpop) {
            expect("DPoP", token.getType().getValue());
            expect(key.computeThumbprint().toString(), confirmation(token).get("jkt"));
        }
        return token;
    }

    private com.nimbusds.oauth2.sdk.http.HTTPResponse send(String realm, Authentication authentication,
            SSLSocketFactory socket, DPoPProofFactory factory, Nonce nonce) throws Exception {
        var endpoint = URI.create(fact("realms", realm, "token_endpoint"));
        var request = new TokenRequest.Builder(endpoint, authentication.make(), new ClientCredentialsGrant())
                .scope(Scope.parse((String) facts.get("scope")))
                .build()
                .toHTTPRequest();
        request.setSSLSocketFactory(socket);
        if (factory != null) {
            request.setDPoP(factory.createDPoPJWT("POST", endpoint, nonce));
        }
        return request.send();
    }

    private Authentication keyed(String realm, String name) {
        return () -> {
            var id = new ClientID(fact("keys", name, "id"));
            var claims = new JWTAuthenticationClaimsSet(id, new Audience(fact("realms", realm, "issuer")));
            var algorithm = JWSAlgorithm.parse(fact("keys", name, "algorithm"));
            var encoded = pem(fact("keys", name, "key"));
            var kind = algorithm.equals(JWSAlgorithm.ES256) ? "EC" : "RSA";
            return new PrivateKeyJWT(claims, algorithm, privateKey(kind, encoded), fact("keys", name, "kid"), null);
        };
    }

    private Authentication pki() {
        return () -> new PKITLSClientAuthentication(new ClientID("tls"), socket("tls"));
    }

    private Authentication selfSigned() {
        return () -> new SelfSignedTLSClientAuthentication(new ClientID("self"), socket("self"));
    }

    /** Trusts the server, and shows this certificate. */
    private SSLSocketFactory socket(String shown) throws Exception {
        var trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        trusted.setCertificateEntry("authority", certificate((String) facts.get("authority")));
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        var own = KeyStore.getInstance("PKCS12");
        own.load(null, null);
        if (shown != null) {
            var key = privateKey("EC", pem(fact("certificates", shown, "key")));
            own.setKeyEntry("own", key, new char[0],
                    new X509Certificate[] {certificate(fact("certificates", shown, "certificate"))});
        }
        // Shown whoever the server names: one that is self-signed has no issuer that it could name.
        var keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(own, new char[0]);
        var context = SSLContext.getInstance("TLS");
        context.init(shown == null ? null : new javax.net.ssl.KeyManager[] {new Always(keys)}, trust.getTrustManagers(), null);
        return context.getSocketFactory();
    }

    /** The one certificate, whichever authorities the server names. */
    private static final class Always extends javax.net.ssl.X509ExtendedKeyManager {
        private final javax.net.ssl.X509ExtendedKeyManager keys;

        Always(KeyManagerFactory factory) {
            keys = (javax.net.ssl.X509ExtendedKeyManager) factory.getKeyManagers()[0];
        }

        @Override
        public String chooseClientAlias(String[] kinds, java.security.Principal[] issuers, java.net.Socket socket) {
            return keys.chooseClientAlias(kinds, null, socket);
        }

        @Override
        public String[] getClientAliases(String kind, java.security.Principal[] issuers) {
            return keys.getClientAliases(kind, null);
        }

        @Override
        public String[] getServerAliases(String kind, java.security.Principal[] issuers) {
            return null;
        }

        @Override
        public String chooseServerAlias(String kind, java.security.Principal[] issuers, java.net.Socket socket) {
            return null;
        }

        @Override
        public X509Certificate[] getCertificateChain(String alias) {
            return keys.getCertificateChain(alias);
        }

        @Override
        public PrivateKey getPrivateKey(String alias) {
            return keys.getPrivateKey(alias);
        }
    }

    private void bearer(AccessToken token) throws Exception {
        expect("Bearer", token.getType().getValue());
        if (!confirmation(token).isEmpty()) {
            throw new IllegalStateException("it is bound");
        }
    }

    private void bound(String name, AccessToken token) throws Exception {
        var der = certificate(fact("certificates", name, "certificate")).getEncoded();
        var thumbprint = Base64URL.encode(MessageDigest.getInstance("SHA-256").digest(der));
        expect(thumbprint.toString(), confirmation(token).get("x5t#S256"));
    }

    private static void refused(ErrorObject wanted, Act act) throws Exception {
        try {
            act.run();
        } catch (GeneralException error) {
            if (wanted.equals(error.getErrorObject())) {
                return;
            }
            throw error;
        }
        throw new IllegalStateException("a token came back");
    }

    private static Map<String, Object> confirmation(AccessToken token) throws Exception {
        var claims = SignedJWT.parse(token.getValue()).getJWTClaimsSet();
        var found = claims.getJSONObjectClaim("cnf");
        return found == null ? Map.of() : found;
    }

    private static void expect(String wanted, Object found) {
        if (!wanted.equals(found)) {
            throw new IllegalStateException(found + " instead of " + wanted);
        }
    }

    @SuppressWarnings("unchecked")
    private String fact(String group, String name, String member) {
        return ((Map<String, Map<String, String>>) facts.get(group)).get(name).get(member);
    }

    private static byte[] pem(String path) throws Exception {
        var text = Files.readString(Path.of(path)).replaceAll("-----[A-Z ]+-----", "");
        return Base64.getMimeDecoder().decode(text);
    }

    private static PrivateKey privateKey(String kind, byte[] encoded) throws Exception {
        return KeyFactory.getInstance(kind).generatePrivate(new PKCS8EncodedKeySpec(encoded));
    }

    private static X509Certificate certificate(String path) throws Exception {
        return X509CertUtils.parse(Files.readString(Path.of(path)));
    }
}
