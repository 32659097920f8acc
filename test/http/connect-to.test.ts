import test from 'ava';

import { parseConnectTo, targetOf } from '../../src/http/connect-to.ts';

test('four parts, any of which may be empty, and IPv6 in brackets', (t) => {
  t.deepEqual(parseConnectTo('a.example:443:127.0.0.1:8443'), {
    host: 'a.example',
    port: '443',
    toHost: '127.0.0.1',
    toPort: '8443',
  });
  t.deepEqual(parseConnectTo('[::1]::[::2]:1'), { host: '::1', port: '', toHost: '::2', toPort: '1' });
  t.deepEqual(parseConnectTo(':::'), { host: '', port: '', toHost: '', toPort: '' });
  for (const text of ['', 'a', 'a:1:b', 'a:x:b:2', '::1:1:b:2', 'a:1:b:2:3']) {
    t.throws(() => parseConnectTo(text), { code: 'USAGE' }, text);
  }
});

test('the first rule that fits decides; an empty part is any, or what the URL says', (t) => {
  const rules = ['a.example:443:b.example:1', 'A.example::c.example:', '::d.example:', ':8080::9'].map(parseConnectTo);
  t.deepEqual(targetOf(new URL('https://a.example/'), rules), { host: 'b.example', port: 1 });
  t.deepEqual(targetOf(new URL('http://a.example/'), rules), { host: 'c.example', port: 80 });
  t.deepEqual(targetOf(new URL('https://x.example:5/'), rules), { host: 'd.example', port: 5 });
  t.deepEqual(targetOf(new URL('http://[::1]:8080/'), rules.slice(3)), { host: '::1', port: 9 });
  t.deepEqual(targetOf(new URL('http://x.example/'), []), { host: 'x.example', port: 80 });
});
