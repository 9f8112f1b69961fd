// oauth4webapi without secrets: assertion, certificate and DPoP, each put together by the caller.

import * as oauth from 'oauth4webapi';
import { facts, prove } from './proofs.js';

async function ask({ issuer }, client, authentication, fetch, dpop) {
  const options = { [oauth.customFetch]: fetch };
  const url = new URL(issuer);
  const found = await oauth.discoveryRequest(url, { ...options, algorithm: 'oauth2' });
  const server = await oauth.processDiscoveryResponse(url, found);
  if (dpop) options.DPoP = oauth.DPoP(client, dpop);
  const once = async () => {
    const parameters = new URLSearchParams({ scope: facts.scope });
    const response = await oauth.clientCredentialsGrantRequest(server, client, authentication, parameters, options);
    return oauth.processClientCredentialsResponse(server, client, response);
  };
  try {
    return await once();
  } catch (error) {
    // The handle has learnt the nonce.
    if (!oauth.isDPoPNonceError(error)) throw error;
    return once();
  }
}

await prove('oauth4webapi', {
  byKey(realm, { id, kid, key }, fetch, dpop) {
    return ask(realm, { client_id: id }, oauth.PrivateKeyJwt({ key, kid }), fetch, dpop);
  },
  byCertificate(realm, { id }, fetch, dpop) {
    return ask(realm, { client_id: id }, oauth.TlsClientAuth(), fetch, dpop);
  },
  isInvalidClient(error) {
    return error.error === 'invalid_client' || error instanceof oauth.WWWAuthenticateChallengeError;
  },
});
