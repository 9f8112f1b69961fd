package interop;

import java.util.List;
import org.springframework.security.oauth2.client.endpoint.OAuth2ClientCredentialsGrantRequest;
import org.springframework.security.oauth2.client.endpoint.RestClientClientCredentialsTokenResponseClient;
import org.springframework.security.oauth2.client.registration.ClientRegistration;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.ClientAuthenticationMethod;
import org.springframework.security.oauth2.core.OAuth2AuthorizationException;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.web.client.HttpClientErrorException;

/** Spring Security's OAuth2 client, with the HTTP client it comes with; its resource server's decoder verifies. */
final class SpringClient implements Checks.Client {
    private final Checks checks;
    private final RestClientClientCredentialsTokenResponseClient tokens = new RestClientClientCredentialsTokenResponseClient();

    private SpringClient(Checks checks) {
        this.checks = checks;
    }

    public static void main(String[] arguments) throws Exception {
        var checks = new Checks();
        // The decoder knows no Ed25519.
        checks.run(new SpringClient(checks), ClientRegistration.class, "Spring", List.of("ES256", "RS256"));
    }

    @Override
    public String fetch(Checks.Realm realm, Checks.Credentials credentials, String method) {
        var registration = ClientRegistration.withRegistrationId("jeton")
                .clientId(credentials.id())
                .clientSecret(credentials.secret())
                .clientAuthenticationMethod(
                        method.equals("basic")
                                ? ClientAuthenticationMethod.CLIENT_SECRET_BASIC
                                : ClientAuthenticationMethod.CLIENT_SECRET_POST)
                .authorizationGrantType(AuthorizationGrantType.CLIENT_CREDENTIALS)
                .scope(checks.scope.split(" "))
                .tokenUri(realm.tokenEndpoint())
                .build();
        var response = tokens.getTokenResponse(new OAuth2ClientCredentialsGrantRequest(registration));
        return response.getAccessToken().getTokenValue();
    }

    /** Spring takes the error code out of a 400 alone; a 401 stands behind its own error, whole. */
    @Override
    public boolean isInvalidClient(Exception error) {
        return error instanceof OAuth2AuthorizationException refused
                && refused.getCause() instanceof HttpClientErrorException.Unauthorized unauthorized
                && unauthorized.getResponseBodyAsString().contains("\"invalid_client\"");
    }

    @Override
    public void verify(String token, Checks.Realm realm, Checks.Realm keysOf) {
        var decoder = NimbusJwtDecoder.withJwkSetUri(keysOf.jwksUri())
                .jwsAlgorithm(SignatureAlgorithm.from(realm.algorithm()))
                .validateType(false)
                .build();
        // RFC 9068, the type included.
        decoder.setJwtValidator(JwtValidators.createAtJwtValidator()
                .issuer(realm.issuer())
                .audience(checks.audience)
                .clientId(realm.clients().get("plain").id())
                .build());
        decoder.decode(token);
    }
}
