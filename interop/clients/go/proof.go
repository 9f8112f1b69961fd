package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// What a client is told that has no secret.
var proofFacts struct {
	Scope     string
	Authority string
	Realms    map[string]struct {
		Issuer        string
		TokenEndpoint string `json:"token_endpoint"`
	}
	Keys         map[string]struct{ ID, Algorithm, Kid, Key string }
	Certificates map[string]struct{ ID, Certificate, Key string }
}

// prove puts x/oauth2 through what it can without a secret: an assertion by go-jose among its parameters, and a
// certificate of its HTTP client. It knows no DPoP.
func prove() {
	bytes, err := os.ReadFile(os.Getenv("INTEROP_FACTS"))
	if err == nil {
		err = json.Unmarshal(bytes, &proofFacts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "no facts:", err)
		os.Exit(2)
	}
	fmt.Printf("version\t%s\n", version())
	for _, algorithm := range []string{"ES256", "PS256", "EdDSA"} {
		cnf, err := byKey("main", algorithm)
		if err == nil && len(cnf) > 0 {
			err = fmt.Errorf("it is bound: %v", cnf)
		}
		tell("private_key_jwt", algorithm, err)
	}
	_, err = byKey("main", "other")
	tell("refused", "another key", isRefused(err, "invalid_client"))
	_, err = byKey("fapi2", "ES256")
	tell("refused", "unbound", isRefused(err, ""))
	tell("tls_client_auth", "yes", byCertificate("main", "tls"))
	tell("self_signed", "yes", byCertificate("main", "self"))
	tell("fapi2", "mTLS+mTLS", byCertificate("fapi2", "tls"))
	if failures > 0 {
		os.Exit(1)
	}
}

func tell(name, detail string, err error) {
	if err == nil {
		fmt.Printf("ok\t%s\t%s\n", name, detail)
		return
	}
	failures++
	fmt.Printf("failed\t%s %s\t%s\n", name, detail, strings.Join(strings.Fields(err.Error()), " "))
}

func isRefused(err error, code string) error {
	var retrieve *oauth2.RetrieveError
	if errors.As(err, &retrieve) && retrieve.ErrorCode != "" && (code == "" || retrieve.ErrorCode == code) {
		return nil
	}
	return fmt.Errorf("not refused as it should be: %v", err)
}

func byKey(realm, name string) (map[string]string, error) {
	key := proofFacts.Keys[name]
	assertion, err := assertion(realm, name)
	if err != nil {
		return nil, err
	}
	more := url.Values{
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}
	return confirmation(realm, key.ID, more, tls.Certificate{})
}

func byCertificate(realm, name string) error {
	shown := proofFacts.Certificates[name]
	pair, err := tls.LoadX509KeyPair(shown.Certificate, shown.Key)
	if err != nil {
		return err
	}
	cnf, err := confirmation(realm, shown.ID, nil, pair)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(pair.Certificate[0])
	if wanted := base64.RawURLEncoding.EncodeToString(digest[:]); cnf["x5t#S256"] != wanted {
		return fmt.Errorf("bound to %v, not to %s", cnf, wanted)
	}
	return nil
}

func assertion(realm, name string) (string, error) {
	fact := proofFacts.Keys[name]
	text, err := os.ReadFile(fact.Key)
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return "", errors.New("no PEM")
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return "", err
	}
	signing := jose.SigningKey{
		Algorithm: jose.SignatureAlgorithm(fact.Algorithm),
		Key:       jose.JSONWebKey{Key: private, KeyID: fact.Kid},
	}
	signer, err := jose.NewSigner(signing, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	now := time.Now()
	return jwt.Signed(signer).Claims(jwt.Claims{
		Issuer:   fact.ID,
		Subject:  fact.ID,
		Audience: jwt.Audience{proofFacts.Realms[realm].Issuer},
		IssuedAt: jwt.NewNumericDate(now),
		Expiry:   jwt.NewNumericDate(now.Add(time.Minute)),
		ID:       fmt.Sprintf("%s-%s-%d", realm, name, now.UnixNano()),
	}).Serialize()
}

// confirmation fetches a token and gives what it is bound to.
func confirmation(realm, id string, more url.Values, shown tls.Certificate) (map[string]string, error) {
	text, err := os.ReadFile(proofFacts.Authority)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	// Shown whichever authorities the server names.
	show := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &shown, nil }
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, GetClientCertificate: show}}
	defer transport.CloseIdleConnections()
	background, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	config := clientcredentials.Config{
		ClientID:       id,
		TokenURL:       proofFacts.Realms[realm].TokenEndpoint,
		Scopes:         strings.Fields(proofFacts.Scope),
		EndpointParams: more,
		AuthStyle:      oauth2.AuthStyleInParams,
	}
	token, err := config.Token(context.WithValue(background, oauth2.HTTPClient, &http.Client{Transport: transport}))
	if err != nil {
		return nil, err
	}
	parsed, err := jwt.ParseSigned(token.AccessToken, []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256, jose.PS256})
	if err != nil {
		return nil, err
	}
	var claims struct {
		Cnf map[string]string `json:"cnf"`
	}
	err = parsed.UnsafeClaimsWithoutVerification(&claims)
	return claims.Cnf, err
}
