import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { environmentIn } from '../helpers/environment.ts';
import { refusal, startRegistry } from '../helpers/registry.ts';
import { layerOf } from '../helpers/registry-fetching.ts';
import { runHere } from '../helpers/run-here.ts';
import { fits } from '../helpers/schemas.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

/** A registry with two images, and longshore with a store of its own. */
async function open(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const registry = await startRegistry(t);
  for (const name of ['a', 'b']) registry.putImage(`team/${name}`, '1', { layers: ['shared', name] });
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_INSECURE_OPTIONS: 'image',
    LONGSHORE_PROGRESS: 'none',
    LONGSHORE_PLATFORM: 'linux/amd64',
    TAG: '1',
  };
  const write = async (name: string, text: string): Promise<string> => {
    await writeFile(join(directory, name), text);
    return join(directory, name);
  };
  return {
    registry,
    host: registry.host,
    directory,
    write,
    longshore: (...args: readonly string[]) => runHere(args, environment),
  };
}

test('fetch and plan take lists of several types at once; what they name again and again is asked for once', async (t) => {
  const { host, write, longshore } = await open(t);
  const compose = await write('compose.yaml', `services: {a: {image: "${host}/team/a:\${TAG}"}, tool: {build: .}}`);
  const pods = await write(
    'pods.yaml',
    ['a', 'b', 'a']
      .map((name) => `---\napiVersion: v1\nkind: Pod\nspec: {containers: [{image: "${host}/team/${name}:1"}]}\n`)
      .join(''),
  );
  const asked = [`docker://${host}/team/a:1`, `docker://${host}/team/b:1`];
  const plan = await longshore('plan', '-f', compose, '-f', `kubernetes:${pods}`, '--output=json');
  t.is(plan.code, 0, plan.stderr);
  t.deepEqual(
    (JSON.parse(plan.stdout) as { images: { reference: string }[] }).images.map(({ reference }) => reference),
    asked,
  );
  const { code, stdout, stderr } = await longshore('fetch', '-f', compose, '-f', pods, '--output=json');
  t.is(code, 0, stderr);
  t.deepEqual(
    (JSON.parse(stdout) as { images: { reference: string }[] }).images.map(({ reference }) => reference),
    asked,
  );
  t.is(stderr.match(/service tool is skipped/g)?.length, 1);
});

test('push takes the same lists', async (t) => {
  const { host, write, longshore } = await open(t);
  const sync = await write('sync.yaml', `"${host}": {images: {team/a: ["1"], team/b: ["1"]}}`);
  t.is((await longshore('fetch', '-f', sync)).code, 0);
  const { code, stdout, stderr } = await longshore('push', '-f', sync, '--dry-run', '--to', `docker://${host}/mirror`);
  t.is(code, 0, stderr);
  t.deepEqual(stdout.match(/-> \S+\/mirror\/team\/\w/g), [`-> ${host}/mirror/team/a`, `-> ${host}/mirror/team/b`]);
});

test('list prints what lists name, each once, with where, and asks nothing', async (t) => {
  const { directory, write, longshore } = await open(t);
  await write(
    'pods.yaml',
    'apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - image: nginx:1\n    - image: quay.io/b\n    - image: docker.io/library/nginx:1\n',
  );
  const text = await write('list.txt', './a.aci signature=a.asc\nexample.com/app:1\n');
  const pods = join(directory, 'pods.yaml');
  const { code, stdout, stderr } = await longshore('list', pods, text);
  t.deepEqual([code, stderr], [0, '']);
  const lines = [
    `docker://nginx:1`,
    'docker://quay.io/b',
    `${directory}/a.aci signature=${directory}/a.asc`,
    'example.com/app:1',
  ];
  t.is(stdout, `${lines.join('\n')}\n`);

  const json = await longshore('list', pods, text, '--output=json');
  t.deepEqual(fits(t, json.stdout), {
    schema: 'longshore.references/1',
    references: [
      {
        reference: 'docker://nginx:1',
        places: [
          { list: pods, line: 5, column: 14 },
          { list: pods, line: 7, column: 14 },
        ],
      },
      { reference: 'docker://quay.io/b', places: [{ list: pods, line: 6, column: 14 }] },
      {
        reference: join(directory, 'a.aci'),
        signature: join(directory, 'a.asc'),
        places: [{ list: text, line: 1 }],
      },
      { reference: 'example.com/app:1', places: [{ list: text, line: 2 }] },
    ],
    notes: [],
  });
});

