import test from 'ava';

import { proxyOf } from '../../../../src/cli/commands/fetch/network.ts';

test('proxies come from the environment, lower case first, empty ones not at all', (t) => {
  t.deepEqual(
    proxyOf({ HTTP_PROXY: 'http://a', http_proxy: 'http://b', HTTPS_PROXY: 'http://c', NO_PROXY: '10.0.0.0/8' }),
    {
      http: 'http://b',
      https: 'http://c',
      noProxy: '10.0.0.0/8',
    },
  );
  t.deepEqual(proxyOf({ http_proxy: '' }), {});
});
