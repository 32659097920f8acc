import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { parseManifest } from '../../src/image/manifest.ts';
import { isHttpUrl, isRfc3339, semVerProblem } from '../../src/image/manifest-schema.ts';

const appBase = '"exec":["a"],"user":"0","group":"0"';

/** The field at fault of a manifest whose app has these members; undefined when it is taken. */
function faultOfApp(members: string): string | undefined {
  try {
    parseManifest(Buffer.from(`{"acKind":"ImageManifest","acVersion":"0.7.4","name":"a","app":{${members}}}`));
    return undefined;
  } catch (error) {
    if (hasCode(error, 'MANIFEST_INVALID')) return error.details.field;
    throw error;
  }
}

const faultOf = (members: string) => faultOfApp(`${appBase},${members}`);
const faultOfPort = (port: string) => faultOf(`"ports":[${port}]`);
const faultOfIsolator = (name: string, value: string) => faultOf(`"isolators":[{"name":"${name}","value":${value}}]`);

test('an app needs a user and a group, everything else is optional', (t) => {
  t.is(faultOfApp(''), 'app.user'); // J16
  t.is(faultOfApp('"user":"0","group":"0"'), undefined); // J17
  t.is(faultOfApp('"exec":[],"user":"0","group":"0"'), undefined); // J18
  t.is(faultOfApp('"exec":null,"user":"0","group":"0","ports":null,"environment":null'), undefined);
  t.is(faultOfApp('"exec":"a","user":"0","group":"0"'), 'app.exec'); // J19
  t.is(faultOfApp('"exec":[],"user":0,"group":"0"'), 'app.user'); // J20
  t.is(faultOfApp('"exec":["a",1],"user":"0","group":"0"'), 'app.exec[1]'); // J49
  t.is(faultOfApp('"exec":["a"],"user":"0"'), 'app.group'); // J50
  t.is(faultOfApp('"user":"0","group":""'), 'app.group');
});

test('a working directory is empty or absolute', (t) => {
  t.is(faultOf('"workingDirectory":"tmp"'), 'app.workingDirectory'); // J21
  t.is(faultOf('"workingDirectory":"/a/../b"'), undefined); // J22
  t.is(faultOf('"workingDirectory":"../x"'), 'app.workingDirectory'); // J51
  t.is(faultOf('"workingDirectory":""'), undefined); // J52
});

test('at most one event handler of each kind is allowed', (t) => {
  t.is(faultOf('"eventHandlers":[{"name":"pre-start","exec":["a"]},{"name":"post-stop","exec":["a"]}]'), undefined); // J23
  t.is(faultOf('"eventHandlers":[{"name":"pre-start"},{"name":"pre-start"}]'), 'app.eventHandlers[1].name'); // J24
  t.is(faultOf('"eventHandlers":[{"name":"pre-stop"}]'), 'app.eventHandlers[0].name'); // J25
  t.is(faultOf('"eventHandlers":[{"exec":["a"]}]'), 'app.eventHandlers[0].name'); // J53
});

test('variables have distinct names of letters, digits, dots and dashes', (t) => {
  for (const name of ['DEBUG', '_0_DEBUG_0_', 'DEBUG.0', 'a-b'])
    t.is(faultOf(`"environment":[{"name":"${name}"}]`), undefined, name); // J54
  for (const name of ['0DEBUG', 'VERBOSE|DEBUG', '', 'A=B', '-A', '1A']) {
    t.is(faultOf(`"environment":[{"name":"${name}"}]`), 'app.environment[0].name', name);
  }
  t.is(faultOf('"environment":[{"name":"A","value":"1"},{"name":"A","value":"2"}]'), 'app.environment[1].name'); // J26
  t.is(faultOf('"environment":{}'), 'app.environment'); // J27
});

test('mount points need a name and a path', (t) => {
  t.is(faultOf('"mountPoints":[{"name":"data","path":"/d"},{"name":"data","path":"/d","readOnly":true}]'), undefined); // J28, J56
  t.is(faultOf('"mountPoints":[{"name":"Data","path":"/d"}]'), 'app.mountPoints[0].name'); // J29
  t.is(faultOf('"mountPoints":[{"path":"/d"}]'), 'app.mountPoints[0].name');
  t.is(faultOf('"mountPoints":[{"name":"data"}]'), 'app.mountPoints[0].path');
});

