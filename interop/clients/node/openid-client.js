// openid-client: finds the endpoints by discovery, then asks for a token.

import * as client from 'openid-client';
import { facts, run } from './checks.js';

// The server is on loopback; discovery by RFC 8414, since a realm is no OpenID provider.
const options = { execute: [client.allowInsecureRequests], algorithm: 'oauth2' };

function discover({ issuer }, { id, secret }, method = 'basic') {
  const authentication = method === 'basic' ? client.ClientSecretBasic(secret) : client.ClientSecretPost(secret);
  return client.discovery(new URL(issuer), id, undefined, authentication, options);
}

async function fetchToken(realm, credentials, method) {
  const configuration = await discover(realm, credentials, method);
  return (await client.clientCredentialsGrant(configuration, { scope: facts.scope })).access_token;
}

async function isActive(realm, credentials, token) {
  return (await client.tokenIntrospection(await discover(realm, credentials), token)).active;
}

async function revoke(realm, credentials, token) {
  await client.tokenRevocation(await discover(realm, credentials), token);
}

// A refusal with WWW-Authenticate is another type than one without.
function isInvalidClient(error) {
  if (error instanceof client.WWWAuthenticateChallengeError) {
    return error.status === 401 && error.cause[0].scheme === 'basic';
  }
  return error instanceof client.ResponseBodyError && error.error === 'invalid_client';
}

await run('openid-client', { fetchToken, isInvalidClient, isActive, revoke });
