import test from 'ava';

import { codesOf, openFetching } from '../helpers/fetching.ts';
import { openGpg, type Gpg } from '../helpers/keys.ts';
import { startOrigin } from '../helpers/origin.ts';
import { openTrust } from '../helpers/trust.ts';

let gpg: Gpg;
let key: string;
test.before(async () => {
  gpg = await openGpg();
  key = await gpg.createKey();
});
test.after.always(() => gpg.close());

const name = 'example.com/app';

test('keys that a page offers are trusted only over https, only where that was asked for, and said so', async (t) => {
  const origin = await startOrigin(t, { https: true, sign: (bytes) => gpg.sign(key, bytes) });
  const keystore = await openTrust(t, gpg, {});
  const { fetch } = await openFetching(t, { keystore, discover: origin.discover, ca: [origin.ca] });
  await origin.publish({ name, version: '1' });
  const offer = (url: string) => `<meta name="ac-discovery-pubkeys" content="example.com ${url}/keys.asc">`;
  const tags = String(origin.routes['/example.com']?.body);
  origin.routes['/keys.asc'] = { body: await gpg.certificate(key) };
  origin.routes['/example.com'] = { body: tags + offer(origin.url) };

  t.deepEqual(codesOf(await fetch(`${name}:1`)), ['KEY_UNKNOWN']);
  t.deepEqual(await keystore.list(), []);
  t.is(origin.served('/keys.asc'), 0);

  origin.routes['/example.com'] = { body: tags + offer(origin.url.replace('https:', 'http:')) };
  const trustKeysFromHTTPS = true;
  t.deepEqual(codesOf(await fetch(`${name}:1`, { trustKeysFromHTTPS })), ['KEY_UNKNOWN']);
  t.deepEqual(await keystore.list(), []);

  origin.routes['/example.com'] = { body: tags + offer(origin.url) };
  const warnings: string[] = [];
  const outcome = await fetch(`${name}:1`, {
    trustKeysFromHTTPS,
    onEvent: (event) => {
      if (event.type === 'warning') warnings.push(event.message);
    },
  });
  t.like(outcome, { status: 'fetched', signedBy: [key] });
  t.like((await keystore.list())[0], { fingerprint: key, prefix: name });
  t.regex(warnings.join('\n'), new RegExp(key));
  await fetch(`${name}:1`, { trustKeysFromHTTPS, noStore: true });
  t.is(origin.served('/keys.asc'), 1, 'a key is there already');
});
