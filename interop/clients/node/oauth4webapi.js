// oauth4webapi: discovery, request and answer one by one; it checks access tokens by RFC 9068, too.

import * as oauth from 'oauth4webapi';
import { facts, run } from './checks.js';

// The server is on loopback.
const insecure = { [oauth.allowInsecureRequests]: true };

async function discover({ issuer }) {
  const url = new URL(issuer);
  const response = await oauth.discoveryRequest(url, { ...insecure, algorithm: 'oauth2' });
  return oauth.processDiscoveryResponse(url, response);
}

async function fetchToken(realm, { id, secret }, method) {
  const server = await discover(realm);
  const client = { client_id: id };
  const authentication = method === 'basic' ? oauth.ClientSecretBasic(secret) : oauth.ClientSecretPost(secret);
  const parameters = new URLSearchParams({ scope: facts.scope });
  const response = await oauth.clientCredentialsGrantRequest(server, client, authentication, parameters, insecure);
  return (await oauth.processClientCredentialsResponse(server, client, response)).access_token;
}

async function isActive(realm, { id, secret }, token) {
  const server = await discover(realm);
  const client = { client_id: id };
  const response = await oauth.introspectionRequest(server, client, oauth.ClientSecretBasic(secret), token, insecure);
  return (await oauth.processIntrospectionResponse(server, client, response)).active;
}

async function revoke(realm, { id, secret }, token) {
  const server = await discover(realm);
  const client = { client_id: id };
  const response = await oauth.revocationRequest(server, client, oauth.ClientSecretBasic(secret), token, insecure);
  await oauth.processRevocationResponse(response);
}

// A refusal with WWW-Authenticate is another type than one without.
function isInvalidClient(error) {
  if (error instanceof oauth.WWWAuthenticateChallengeError) {
    return error.status === 401 && error.cause[0].scheme === 'basic';
  }
  return error instanceof oauth.ResponseBodyError && error.error === 'invalid_client';
}

async function byItself(token, realm) {
  const request = new Request('https://api.example.com/', { headers: { authorization: `Bearer ${token}` } });
  await oauth.validateJwtAccessToken(await discover(realm), request, facts.audience, {
    ...insecure,
    signingAlgorithms: [realm.algorithm],
  });
}

await run('oauth4webapi', { fetchToken, isInvalidClient, isActive, revoke, verifiers: { oauth4webapi: byItself } });
