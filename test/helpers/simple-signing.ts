import type { Gpg, SignOptions } from './keys.ts';

export type Statement = {
  readonly digest: string;
  readonly reference: string;
  /** Further members of `critical`, or others in the place of those there. */
  readonly critical?: Readonly<Record<string, unknown>>;
};

/** What containers/image signs about an image. */
export function statementOf({ digest, reference, critical = {} }: Statement): Buffer {
  const document = {
    critical: {
      identity: { 'docker-reference': reference },
      image: { 'docker-manifest-digest': digest },
      type: 'atomic container signature',
      ...critical,
    },
    optional: { creator: 'a test', timestamp: 1_700_000_000 },
  };
  return Buffer.from(JSON.stringify(document));
}

/** A signed message as skopeo makes it. */
export function signMessage(gpg: Gpg, signer: string, content: Uint8Array, options: SignOptions = {}): Promise<Buffer> {
  return gpg.sign(signer, content, { armor: false, form: 'inline', ...options });
}