test('what failed is fetched again with the result of the run, and what list printed is a list', async (t) => {
  const { host, write, longshore } = await open(t);
  const sync = await write('sync.yaml', `"${host}": {images: {team/a: ["1"], team/b: ["1"], team/none: ["1"]}}`);
  const first = await longshore('fetch', '-f', sync, '--output=json');
  const again = await longshore('fetch', '-f', await write('result.json', first.stdout), '--output=json');
  const asked = (stdout: string) => (JSON.parse(stdout) as { images: { reference: string }[] }).images;
  t.deepEqual(
    asked(again.stdout).map(({ reference }) => reference),
    [`docker://${host}/team/none:1`],
  );
  const printed = await longshore('list', sync, '--output=json');
  const listed = await longshore('list', await write('printed.json', printed.stdout));
  t.is(listed.stdout, ['a', 'b', 'none'].map((name) => `docker://${host}/team/${name}:1\n`).join(''));
});

test('platforms and the form of an entry of our own list count before the options', async (t) => {
  const { registry, host, write, longshore } = await open(t);
  registry.putImage('team/real', '1', { layers: [await layerOf({ 'etc/hostname': 'a' })] });
  const list = await write(
    'list.yaml',
    `schema: longshore.list/1\nimages:\n  - {reference: "docker://${host}/team/real:1", keep: aci}\n  - {reference: "docker://${host}/team/b:1", platforms: linux/arm64}\n`,
  );
  const { stdout } = await longshore('fetch', '-f', list, '--output=json');
  const { images } = JSON.parse(stdout) as { images: { imageID: string; status: string; error?: { code: string } }[] };
  t.regex(images[0]?.imageID ?? '', /^sha512-/);
  t.is(images[1]?.error?.code, 'PLATFORM_MISSING');
});

test('tags are chosen of what a registry has, in the order of the list', async (t) => {
  const { registry, host, write, longshore } = await open(t);
  const tags = ['1.0', '1.1', '1.2-rc.1', '2.0', 'latest', 'old'];
  for (const tag of tags) registry.putImage('team/many', tag, { layers: [tag] });
  registry.routes['/v2/team/many/tags/list'] = { body: JSON.stringify({ name: 'team/many', tags }) };
  const list = await write(
    'list.yaml',
    `schema: longshore.list/1
images:
  - docker://${host}/team/a:1
  - repository: ${host}/team/many
    tags: {semver: '1.x', newest: 1}
    platforms: linux/amd64
  - docker://${host}/team/b:1
`,
  );
  const sync = await write('sync.yaml', `"${host}": {images-by-tag-regex: {team/many: "^[lo]"}}`);
  const asked = ['team/a:1', 'team/many:1.1', 'team/b:1', 'team/many:latest', 'team/many:old'];
  for (const command of ['plan', 'fetch']) {
    const { code, stdout, stderr } = await longshore(command, '-f', list, '-f', sync, '--output=json');
    t.is(code, 0, stderr);
    t.deepEqual(
      (JSON.parse(stdout) as { images: { reference: string }[] }).images.map(({ reference }) => reference),
      asked.map((name) => `docker://${host}/${name}`),
    );
  }
  const listed = await longshore('list', sync);
  t.deepEqual(
    [listed.code, listed.stdout],
    [0, `# docker://${host}/team/many: tags {"include":["^[lo]"],"match":"part"}\n`],
  );
});

