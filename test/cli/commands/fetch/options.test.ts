import test from 'ava';

import { pullPolicy } from '../../../../src/cli/commands/fetch/options.ts';
import { parseCommandLine } from '../../../../src/cli/options/command-line.ts';
import { optionTable } from '../../../../src/cli/options/table.ts';

const policy = (line: string, environment: Record<string, string> = {}) =>
  pullPolicy(parseCommandLine(['fetch', 'a', ...line.split(' ').filter((word) => word)], optionTable, environment));

test('each form of a policy sets it', (t) => {
  t.is(policy(''), 'new');
  t.is(policy('--store-only'), 'never');
  t.is(policy('--no-store'), 'update');
  t.is(policy('--pull-policy=update'), 'update');
  t.is(policy('', { LONGSHORE_NO_STORE: '1' }), 'update');
  t.is(policy('--store-only --pull-policy=never'), 'never');
  t.is(policy('--store-only=false'), 'new');
});

test('contradictions are usage errors, wherever they are given', (t) => {
  t.throws(() => policy('--store-only --no-store'), { message: 'both --store-only and --no-store specified' });
  t.throws(() => policy('--no-store --pull-policy=new'), { message: 'both --no-store and --pull-policy specified' });
  t.throws(() => policy('', { LONGSHORE_NO_STORE: '1', LONGSHORE_STORE_ONLY: '1' }), {
    message: 'both LONGSHORE_STORE_ONLY and LONGSHORE_NO_STORE specified',
  });
});

test('the command line overrides the environment', (t) => {
  t.is(policy('--store-only', { LONGSHORE_NO_STORE: '1' }), 'never');
  t.is(policy('--pull-policy=new', { LONGSHORE_STORE_ONLY: '1' }), 'new');
});
