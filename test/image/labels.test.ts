import test from 'ava';

import { formatLabels, labelFaults, type LabelPair, matchLabels } from '../../src/image/labels.ts';

const osArch = (os: string | undefined, arch?: string) => [
  ...(os === undefined ? [] : [{ name: 'os', value: os }]),
  ...(arch === undefined ? [] : [{ name: 'arch', value: arch }]),
];

test('os and arch pairs of appc 0.8.11 are accepted', (t) => {
  const good: readonly (readonly [string, string | undefined, string | undefined])[] = [
    ['L1', 'linux', 'amd64'],
    ['L2', 'linux', 'aarch64'],
    ['L4', 'linux', 'ppc64le'],
    ['L5', 'linux', 'armv7b'],
    ['L7', 'freebsd', 'amd64'],
    ['L10', undefined, 'amd64'],
    ['L11', 'linux', undefined],
    ['L14', undefined, undefined],
  ];
  for (const [id, os, arch] of good) t.deepEqual(labelFaults(osArch(os, arch)), [], id);
});

test('other os and arch pairs are refused, and the message lists the allowed ones', (t) => {
  const bad: readonly (readonly [string, string, string | undefined, 'os' | 'arch'])[] = [
    ['L3', 'linux', 'arm64', 'arch'],
    ['L6', 'linux', 'arm', 'arch'],
    ['L8', 'freebsd', 'armv7b', 'arch'],
    ['L9', 'OS/360', 'S/360', 'os'],
    ['L12', 'darwin', 'amd64', 'arch'],
    ['L13', 'windows', 'amd64', 'os'],
    ['L20', 'linux', '', 'arch'],
    ['L21', '', undefined, 'os'],
    ['L22', 'Linux', undefined, 'os'],
    ['L23', 'linux', 'arm64_be', 'arch'],
    ['L23', 'linux', 'ppc64l', 'arch'],
    ['L23', 'linux', 'ppc64be', 'arch'],
  ];
  for (const [id, os, arch, label] of bad) {
    const [fault, ...more] = labelFaults(osArch(os, arch));
    t.deepEqual([fault?.name, fault?.member, more], [label, 'value', []], id);
    t.regex(fault?.problem ?? '', label === 'os' ? /darwin, freebsd, linux/ : /one of .*i386.* for/, id);
  }
});

test('names are identifiers, not repeated, and not "name"; values may be any text', (t) => {
  const problems = (list: readonly LabelPair[]) => labelFaults(list).map(({ problem }) => problem);
  t.deepEqual(problems([{ name: 'version', value: '1,0 é' }]), []);
  t.deepEqual(problems([{ name: 'name', value: 'x' }]), ['is reserved']); // L15
  t.deepEqual(problems([...osArch('linux'), ...osArch('linux')]), ['is there twice']); // L16
  t.regex(problems([{ name: 'Bad', value: 'x' }]).join(), /a-z/);
  t.deepEqual(problems([{ name: '', value: 'x' }]), ['is empty']);
});

test('every fault of a list is found, with its position', (t) => {
  const faults = labelFaults([
    { name: 'A', value: '' },
    { name: 'b', value: '' },
    { name: 'b', value: '' },
    ...osArch('beos'),
  ]);
  t.deepEqual(
    faults.map(({ index, member }) => [index, member]),
    [
      [0, 'name'],
      [2, 'name'],
      [3, 'value'],
    ],
  );
});

test('labels are formatted sorted by name, in whatever order they were given', (t) => {
  const labels = new Map([
    ['version', '1'],
    ['arch', 'amd64'],
    ['os', 'linux'],
  ]);
  t.is(formatLabels(labels), 'arch=amd64,os=linux,version=1');
  t.is(formatLabels(new Map()), '');
});

test('labels match when all requested ones exist with the same value', (t) => {
  const found = new Map([
    ['os', 'linux'],
    ['version', '1'],
  ]);
  t.true(matchLabels(new Map(), found));
  t.true(matchLabels(new Map([['version', '1']]), found));
  t.false(matchLabels(new Map([['version', '2']]), found));
  t.false(matchLabels(new Map([['channel', 'beta']]), found));
  t.false(matchLabels(new Map([['channel', '']]), found));
});
