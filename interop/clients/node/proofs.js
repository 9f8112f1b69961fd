// What a Node client is put through that has no secret, and what is printed about it: one line a check, divided by tabs.
//
// A client brings `byKey(realm, { id, kid, algorithm, key }, fetch, dpop)` and `byCertificate(realm, { id, isSelfSigned },
// fetch, dpop)`, which give the answer of the token endpoint or throw, and `isInvalidClient(error)`. `fetch` trusts the server and
// shows the certificate; `dpop` is the key pair that the token shall be bound to, or nothing.

import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as jose from 'jose';
import { Agent, fetch as undici } from 'undici';

export const facts = JSON.parse(readFileSync(process.env.INTEROP_FACTS, 'utf8'));
const { main, nonce, fapi2 } = facts.realms;
let failures = 0;

async function check(name, detail, act) {
  try {
    await act();
    console.log(`ok\t${name}\t${detail}`);
  } catch (error) {
    failures += 1;
    console.error(error);
    console.log(`failed\t${name} ${detail}\t${String(error.message).replaceAll(/\s+/g, ' ')}`);
  }
}

const read = (path) => readFileSync(path, 'utf8');

function fetching(certificate) {
  const identity = certificate ? { cert: read(certificate.certificate), key: read(certificate.key) } : {};
  const dispatcher = new Agent({ connect: { ca: read(facts.authority), ...identity } });
  return (url, options) => undici(url, { ...options, dispatcher });
}

function versionOf(name) {
  return JSON.parse(read(new URL(`./node_modules/${name}/package.json`, import.meta.url))).version;
}

export async function prove(name, { byKey, byCertificate, isInvalidClient }) {
  console.log(`version\t${versionOf(name)}`);
  const keyed = async (realm, name, dpop) => {
    const { algorithm, ...client } = facts.keys[name];
    const key = await jose.importPKCS8(read(client.key), algorithm);
    return byKey(realm, { ...client, algorithm, key }, fetching(), dpop);
  };
  const shown = (realm, name, dpop) => {
    const certificate = facts.certificates[name];
    const client = { id: certificate.id, isSelfSigned: name === 'self' };
    return byCertificate(realm, client, fetching(certificate), dpop);
  };
  const fresh = () => jose.generateKeyPair('ES256', { extractable: true });

  for (const algorithm of ['ES256', 'PS256', 'EdDSA']) {
    await check('private_key_jwt', algorithm, async () => isBearer(await keyed(main, algorithm)));
  }
  await check('refused', 'another key', async () => {
    await assert.rejects(keyed(main, 'other'), (error) => isInvalidClient(error));
  });
  await check('tls_client_auth', 'yes', async () => isBound(await shown(main, 'tls'), 'tls'));
  await check('self_signed', 'yes', async () => isBound(await shown(main, 'self'), 'self'));
  for (const [realm, column] of [[main, 'DPoP'], [nonce, 'nonce']]) {
    await check(column, 'key', async () => {
      const pair = await fresh();
      await isDpop(await keyed(realm, 'ES256', pair), pair);
    });
  }
  await check('fapi2', 'key+DPoP', async () => {
    const pair = await fresh();
    await isDpop(await keyed(fapi2, 'PS256', pair), pair);
  });
  await check('fapi2', 'mTLS+mTLS', async () => isBound(await shown(fapi2, 'tls'), 'tls'));
  await check('fapi2', 'mTLS+DPoP', async () => {
    const pair = await fresh();
    await isDpop(await shown(fapi2, 'tls', pair), pair);
  });
  await check('refused', 'unbound', async () => {
    await assert.rejects(keyed(fapi2, 'ES256'), (error) => typeof error.error === 'string');
  });
  process.exitCode = failures ? 1 : 0;
}

function isBearer({ access_token, token_type }) {
  assert.equal(token_type.toLowerCase(), 'bearer');
  assert.equal(jose.decodeJwt(access_token).cnf, undefined);
}

async function isDpop({ access_token, token_type }, { publicKey }) {
  assert.equal(token_type.toLowerCase(), 'dpop');
  const jkt = await jose.calculateJwkThumbprint(await jose.exportJWK(publicKey));
  assert.equal(jose.decodeJwt(access_token).cnf.jkt, jkt);
}

function isBound({ access_token }, name) {
  const der = new X509Certificate(read(facts.certificates[name].certificate)).raw;
  const thumbprint = createHash('sha256').update(der).digest('base64url');
  assert.equal(jose.decodeJwt(access_token).cnf['x5t#S256'], thumbprint);
}
