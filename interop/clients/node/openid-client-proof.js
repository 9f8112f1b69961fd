// openid-client without secrets: it handles nonces by itself.

import * as client from 'openid-client';
import { facts, prove } from './proofs.js';

async function ask({ issuer }, id, authentication, fetch, dpop) {
  const options = { algorithm: 'oauth2', [client.customFetch]: fetch };
  const configuration = await client.discovery(new URL(issuer), id, undefined, authentication, options);
  const proof = dpop ? { DPoP: client.getDPoPHandle(configuration, dpop) } : undefined;
  return client.clientCredentialsGrant(configuration, { scope: facts.scope }, proof);
}

await prove('openid-client', {
  byKey(realm, { id, kid, key }, fetch, dpop) {
    return ask(realm, id, client.PrivateKeyJwt({ key, kid }), fetch, dpop);
  },
  byCertificate(realm, { id }, fetch, dpop) {
    return ask(realm, id, client.TlsClientAuth(), fetch, dpop);
  },
  isInvalidClient(error) {
    return error.error === 'invalid_client' || error instanceof client.WWWAuthenticateChallengeError;
  },
});