test('selections that match nothing, and those that the registry cannot answer, end the run together, with their places', async (t) => {
  const { registry, host, write, longshore } = await open(t);
  registry.routes['/v2/team/many/tags/list'] = { body: JSON.stringify({ tags: ['1'] }) };
  const none = await write('none.yaml', `"${host}": {images: {team/a: ["1"]}, images-by-semver: {team/many: ">=2"}}`);
  const absent = await write('absent.yaml', `"${host}": {images: {team/absent: []}}`);
  for (const command of ['fetch', 'plan']) {
    const one = await longshore(command, '-f', none);
    t.deepEqual([one.code, one.stdout], [2, '']);
    t.regex(one.stderr, /none\.yaml, line 1, column \d+: of 1 tags of \S+team\/many none is meant/);
    const all = await longshore(command, '-f', none, '-f', absent, '--output=json');
    t.deepEqual([all.code, all.stdout], [3, '']);
    const errors = all.stderr.split('\n').filter((line) => line.startsWith('error:'));
    t.is(errors.length, 2, all.stderr);
    t.regex(errors[0] ?? '', /^error: LIST_INVALID: \S+none\.yaml, line 1, column \d+: /);
    t.regex(
      errors[1] ?? '',
      /^error: HTTP_STATUS: \S+absent\.yaml, line 1, column \d+: the tags of docker:\S+absent: /,
    );
  }
  t.is(registry.requests.filter(({ url }) => url.includes('/manifests/')).length, 0);
});

test('list --resolve adds digests and chooses tags; what it prints is a list that brings the same images', async (t) => {
  const { registry, host, write, longshore } = await open(t);
  const tags = ['1.0', '1.1', 'old'];
  const digests = new Map(tags.map((tag) => [tag, registry.putImage('team/many', tag, { layers: [tag] }).digest]));
  registry.routes['/v2/team/many/tags/list'] = { body: JSON.stringify({ tags }) };
  const a = registry.putImage('team/a', '2', { layers: ['shared', 'a'] }).digest;
  const sync = await write(
    'sync.yaml',
    `"${host}": {images: {team/a: ["2"]}, images-by-semver: {team/many: "1.x"}, images-by-tag-regex: {team/many: "^1.1$"}}`,
  );
  const names = await write('names.txt', 'example.com/app:1\n');
  const { code, stdout, stderr } = await longshore('list', '--resolve', sync, names);
  t.is(code, 0, stderr);
  const lines = [
    `docker://${host}/team/a:2@${a}`,
    `docker://${host}/team/many:1.0@${digests.get('1.0')}`,
    `docker://${host}/team/many:1.1@${digests.get('1.1')}`,
  ];
  t.deepEqual(stdout.trimEnd().split('\n').toSorted(), [...lines, 'example.com/app:1'].toSorted());
  t.is(stderr, 'warning: one reference has no digest: it is not of a registry\n');
  t.deepEqual(
    [...new Set(registry.requests.filter(({ url }) => url.includes('/manifests/')).map(({ method }) => method))],
    ['HEAD'],
  );

  const json = await longshore('list', '--resolve', sync, '--output=json');
  const { references } = fits(t, json.stdout) as {
    references: { reference: string; digest: string; places: object[] }[];
  };
  t.deepEqual(references.map(({ reference, digest }) => `${reference}@${digest}`).toSorted(), lines.toSorted());
  t.deepEqual(references.map(({ places }) => places.length).toSorted(), [1, 1, 2]);

  for (const tag of tags) registry.putImage('team/many', tag, { layers: ['moved'] });
  const printed = [
    await write('printed.json', json.stdout),
    await write('printed.txt', stdout.replace(/^example.*\n/m, '')),
  ];
  for (const list of printed) {
    const fetched = await longshore('fetch', '-f', list, '--output=json');
    t.is(fetched.code, 0, fetched.stderr);
    const { images } = JSON.parse(fetched.stdout) as { images: { imageID: string }[] };
    t.deepEqual(
      images.map(({ imageID }) => imageID).toSorted(),
      [a, digests.get('1.0'), digests.get('1.1')].toSorted(),
    );
  }
});

