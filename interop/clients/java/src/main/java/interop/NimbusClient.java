package interop;

import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.crypto.Ed25519Verifier;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.source.ImmutableJWKSet;
import com.nimbusds.jose.proc.BadJOSEException;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import com.nimbusds.oauth2.sdk.ClientCredentialsGrant;
import com.nimbusds.oauth2.sdk.GeneralException;
import com.nimbusds.oauth2.sdk.OAuth2Error;
import com.nimbusds.oauth2.sdk.Scope;
import com.nimbusds.oauth2.sdk.TokenIntrospectionRequest;
import com.nimbusds.oauth2.sdk.TokenIntrospectionResponse;
import com.nimbusds.oauth2.sdk.TokenRequest;
import com.nimbusds.oauth2.sdk.TokenResponse;
import com.nimbusds.oauth2.sdk.TokenRevocationRequest;
import com.nimbusds.oauth2.sdk.auth.ClientAuthentication;
import com.nimbusds.oauth2.sdk.auth.ClientSecretBasic;
import com.nimbusds.oauth2.sdk.auth.ClientSecretPost;
import com.nimbusds.oauth2.sdk.auth.Secret;
import com.nimbusds.oauth2.sdk.id.ClientID;
import com.nimbusds.oauth2.sdk.token.BearerAccessToken;
import java.net.URI;
import java.util.List;
import java.util.Set;

/** Nimbus OAuth 2.0 SDK: request and answer as objects; its JOSE library verifies, Ed25519 with Tink. */
final class NimbusClient implements Checks.Asking {
    private final Checks checks;

    private NimbusClient(Checks checks) {
        this.checks = checks;
    }

    public static void main(String[] arguments) throws Exception {
        var checks = new Checks();
        checks.run(new NimbusClient(checks), TokenRequest.class, "Nimbus JOSE", List.of("EdDSA", "ES256", "RS256"));
    }

    @Override
    public String fetch(Checks.Realm realm, Checks.Credentials credentials, String method) throws Exception {
        ClientAuthentication authentication = basic(credentials);
        if (method.equals("post")) {
            authentication = new ClientSecretPost(new ClientID(credentials.id()), new Secret(credentials.secret()));
        }
        var request = new TokenRequest.Builder(
                        URI.create(realm.tokenEndpoint()), authentication, new ClientCredentialsGrant())
                .scope(Scope.parse(checks.scope))
                .build();
        var response = TokenResponse.parse(request.toHTTPRequest().send());
        if (!response.indicatesSuccess()) {
            throw new GeneralException(response.toErrorResponse().getErrorObject());
        }
        return response.toSuccessResponse().getTokens().getAccessToken().getValue();
    }

    @Override
    public boolean isActive(Checks.Realm realm, Checks.Credentials credentials, String token) throws Exception {
        var endpoint = URI.create(realm.introspectionEndpoint());
        var request = new TokenIntrospectionRequest(endpoint, basic(credentials), new BearerAccessToken(token));
        var response = TokenIntrospectionResponse.parse(request.toHTTPRequest().send());
        if (!response.indicatesSuccess()) {
            throw new GeneralException(response.toErrorResponse().getErrorObject());
        }
        return response.toSuccessResponse().isActive();
    }

    @Override
    public void revoke(Checks.Realm realm, Checks.Credentials credentials, String token) throws Exception {
        var endpoint = URI.create(realm.revocationEndpoint());
        var request = new TokenRevocationRequest(endpoint, basic(credentials), new BearerAccessToken(token));
        request.toHTTPRequest().send().ensureStatusCode(200);
    }

    private static ClientSecretBasic basic(Checks.Credentials credentials) {
        return new ClientSecretBasic(new ClientID(credentials.id()), new Secret(credentials.secret()));
    }

    @Override
    public boolean isInvalidClient(Exception error) {
        return error instanceof GeneralException refused
                && OAuth2Error.INVALID_CLIENT.equals(refused.getErrorObject())
                && refused.getErrorObject().getHTTPStatusCode() == 401;
    }

    @Override
    public void verify(String token, Checks.Realm realm, Checks.Realm keysOf) throws Exception {
        var keys = JWKSet.load(URI.create(keysOf.jwksUri()).toURL());
        var exact = new JWTClaimsSet.Builder().issuer(realm.issuer()).build();
        var claims = new DefaultJWTClaimsVerifier<SecurityContext>(
                checks.audience, exact, Set.of("exp", "iat", "sub", "jti", "client_id"));
        if (realm.algorithm().equals("EdDSA")) {
            // The processor below knows no Ed25519; the verifier does.
            var signed = SignedJWT.parse(token);
            var key = keys.getKeyByKeyId(signed.getHeader().getKeyID());
            if (key == null || !signed.verify(new Ed25519Verifier(key.toPublicJWK().toOctetKeyPair()))) {
                throw new BadJOSEException("no key, or another");
            }
            claims.verify(signed.getJWTClaimsSet(), null);
            return;
        }
        var processor = new DefaultJWTProcessor<SecurityContext>();
        processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("at+jwt")));
        processor.setJWSKeySelector(
                new JWSVerificationKeySelector<>(JWSAlgorithm.parse(realm.algorithm()), new ImmutableJWKSet<>(keys)));
        processor.setJWTClaimsSetVerifier(claims);
        processor.process(token, null);
    }
}
