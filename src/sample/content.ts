import { createCipheriv, createHash } from 'node:crypto';

const blockLength = 64 * 1024;

export type SampleContent = {
  /** Another one makes other bytes. */
  readonly name: string;
  readonly bytes: number;
  /** The share of them, 0 to 1, that no compression takes away. */
  readonly noise: number;
};

/** Noise and text take turns: what shrinks is spread over the file, as in programs. The same bytes in every run. */
export function sampleContent({ name, bytes, noise }: SampleContent): Buffer {
  const key = createHash('sha256').update(name).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const file = Buffer.alloc(bytes, `${name} `);
  for (let at = 0; at < bytes; at += blockLength) {
    const length = Math.round(Math.min(blockLength, bytes - at) * noise);
    cipher.update(Buffer.alloc(length)).copy(file, at);
  }
  return file;
}
