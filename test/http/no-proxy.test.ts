import test from 'ava';

import { parseNoProxy } from '../../src/http/no-proxy.ts';

const cases: readonly [noProxy: string, url: string, isExempt: boolean][] = [
  ['', 'http://a.example/', false],
  ['*', 'http://a.example/', true],
  ['a.example', 'http://a.example/', true],
  ['A.Example', 'http://a.EXAMPLE/', true],
  ['a.example', 'http://b.a.example:8080/', true],
  ['a.example', 'http://ba.example/', false],
  ['a.example', 'http://a.example.org/', false],
  ['.a.example', 'http://b.a.example/', true],
  ['.a.example', 'http://a.example/', false],
  ['a.example:8080', 'http://a.example:8080/', true],
  ['a.example:8080', 'http://a.example/', false],
  ['a.example:80', 'http://a.example/', true],
  ['a.example:443', 'https://a.example/', true],
  ['*.a.example', 'http://b.a.example/', true],
  ['*.a.example', 'http://a.example/', false],
  ['*.a.example:81', 'http://b.a.example:81/', true],
  ['*.a.example:81', 'http://b.a.example/', false],
  ['a.example.', 'http://a.example/', true],
  ['bücher.example', 'http://bücher.example/', true],
  ['.bücher.example', 'http://a.bücher.example/', true],
  [':80', 'http://a.example/', false],
  ['a.exam*', 'http://a.example/', false],
  ['', 'http://localhost/', false],
  ['', 'http://127.0.0.1/', false],
  ['a.example', 'http://[::1]/', false],
  ['localhost', 'http://localhost:5000/', true],
  ['10.1.2.3/8', 'http://10.200.0.1/', true],
  ['0.0.0.0/0', 'http://10.1.2.3/', true],
  ['10.0.0.0/8', 'http://[::ffff:10.1.2.3]/', true],
  ['[::1]', 'http://[::1]/', true],
  ['b.example, a.example', 'http://a.example/', true],
  ['b.example a.example', 'http://a.example/', true],
  ['10.0.0.0/8', 'http://10.1.2.3/', true],
  ['10.0.0.0/8', 'http://11.1.2.3/', false],
  ['10.0.0.0/8', 'http://ten.example/', false],
  ['10.0.0.0/99', 'http://10.1.2.3/', false],
  ['10.1.2.3', 'http://10.1.2.3/', true],
  ['10.1.2.3', 'http://10.1.2.30/', false],
  ['10.1.2.3:81', 'http://10.1.2.3:81/', true],
  ['10.1.2.3:81', 'http://10.1.2.3/', false],
  ['fd00::/8', 'http://[fd12::1]/', true],
  ['fd00::/8', 'http://[fe12::1]/', false],
  ['::1', 'http://[::1]:8080/', true],
  ['[::1]:8080', 'http://[0:0::1]:8080/', true],
  ['[::1]:8080', 'http://[::1]/', false],
];

for (const [noProxy, url, isExempt] of cases) {
  test(`NO_PROXY=${noProxy} ${isExempt ? 'exempts' : 'does not exempt'} ${url}`, (t) => {
    t.is(parseNoProxy(noProxy)(new URL(url)), isExempt);
  });
}
