// What every Node client is put through, and what is printed about it: one line a check, divided by tabs.
//
// A client brings `fetchToken(realm, { id, secret }, method)`, which gives the token or throws, and
// `isInvalidClient(error)`, which knows the library's own error type; where it can, `isActive(realm, { id, secret }, token)` and
// `revoke(realm, { id, secret }, token)`, too.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import * as jose from 'jose';

export const facts = JSON.parse(readFileSync(process.env.INTEROP_FACTS, 'utf8'));
const allKinds = ['plain', 'hard', 'umlaut', 'colon'];
let failures = 0;

async function check(name, act) {
  try {
    await act();
    console.log(`ok\t${name}`);
  } catch (error) {
    failures += 1;
    console.error(error);
    console.log(`failed\t${name}\t${String(error.message).replaceAll(/\s+/g, ' ')}`);
  }
}

// Installed packages do not let their package.json be imported, so it is read.
function versionOf(name) {
  return JSON.parse(readFileSync(new URL(`./node_modules/${name}/package.json`, import.meta.url), 'utf8')).version;
}

export async function run(name, { fetchToken, isInvalidClient, isActive, revoke, kinds = allKinds, verifiers = {} }) {
  console.log(`version\t${versionOf(name)}`);
  const realm = facts.realms[0];
  for (const method of ['basic', 'post']) {
    for (const kind of kinds) {
      await check(`${kind} ${method}`, () => tokenOf(fetchToken, realm, kind, method));
    }
    await check(`wrong secret ${method}`, async () => {
      const client = { id: realm.clients.plain.id, secret: 'wrong' };
      await assert.rejects(fetchToken(realm, client, method), (error) => isInvalidClient(error));
    });
  }
  await check('another token each time', async () => {
    const first = await tokenOf(fetchToken, realm, 'plain', 'basic');
    assert.notEqual(await tokenOf(fetchToken, realm, 'plain', 'basic'), first);
  });
  if (isActive) {
    const { hard, plain } = realm.clients;
    await check('introspected', async () => {
      const token = await tokenOf(fetchToken, realm, 'hard', 'basic');
      assert.equal(await isActive(realm, hard, token), true);
      assert.equal(await isActive(realm, hard, token.slice(0, -8)), false);
      // Other clients' tokens are none of its business.
      assert.equal(await isActive(realm, plain, token), false);
    });
    await check('revoked', async () => {
      const token = await tokenOf(fetchToken, realm, 'hard', 'basic');
      await revoke(realm, hard, token);
      assert.equal(await isActive(realm, hard, token), false);
    });
  }
  for (const [library, verify] of Object.entries({ jose: byJose, ...verifiers })) {
    for (const [at, realm] of facts.realms.entries()) {
      const other = facts.realms.at(at - 1);
      const token = await fetchToken(realm, realm.clients.plain, 'basic');
      await check(`${library} refuses ${realm.algorithm} of another realm`, () => assert.rejects(verify(token, other)));
      await check(`verified\t${library}\t${realm.algorithm}`, () => verify(token, realm));
    }
  }
  process.exitCode = failures ? 1 : 0;
}

async function tokenOf(fetchToken, realm, kind, method) {
  const client = realm.clients[kind];
  const token = await fetchToken(realm, client, method);
  const { client_id, sub, scope, iss } = jose.decodeJwt(token);
  const wanted = { client_id: client.id, sub: client.id, scope: facts.scope, iss: realm.issuer };
  assert.deepEqual({ client_id, sub, scope, iss }, wanted);
  return token;
}

async function byJose(token, { issuer, jwks_uri, algorithm }) {
  await jose.jwtVerify(token, jose.createRemoteJWKSet(new URL(jwks_uri)), {
    issuer,
    audience: facts.audience,
    algorithms: [algorithm],
    typ: 'at+jwt',
    requiredClaims: ['exp', 'iat', 'sub', 'jti', 'client_id'],
  });
}
