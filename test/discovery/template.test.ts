import test from 'ava';
import fc from 'fast-check';

import { renderTemplate } from '../../src/discovery/template.ts';

const name = 'example.com/app';
const s = 'https://s.example.com';

type Row = readonly [template: string, labels: Record<string, string>, archive?: string, signature?: string];

const rows: Record<string, Row> = {
  T1: [
    `${s}/{name}-{version}-{os}-{arch}.{ext}`,
    { version: '1.0.0', os: 'linux', arch: 'amd64' },
    `${s}/example.com/app-1.0.0-linux-amd64.aci`,
    `${s}/example.com/app-1.0.0-linux-amd64.aci.asc`,
  ],
  T2: [
    `${s}/{name}-{version}.{ext}?torrent`,
    { version: '1.0.0' },
    `${s}/example.com/app-1.0.0.aci?torrent`,
    `${s}/example.com/app-1.0.0.aci.asc?torrent`,
  ],
  T3: [`${s}/{name}-{version}.{ext}`, {}, `${s}/example.com/app-latest.aci`, `${s}/example.com/app-latest.aci.asc`],
  T4: [`${s}/{version}.{ext}`, { version: '' }, `${s}/latest.aci`, `${s}/latest.aci.asc`],
  T5: [`${s}/{name}-{version}-{os}.{ext}`, { version: '1' }],
  T6: [
    `${s}/{name}/{channel}/{version}.{ext}`,
    { version: '1', channel: 'beta' },
    `${s}/example.com/app/beta/1.aci`,
    `${s}/example.com/app/beta/1.aci.asc`,
  ],
  T7: [`${s}/{Name}.{ext}`, { version: '1' }],
  T8: [`${s}/{name}.{ext}`, { name: 'evil' }, `${s}/example.com/app.aci`, `${s}/example.com/app.aci.asc`],
  T9: [`${s}/{name}.{ext}{`, {}, `${s}/example.com/app.aci{`, `${s}/example.com/app.aci.asc{`],
  T10: ['hdfs://s/{name}.{ext}', {}],
  T11: [`${s}/{na me}.{ext}`, {}],
  T12: [`${s}/{version}.{ext}`, { version: '{nosuch}' }],
  T13: [`${s}/{}.{ext}`, { version: '1' }],
  T14: [
    `${s}/{name}.{ext}/{name}.{ext}`,
    {},
    `${s}/example.com/app.aci/example.com/app.aci`,
    `${s}/example.com/app.aci.asc/example.com/app.aci.asc`,
  ],
  T15: ['/rel/{name}.{ext}', {}],
  'a label called ext does not stand in for {ext}': [
    `${s}/{version}.{ext}`,
    { version: '1', ext: 'zip' },
    `${s}/1.aci`,
    `${s}/1.aci.asc`,
  ],
  'a template without {ext} would make image and signature one': [`${s}/{name}`, {}],
  'a value never opens a path of its own': [
    `${s}/{version}.{ext}`,
    { version: 'a/b?c#d e' },
    `${s}/a%2Fb%3Fc%23d%20e.aci`,
    `${s}/a%2Fb%3Fc%23d%20e.aci.asc`,
  ],
  'a plus sign stays': [`${s}/{version}.{ext}`, { version: '1.0+b.5' }, `${s}/1.0+b.5.aci`, `${s}/1.0+b.5.aci.asc`],
  'a value that climbs': [`${s}/a/{version}/x.{ext}`, { version: '..' }],
  'a template that climbs': [`${s}/a/%2e%2E/{name}.{ext}`, {}],
  'a template with a password': ['https://u:p@s.example.com/{name}.{ext}', {}],
  'a file': ['file:///etc/{name}.{ext}', {}],
};

for (const [title, [template, labels, archiveUrl, signatureUrl]] of Object.entries(rows)) {
  test(`template: ${title}`, (t) => {
    const endpoint = renderTemplate(template, name, new Map(Object.entries(labels)));
    t.deepEqual(endpoint, archiveUrl && signatureUrl ? { archiveUrl, signatureUrl } : undefined);
  });
}

test('whatever the value of a label, the URL keeps the host and the folder of the template', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 12 }), (value) => {
      const endpoint = renderTemplate(`${s}/in/{label}.{ext}`, name, new Map([['label', value]]));
      if (!endpoint) return;
      const { host, pathname } = new URL(endpoint.archiveUrl);
      t.is(host, 's.example.com');
      t.regex(pathname, /^\/in\/[^/]*\.aci$/);
    }),
  );
});
