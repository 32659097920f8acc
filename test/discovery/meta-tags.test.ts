import test from 'ava';

import { parseMetaTags } from '../../src/discovery/meta-tags.ts';

const one = [{ kind: 'endpoint', prefix: 'example.com', uri: 'https://x/' }];
const tag = '<meta name="ac-discovery" content="example.com https://x/">';
const content = (text: string) => `<meta name="ac-discovery" content="${text}">`;

const rows: Record<string, readonly [page: string, expected: readonly unknown[]]> = {
  M1: [content('example.com https://x/{name}.{ext}'), [{ ...one[0], uri: 'https://x/{name}.{ext}' }]],
  M2: ['<META NAME="ac-discovery" CONTENT="example.com https://x/">', one],
  M3: ['<meta content="example.com https://x/" name="ac-discovery">', one],
  M4: [`<meta name="ac-discovery" content='  example.com    https://x/  '/>`, one],
  M5: ['<meta name="AC-discovery" content="example.com https://x/">', []],
  M6: [content('example.com'), []],
  M7: [content('example.com\thttps://x/'), []],
  M8: [content('example.com https://x/?a=1&amp;b=2'), [{ ...one[0], uri: 'https://x/?a=1&b=2' }]],
  M9: [`<!-- ${tag} -->`, []],
  M10: [`<script>${tag}</script>`, []],
  M11: [`<title>${tag}</title>`, []],
  M12: [`<body><p>${tag}`, one],
  M13: ['<meta name="ac-discovery-cas-prefix" content="example.com https://x/">', []],
  M14: ['<meta property="ac-discovery" content="example.com https://x/">', []],
  M15: ['<meta name="ac-discovery" content="a u1" content="b u2">', [{ kind: 'endpoint', prefix: 'a', uri: 'u1' }]],
  M16: [
    `${tag}${tag}${tag.replace('discovery', 'discovery-pubkeys')}${tag.replace('discovery', 'discovery-pubkeys')}`,
    [...one, ...one, { ...one[0], kind: 'key' }, { ...one[0], kind: 'key' }],
  ],
  M17: ['', []],
  M18: [content('example.com\nhttps://x/'), []],
  M19: [`<textarea>${tag}</textarea>`, []],
  M20: ['<metadata name="ac-discovery" content="example.com https://x/">', []],
  M21: ['<meta name=ac-discovery content="example.com https://x/">', one],
  M22: ['<meta\tname="ac-discovery"\n  content="example.com https://x/">', one],
  M23: ['{"json":true}', []],
  M24: ['<meta name="ac-discovery" content=""><meta name="ac-discovery">', []],
  M25: [content('example.com https://x/?a=1&b=2'), [{ ...one[0], uri: 'https://x/?a=1&b=2' }]],
  'a tag in a style': [`<style>${tag}</style>`, []],
  'a tag in an attribute': [`<p title='${tag}'>`, []],
  'a tag that does not end': ['<meta name="ac-discovery" content="example.com https://x/', []],
  'a byte order mark before the tag': [`\ufeff${tag}`, one],
  'content on lines of its own': [content('\n\t\texample.com \n https://x/\r\n\t'), one],
  'a URL with white space': [content('example.com https://x/ y'), []],
  'a tag named like a member of every object': ['<meta name="constructor" content="example.com https://x/">', []],
};

for (const [title, [page, expected]] of Object.entries(rows)) {
  test(`meta tags: ${title}`, (t) => {
    t.deepEqual(parseMetaTags(page), expected as ReturnType<typeof parseMetaTags>);
  });
}