test('group IDs are integers', (t) => {
  t.is(faultOf('"supplementaryGIDs":[1,-1,null]'), undefined);
  t.is(faultOf('"supplementaryGIDs":["1"]'), 'app.supplementaryGIDs[0]'); // J58
  t.is(faultOf('"supplementaryGIDs":[1.0]'), 'app.supplementaryGIDs[0]');
});

test('a port range lies within 1 to 65535', (t) => {
  const good = [
    '{"name":"http","protocol":"tcp","port":80}', // P1
    '{"name":"http","port":65535,"count":1}', // P3, P10
    '{"name":"http","protocol":"tcp","port":1,"count":65535}', // P11
    '{"name":"http","port":65535,"count":0}', // P13
    '{"name":"http","port":80},{"name":"http","port":80}', // J57
  ];
  for (const port of good) t.is(faultOfPort(port), undefined, port);
  const bad: readonly (readonly [string, string])[] = [
    ['{"name":"http","port":0}', 'port'], // P2, J30
    ['{"name":"http","port":65535,"count":2}', 'count'], // P4
    ['{"name":"http","port":65536}', 'port'], // P5
    ['{"name":"Http","port":80}', 'name'], // P6
    ['{"name":"http","port":"80"}', 'port'], // P7
    ['{"name":"http","port":80.5}', 'port'], // P8
    ['{"name":"http","port":80.0}', 'port'],
    ['{"name":"http","port":8e1}', 'port'],
    ['{}', 'port'], // P9
    ['{"name":"http","port":80,"count":-1}', 'count'], // P12
    ['{"name":"http","port":80,"count":18446744073709551615}', 'count'],
    ['{"name":"","port":80}', 'name'], // P14
    ['{"name":"http","port":80,"socketActivated":"yes"}', 'socketActivated'],
  ];
  for (const [port, field] of bad) t.is(faultOfPort(port), `app.ports[0].${field}`, port);
});

test('isolators that appc defines need valid values, others may have any', (t) => {
  const good: readonly (readonly [string, string])[] = [
    ['resource/cpu', '{"request":"250m","limit":"500m"}'], // J31
    ['resource/cpu', '{"request":null,"limit":0.5,"default":false}'],
    ['resource/memory', '{"limit":"1Gi"}'],
    ['resource/block-iops', '{"default":true,"limit":"10"}'],
    ['os/linux/capabilities-retain-set', '{"set":["CAP_NET_ADMIN"]}'],
    ['os/linux/no-new-privileges', 'true'],
    ['os/linux/cpu-shares', '2'],
    ['os/linux/oom-score-adj', '-1000'],
    ['os/linux/selinux-context', '{"user":"u","role":"r","type":"t","level":"s0:c1"}'],
    ['os/unix/sysctl', '{"net.ipv4.ip_forward":"1","Name":"x"}'],
    ['foo/bar', '{"set":[1.5]}'], // J32
    ['foo/bar', 'null'],
  ];
  for (const [name, value] of good) t.is(faultOfIsolator(name, value), undefined, `${name} ${value}`);
  const bad: readonly (readonly [string, string, string])[] = [
    ['resource/cpu', '{"request":"lots"}', '.request'],
    ['resource/cpu', '{"default":true}', '.default'],
    ['resource/memory', '"1G"', ''],
    ['resource/memory', 'null', ''],
    ['resource/block-bandwidth', '{"limit":"1"}', '.default'],
    ['resource/network-bandwidth', '{"default":true,"request":"1"}', '.request'],
    ['os/linux/capabilities-retain-set', '{"set":[]}', '.set'], // J33
    ['os/linux/capabilities-remove-set', '{}', '.set'],
    ['os/linux/no-new-privileges', '"yes"', ''],
    ['os/linux/seccomp-retain-set', '{"set":[]}', '.set'],
    ['os/linux/cpu-shares', '1', ''],
    ['os/linux/cpu-shares', '1024.0', ''],
    ['os/linux/oom-score-adj', '1001', ''],
    ['os/linux/selinux-context', '{"user":"u:v","role":"r","type":"t","level":"s0"}', '.user'],
    ['os/unix/sysctl', '{"a":1}', '.a'],
  ];
  for (const [name, value, path] of bad) {
    t.is(faultOfIsolator(name, value), `app.isolators[0].value${path}`, `${name} ${value}`);
  }
});

