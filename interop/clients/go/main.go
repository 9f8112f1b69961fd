// Puts golang.org/x/oauth2/clientcredentials through the checks; go-jose verifies the tokens.
//
// It prints one line a check, divided by tabs.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

type credentials struct{ ID, Secret string }

type realm struct {
	Algorithm     string
	Issuer        string
	TokenEndpoint string `json:"token_endpoint"`
	JwksURI       string `json:"jwks_uri"`
	Clients       map[string]credentials
}

var facts struct {
	Scope, Audience string
	Realms          []realm
}

var failures int

func check(name string, err error) {
	if err == nil {
		fmt.Printf("ok\t%s\n", name)
		return
	}
	failures++
	fmt.Printf("failed\t%s\t%s\n", name, strings.Join(strings.Fields(err.Error()), " "))
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "proof" {
		prove()
		return
	}
	bytes, err := os.ReadFile(os.Getenv("INTEROP_FACTS"))
	if err == nil {
		err = json.Unmarshal(bytes, &facts)
	}
	if err != nil || len(facts.Realms) == 0 {
		fmt.Fprintln(os.Stderr, "no facts:", err)
		os.Exit(2)
	}
	fmt.Printf("version\t%s\n", version())
	first := facts.Realms[0]
	styles := []struct {
		name  string
		style oauth2.AuthStyle
	}{{"basic", oauth2.AuthStyleInHeader}, {"post", oauth2.AuthStyleInParams}}
	for _, method := range styles {
		for _, kind := range []string{"plain", "hard", "umlaut", "colon"} {
			_, err := tokenOf(first, kind, method.style)
			check(kind+" "+method.name, err)
		}
		check("wrong secret "+method.name, refused(first, method.style))
	}
	// What a program gets that does not choose: it tries the header first.
	_, err = tokenOf(first, "hard", oauth2.AuthStyleAutoDetect)
	check("left to find out", err)
	check("wrong secret left to find out", refused(first, oauth2.AuthStyleAutoDetect))
	check("another token each time", differ(first))
	for at, realm := range facts.Realms {
		token, err := tokenOf(realm, "plain", oauth2.AuthStyleInHeader)
		if err == nil {
			err = verify(token, realm, realm)
		}
		check("verified\tgo-jose\t"+realm.Algorithm, err)
		other := facts.Realms[(at+1)%len(facts.Realms)]
		if verify(token, realm, other) == nil {
			err = errors.New("another realm's keys verified it")
		}
		check("go-jose refuses "+realm.Algorithm+" of another realm", err)
	}
	if failures > 0 {
		os.Exit(1)
	}
}

func version() string {
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, module := range build.Deps {
			if module.Path == "golang.org/x/oauth2" {
				return strings.TrimPrefix(module.Version, "v")
			}
		}
	}
	return "unknown"
}

func fetch(realm realm, client credentials, style oauth2.AuthStyle) (string, error) {
	context, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	config := clientcredentials.Config{
		ClientID:     client.ID,
		ClientSecret: client.Secret,
		TokenURL:     realm.TokenEndpoint,
		Scopes:       strings.Fields(facts.Scope),
		AuthStyle:    style,
	}
	token, err := config.Token(context)
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}

func tokenOf(realm realm, kind string, style oauth2.AuthStyle) (string, error) {
	client := realm.Clients[kind]
	token, err := fetch(realm, client, style)
	if err != nil {
		return "", err
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(realm.Algorithm)})
	if err != nil {
		return "", err
	}
	var claims struct {
		ClientID string `json:"client_id"`
		Sub      string `json:"sub"`
		Scope    string `json:"scope"`
	}
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return "", err
	}
	if claims.ClientID != client.ID || claims.Sub != client.ID || claims.Scope != facts.Scope {
		return "", fmt.Errorf("other claims than asked for: %+v", claims)
	}
	return token, nil
}

func refused(realm realm, style oauth2.AuthStyle) error {
	_, err := fetch(realm, credentials{realm.Clients["plain"].ID, "wrong"}, style)
	var retrieve *oauth2.RetrieveError
	if errors.As(err, &retrieve) && retrieve.ErrorCode == "invalid_client" && retrieve.Response.StatusCode == 401 {
		return nil
	}
	return fmt.Errorf("not refused as invalid_client: %v", err)
}

func differ(realm realm) error {
	one, err := tokenOf(realm, "plain", oauth2.AuthStyleInHeader)
	if err != nil {
		return err
	}
	another, err := tokenOf(realm, "plain", oauth2.AuthStyleInHeader)
	if err == nil && one == another {
		err = errors.New("the same token twice")
	}
	return err
}

func verify(token string, realm, keysOf realm) error {
	answer, err := http.Get(keysOf.JwksURI)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var keys jose.JSONWebKeySet
	if err := json.NewDecoder(answer.Body).Decode(&keys); err != nil {
		return err
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(realm.Algorithm)})
	if err != nil {
		return err
	}
	if kind := parsed.Headers[0].ExtraHeaders[jose.HeaderType]; kind != "at+jwt" {
		return fmt.Errorf("typ is %v", kind)
	}
	var claims jwt.Claims
	if err := parsed.Claims(keys, &claims); err != nil {
		return err
	}
	return claims.Validate(jwt.Expected{
		Issuer:      realm.Issuer,
		AnyAudience: jwt.Audience{facts.Audience},
		Time:        time.Now(),
	})
}