test('list --resolve tells of each reference that has no answer, and prints the others', async (t) => {
  const { host, write, longshore } = await open(t);
  const sync = await write(
    'sync.yaml',
    `"${host}": {images: {team/none: ["1"], team/a: ["1"]}, images-by-semver: {team/gone: "1.x"}}`,
  );
  const text = await longshore('list', '--resolve', sync);
  t.is(text.code, 4, text.stderr);
  t.regex(text.stdout, /^docker:\/\/\S+\/team\/a:1@sha256:\S+\n$/);
  t.regex(text.stderr, /^error: \S+sync\.yaml, line 1, column \d+: docker:\/\/\S+team\/none:1: HTTP_STATUS: /m);
  t.regex(text.stderr, /^error: HTTP_STATUS: \S+sync\.yaml, line 1, column \d+: /m);
  const json = await longshore('list', '--resolve', sync, '--output=json');
  t.is(json.code, 4);
  const { references } = fits(t, json.stdout) as { references: { digest?: string; error?: { code: string } }[] };
  t.deepEqual(
    references.map(({ digest, error }) => error?.code ?? typeof digest),
    ['HTTP_STATUS', 'string', 'HTTP_STATUS'],
  );
});

test('list reads names as docker does, if that is asked for', async (t) => {
  const { host, write, longshore } = await open(t);
  const list = await write('list.txt', `${host}/team/a:1\n`);
  t.is((await longshore('list', list, '--names=registry')).stdout, `docker://${host}/team/a:1\n`);
  t.regex((await longshore('list', list, '--names=registry', '--resolve')).stdout, /team\/a:1@sha256:/);
});

test('a list that names nothing is said to do so', async (t) => {
  const { write, longshore } = await open(t);
  const { code, stdout, stderr } = await longshore('list', await write('a.yaml', '{apiVersion: v1, kind: ConfigMap}'));
  t.deepEqual([code, stdout, stderr], [0, '', 'warning: no list names an image\n']);
});

test('all errors of all lists come at once, with their places; nothing is printed or done then', async (t) => {
  const { directory, write, longshore } = await open(t);
  await mkdir(join(directory, 'all'));
  const pods = await write(
    'all/a.yaml',
    'apiVersion: v1\nkind: Pod\nspec: {containers: [{image: "$(A)"}, {image: ok}]}\n',
  );
  const lines = await write('b.txt', 'a b\nftp://c/d\nexample.com/ok\n');
  const both = await write('c.txt', 'example.com/app signature=x\nexample.com/app signature=y\n');
  for (const args of [
    ['list', join(directory, 'all'), lines, both],
    ['fetch', '-f', join(directory, 'all'), '-f', lines, '-f', both],
  ]) {
    const { code, stdout, stderr } = await longshore(...args);
    t.deepEqual([code, stdout], [2, '']);
    const found = stderr.trimEnd().split('\n');
    t.is(found.length, 4, stderr);
    t.true(found[0]?.startsWith(`error: LIST_INVALID: ${pods}, line 3, column 30: "$(A)" is left open`));
    t.true(found[1]?.startsWith(`error: LIST_INVALID: ${lines}, line 1: expected one reference`));
    t.true(found[2]?.startsWith(`error: ${lines}, line 2: ftp://c/d: REFERENCE_INVALID: `));
    t.regex(found[3] ?? '', /c\.txt, line 2: another signature for the same image than in .*c\.txt, line 1/);
  }
});

test('checks that a list lifts are lifted by --insecure-options alone, and its password is shown nowhere', async (t) => {
  const { host, write, longshore } = await open(t);
  const sync = await write(
    'sync.yaml',
    `"${host}":\n  tls-verify: false\n  credentials: {username: john, password: open sesame}\n  images: {team/a: ["1"]}\n`,
  );
  const runs = await Promise.all([
    longshore('list', sync, '--output=json'),
    longshore('fetch', '-f', sync, '--output=json'),
    longshore('list', sync, '--insecure-options=tls'),
  ]);
  for (const { code, stdout, stderr } of runs) {
    t.is(code, 0, stderr);
    t.notRegex(stdout + stderr, /sesame/);
  }
  const said = runs.map(({ stderr }) => stderr.match(/line 2, column 15: tls of \S+ is checked all the same/g)?.length);
  t.deepEqual(said, [1, 1, undefined]);
});

