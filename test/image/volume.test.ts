import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { parseMount, parseVolume } from '../../src/image/volume.ts';

test('a mount names a volume and a target', (t) => {
  t.deepEqual(parseMount('volume=data,target=/var/lib/a=b'), { volume: 'data', path: '/var/lib/a=b' });
  t.deepEqual(parseMount('target=/d,volume=data'), { volume: 'data', path: '/d' });
});

test('a volume is of the host or empty', (t) => {
  t.deepEqual(parseVolume('data,kind=host,source=/x,readOnly=true'), {
    name: 'data',
    kind: 'host',
    source: '/x',
    readOnly: true,
  });
  t.deepEqual(parseVolume('data,kind=host,source=/x,readOnly=0'), {
    name: 'data',
    kind: 'host',
    source: '/x',
    readOnly: false,
  });
  t.deepEqual(parseVolume('tmp,kind=empty'), { name: 'tmp', kind: 'empty' });
});

test('malformed mounts and volumes are usage errors that name the option', (t) => {
  const mounts = [
    '',
    'data',
    'volume=data',
    'target=/d',
    'volume=,target=/d',
    'volume=Data,target=/d',
    'volume=a,target=/d,x=y',
    'volume=a,volume=b,target=/d',
    'volume=a,target=/d,',
  ];
  for (const text of mounts) {
    const error = t.throws(() => parseMount(text), undefined, text);
    t.true(hasCode(error, 'USAGE') && error.details.option === '--mount', text);
  }
  const volumes = [
    '',
    'data',
    ',kind=empty',
    'Data,kind=empty',
    'data,kind=nfs',
    'data,kind=host',
    'data,kind=host,source=x',
    'data,kind=empty,source=/x',
    'data,kind=empty,kind=empty',
    'data,kind=empty,name=x',
    'data,kind=host,source=/x,readOnly=maybe',
    'data,kind=empty,__proto__=x',
  ];
  for (const text of volumes) {
    const error = t.throws(() => parseVolume(text), undefined, text);
    t.true(hasCode(error, 'USAGE') && error.details.option === '--volume', text);
  }
});
