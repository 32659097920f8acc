import test from 'ava';
import * as fc from 'fast-check';

import { environmentWarnings } from '../../../src/cli/options/environment.ts';
import { didYouMean, nearestOf } from '../../../src/cli/options/suggestion.ts';
import { optionTable } from '../../../src/cli/options/table.ts';

test('a word that is a letter or two away is suggested, one that is further is not', (t) => {
  const known = ['fetch', 'plan', 'push', 'demo'];
  for (const [word, nearest] of [
    ['ftech', 'fetch'],
    ['fetsh', 'fetch'],
    ['fetchh', 'fetch'],
    ['plna', 'plan'],
    ['Push', 'push'],
    ['frobnicate', undefined],
    ['a', undefined],
    ['', undefined],
    ['pull', undefined],
  ] as const)
    t.is(nearestOf(word, known), nearest, word);
  t.is(nearestOf('no', ['all']), undefined);
  t.is(didYouMean('lits', ['list', 'remove'], 'trust '), '; did you mean trust list?');
  t.is(didYouMean('nothing', ['list'], 'trust '), '');
});

test('each option is suggested for itself with any two letters next to each other exchanged', (t) => {
  const names = [...new Set(optionTable.map(({ name }) => name))];
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.nat(), (name, seed) => {
      const at = seed % (name.length - 1);
      const word = name.slice(0, at) + (name[at + 1] ?? '') + (name[at] ?? '') + name.slice(at + 2);
      return nearestOf(word, [name]) === (word.length < 2 ? undefined : name);
    }),
  );
  t.pass();
});

test('a word of any length is answered at once', (t) => {
  t.is(nearestOf('x'.repeat(1_000_000), ['fetch']), undefined);
});

test('a variable that is misspelt is answered with the one that was meant', (t) => {
  t.deepEqual(environmentWarnings(optionTable, { LONGSHORE_JOSB: '3', LONGSHORE_NOTHING_LIKE_IT: '1' }), [
    'LONGSHORE_JOSB is in the environment, but there is no such option; did you mean LONGSHORE_JOBS?',
    'LONGSHORE_NOTHING_LIKE_IT is in the environment, but there is no such option',
  ]);
});
