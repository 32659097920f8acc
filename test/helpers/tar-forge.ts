export type ForgedHeader = {
  readonly name?: string;
  /** One character; default '0', a file. */
  readonly type?: string;
  readonly size?: number;
  readonly linkName?: string;
  readonly prefix?: string;
  readonly mode?: number;
  /** Default POSIX. */
  readonly format?: 'ustar' | 'gnu' | 'v7';
  /** Bytes written over the header, by offset; latin1. The checksum is computed after them. */
  readonly patch?: Readonly<Record<number, string>>;
  /** In place of the right one. */
  readonly checksum?: string;
};

const magics = { ustar: 'ustar\x0000', gnu: 'ustar  \0', v7: '' } as const;

/** One header block, right unless asked otherwise. Texts are latin1. */
export function forgeHeader(header: ForgedHeader = {}): Buffer {
  const block = Buffer.alloc(512);
  const put = (text: string, at: number) => block.write(text, at, 'latin1');
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, '0');
  put(header.name ?? 'rootfs/file', 0);
  put(`${octal(header.mode ?? 0o644, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0`, 100);
  put(`${octal(header.size ?? 0, 11)}\0${octal(0, 11)}\0`, 124);
  put(header.type ?? '0', 156);
  put(header.linkName ?? '', 157);
  put(magics[header.format ?? 'ustar'], 257);
  put(header.prefix ?? '', 345);
  for (const [at, text] of Object.entries(header.patch ?? {})) put(text, Number(at));
  put('        ', 148);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(header.checksum ?? `${octal(sum, 6)}\0 `, 148);
  return block;
}

/** A header and its content in whole blocks; the size is the content's unless stated. */
export function forgeEntry(header: ForgedHeader = {}, content: string | Uint8Array = ''): Buffer {
  const bytes = Buffer.from(content);
  const padding = Buffer.alloc((512 - (bytes.length % 512)) % 512);
  return Buffer.concat([forgeHeader({ size: bytes.length, ...header }), bytes, padding]);
}

/** A pax header with these records. */
export function forgePax(records: Readonly<Record<string, string>>, header: ForgedHeader = {}): Buffer {
  const lines = Object.entries(records).map(([key, value]) => paxRecord(key, value));
  return forgeEntry({ name: 'PaxHeaders/file', type: 'x', ...header }, Buffer.concat(lines));
}

export function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.from(` ${key}=${value}\n`);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** The two zero blocks. */
export const tarEnd = Buffer.alloc(1024);

export const goodManifest = JSON.stringify({ acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/app' });

/** A good archive around these entries. */
export function forgeArchive(...entries: readonly Uint8Array[]): Buffer {
  return Buffer.concat([
    forgeEntry({ name: 'manifest' }, goodManifest),
    forgeEntry({ name: 'rootfs', type: '5', mode: 0o755 }),
    ...entries,
    tarEnd,
  ]);
}
