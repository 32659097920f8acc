import { parseMetaTags } from '../../src/discovery/meta-tags.ts';
import { parseReference } from '../../src/image/reference.ts';
import type { Piece } from './piece.ts';

const filling =
  '<div class="row"><p>A page for <a href="/people?of=it&amp;by=name">people</a>, too.</p></div>\n'.repeat(200);

const page = `<!doctype html><html><head><title>a page</title>
<meta name="ac-discovery" content="example.com/app https://example.com/{name}-{version}-{os}-{arch}.{ext}">
<meta name="ac-discovery-pubkeys" content="example.com/app https://example.com/keys.asc">
</head><body>${filling}</body></html>`;

const references = [
  'example.com/team/app:1.2.3,os=linux,arch=amd64',
  'https://example.com/images/app-1.2.3-linux-amd64.aci',
  'docker://registry.example.com:5000/team/app:1.2.3',
  `sha512-${'0123456789abcdef'.repeat(8)}`,
  './images/app.aci',
];

/** Parsing text: a discovery page of some 20 KB, and references of all kinds. */
export function texts(): readonly Piece[] {
  const parse = (): void => {
    for (const reference of references) parseReference(reference, { directory: '/', isFile: () => false });
  };
  return [
    { name: 'discovery page of 20 KB', unit: 'page', count: 1, run: () => parseMetaTags(page) },
    { name: 'references', unit: 'reference', count: references.length, run: parse },
  ];
}
