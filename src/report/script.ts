import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { extname } from 'node:path';

/**
 * The page's script as one text: `browser/main`, preceded by all modules that it imports. The modules are simply
 * joined, so no two of them may declare the same name.
 */
export function pageScript(): string {
  const main = new URL(`../report/browser/main${extname(import.meta.url)}`, import.meta.url);
  const texts: string[] = [];
  collect(main, new Set(), texts);
  return `"use strict";\n{\n${texts.join('\n')}}\n`;
}

function collect(url: URL, seen: Set<string>, texts: string[]): void {
  if (seen.has(url.href)) return;
  seen.add(url.href);
  const source = readFileSync(url, 'utf8');
  const text = url.href.endsWith('.ts') ? stripTypeScriptTypes(source) : source;
  const own = text.replaceAll(/^import\s[^;]*?from ['"](\.[^'"]+)['"];$/gm, (_, path: string) => {
    collect(new URL(path, url), seen, texts);
    return '';
  });
  texts.push(own.replaceAll(/^export (?=const|function)/gm, '').replaceAll(/\n\s*\n+/g, '\n'));
}