test('capability sets and repeated resources may occur together, the two seccomp sets may not', (t) => {
  const isolators = (...names: string[]) =>
    `"isolators":[${names.map((name) => `{"name":"${name}","value":{"set":["a"],"limit":"1"}}`).join()}]`;
  t.is(faultOf(isolators('os/linux/capabilities-retain-set', 'os/linux/capabilities-remove-set')), undefined); // J59
  t.is(faultOf(isolators('resource/cpu', 'resource/cpu')), undefined); // J60
  t.is(faultOf(isolators('os/linux/seccomp-retain-set', 'os/linux/seccomp-remove-set')), 'app.isolators[1].name');
});

test('labels and annotations of an app are texts under any key', (t) => {
  t.is(faultOf('"userLabels":{"Any Key":"x","Name":"y"},"userAnnotations":{}'), undefined);
  t.is(faultOf('"userLabels":{"a":1}'), 'app.userLabels.a');
});

test('versions have three numbers, are not zero, and carry pre-release and metadata', (t) => {
  const good = [
    '1.0.0',
    '3.2.1-foo',
    '0.7.4',
    '1.2.3-a-b',
    '1.2.3-alpha+git',
    '0.0.0-a',
    '0.8.11+git',
    '1.2.3-a.b',
    '9.9.9',
    '01.2.3',
    '1.0.0-',
  ];
  for (const text of good) t.is(semVerProblem(text), undefined, text);
  const bad = [
    '1',
    'v1.2.3',
    '',
    '1.2.x',
    '1..0',
    '1.2.3.4',
    ' 1.2.3',
    '1.0',
    '+1.2.3',
    '-1.2.3',
    '1.-2.3',
    '1.2.3\n',
    '1.2.3-a b',
  ];
  for (const text of bad) t.regex(semVerProblem(text) ?? '', /not a version/, text);
  for (const text of ['0.0.0', '00.0.0', '0.0.0-']) t.is(semVerProblem(text), 'cannot be zero', text);
});

test('dates are RFC 3339 with every part in its range', (t) => {
  const good = [
    '2004-05-14T23:11:14+00:00',
    '2001-02-03T04:05:06Z',
    '2014-11-14T17:36:54-08:00',
    '2014-10-27T19:32:27.67021798Z',
    '2016-02-29T00:00:00Z',
    '2000-02-29T00:00:00Z',
  ];
  for (const text of good) t.true(isRfc3339(text), text);
  const bad = [
    'garbage',
    '1416015188',
    '2014-10-27 19:32:27Z',
    '2014-10-27T19:32:27',
    '2014-02-30T00:00:00Z',
    '2014-10-27t19:32:27z',
    'Fri Nov 14 17:53:02 PST 2014',
    '2014-10-27T19:32:27+0000',
    '2014-10-27',
    '2015-02-29T00:00:00Z',
    '1900-02-29T00:00:00Z',
    '2014-04-31T00:00:00Z',
    '2014-00-01T00:00:00Z',
    '2014-13-01T00:00:00Z',
    '2014-01-00T00:00:00Z',
    '2014-01-01T24:00:00Z',
    '2014-01-01T00:60:00Z',
    '2014-01-01T00:00:60Z',
    '2014-01-01T00:00:00+24:00',
    '2014-01-01T00:00:00+00:60',
    '2014-01-01T00:00:00.Z',
    '2014-01-01T00:00:00Z\n',
  ];
  for (const text of bad) t.false(isRfc3339(text), text);
});

test('links are absolute http or https URLs', (t) => {
  for (const text of ['http://foo.com', 'HTTP://foo.com', 'https://foo.com/a?b#c']) t.true(isHttpUrl(text), text);
  const bad = [
    'ftp://example.com',
    'unix://file.net',
    'not a url',
    '',
    'not-A$@#URL',
    'mailto:a@b',
    'http://a b/',
    'http://a/\n',
  ];
  for (const text of bad) t.false(isHttpUrl(text), text);
});
