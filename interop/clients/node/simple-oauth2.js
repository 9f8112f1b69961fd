// simple-oauth2: told where the token endpoint is; its errors are those of boom, with the answer inside.

import { ClientCredentials } from 'simple-oauth2';
import { facts, run } from './checks.js';

async function fetchToken({ token_endpoint }, { id, secret }, method) {
  const { origin, pathname } = new URL(token_endpoint);
  const client = new ClientCredentials({
    client: { id, secret },
    auth: { tokenHost: origin, tokenPath: pathname },
    options: { authorizationMethod: method === 'basic' ? 'header' : 'body' },
  });
  return (await client.getToken({ scope: facts.scope })).token.access_token;
}

function isInvalidClient(error) {
  return error.isBoom && error.output.statusCode === 401 && error.data.payload.error === 'invalid_client';
}

// It refuses to send what RFC 6749 appendix A does not permit.
await run('simple-oauth2', { fetchToken, isInvalidClient, kinds: ['plain', 'hard', 'colon'] });
