import { resolve } from 'node:path';

import test from 'ava';

import { dataDirectory } from '../../../src/cli/config/data-directory.ts';
import { configDirectories } from '../../../src/cli/config/directories.ts';
import { temporaryDirectory } from '../../helpers/stored.ts';

test('the option takes precedence over the variable, and relative paths become absolute', async (t) => {
  t.is(await dataDirectory({ dir: 'here' }, { LONGSHORE_DIR: '/there' }), resolve('here'));
  t.is(await dataDirectory({}, { LONGSHORE_DIR: '/there' }), '/there');
});

test("without either it is the user's directory, for root that of the system", async (t) => {
  const empty = await temporaryDirectory(t);
  const directories = { 'system-config': empty, 'local-config': empty, 'user-config': empty };
  const own = process.getuid?.() === 0 ? '/var/lib/longshore' : '/data/longshore';
  t.is(await dataDirectory(directories, { XDG_DATA_HOME: '/data', LONGSHORE_DIR: '' }), own);
});

test('the configuration of the user follows XDG, where that is an absolute path', (t) => {
  t.is(configDirectories({}, { XDG_CONFIG_HOME: '/x', HOME: '/h' }).user, '/x/longshore');
  t.is(configDirectories({}, { XDG_CONFIG_HOME: 'x', HOME: '/h' }).user, '/h/.config/longshore');
  t.like(configDirectories({ localConfig: 'l' }, { HOME: '/h' }), {
    system: '/usr/lib/longshore',
    local: resolve('l'),
  });
});