test('the credentials of a list go to the registry that they stand under, and to no other', async (t) => {
  const { write, longshore } = await open(t);
  const given = `Basic ${Buffer.from('john:open sesame').toString('base64')}`;
  const seen = new Map<string, Set<string | undefined>>();
  const registries = [];
  for (const name of ['one', 'two']) {
    seen.set(name, new Set());
    const registry = await startRegistry(t, {
      guard: ({ headers }) => {
        seen.get(name)?.add(headers.authorization);
        const challenge = { 'www-authenticate': 'Basic realm="registry"' };
        return headers.authorization === given ? undefined : refusal(401, 'UNAUTHORIZED', 'who are you', challenge);
      },
    });
    registry.putImage('team/a', '1');
    registries.push(registry.host);
  }
  const [one, two] = registries;
  const credentials = 'credentials: {username: john, password: open sesame}';
  const list = await write(
    'sync.yaml',
    `"${one}": {images: {team/a: ["1"]}, ${credentials}}\n"${two}": {images: {team/a: ["1"]}}`,
  );
  const { code, stdout } = await longshore('fetch', '-f', list, '--output=json');
  t.is(code, 6);
  t.deepEqual(
    (JSON.parse(stdout) as { images: { status: string }[] }).images.map(({ status }) => status),
    ['fetched', 'failed'],
  );
  t.true(seen.get('one')?.has(given));
  t.deepEqual([...(seen.get('two') ?? [])], [undefined]);
});

test('a list is not overwritten by what a run writes, whatever stands before its path', async (t) => {
  const { write, longshore } = await open(t);
  const list = await write('list.txt', 'example.com/app\n');
  const { code, stderr } = await longshore('fetch', '-f', `text:${list}`, '--events', list);
  t.is(code, 2);
  t.regex(stderr, /is a list of this run/);
});

test('push and prune choose among the tags that the store has; credentials of a list are no use to a push', async (t) => {
  const { registry, host, write, longshore } = await open(t);
  for (const tag of ['1.0', '1.1', 'old']) registry.putImage('team/many', tag, { layers: [tag] });
  const all = ['team/many:1.0', 'team/many:1.1', 'team/many:old', 'team/a:1'];
  t.is((await longshore('fetch', ...all.map((name) => `docker://${host}/${name}`))).code, 0);
  const sync = await write(
    'sync.yaml',
    `"${host}":\n  credentials: {username: john, password: open sesame}\n  images: {team/a: ["1"]}\n  images-by-semver: {team/many: "1.x"}\n`,
  );
  const asked = registry.requests.length;
  const pushed = await longshore('push', '-f', sync, '--dry-run', '--to', `docker://${host}/mirror`);
  t.is(pushed.code, 0, pushed.stderr);
  t.deepEqual(pushed.stdout.match(/team\/\S+(?= ->)/g), ['team/a:1', 'team/many:1.0', 'team/many:1.1']);
  t.is(pushed.stderr.match(/sync\.yaml, line 2, column \d+: a push does not use the credentials/g)?.length, 1);
  t.notRegex(pushed.stdout + pushed.stderr, /sesame/);

  const absent = await write('absent.yaml', `"${host}": {images: {team/absent: []}}`);
  for (const args of [
    ['push', '--dry-run', '--to', `docker://${host}`],
    ['image', 'prune'],
  ]) {
    const { code, stdout, stderr } = await longshore(...args, '-f', absent, '-f', sync);
    t.deepEqual([code, stdout], [4, '']);
    t.regex(stderr, /NOT_IN_STORE: \S+absent\.yaml, line 1, column \d+: the store has no tag of \S+team\/absent/);
  }

  const pruned = await longshore('image', 'prune', '-f', sync, '--output=json');
  t.is(pruned.code, 0, pruned.stderr);
  const { removed, kept } = JSON.parse(pruned.stdout) as { removed: { name: string }[]; kept: number };
  t.deepEqual([removed.length, kept], [1, 3]);
  t.is(registry.requests.length, asked);
});
