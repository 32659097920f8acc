/** A key made for this run, and what it signs. */
export type Signer = {
  readonly fingerprint: string;
  /** The armored public key. */
  readonly certificate: string;
  /** An armored, detached signature over the archive as it is transferred. */
  sign(archive: Uint8Array): Promise<string>;
};

export async function createSigner(name: string): Promise<Signer> {
  const { createMessage, generateKey, sign } = await import('openpgp');
  const { privateKey, publicKey } = await generateKey({
    type: 'ecc',
    curve: 'ed25519Legacy',
    userIDs: [{ name, email: `${name.toLowerCase()}@demo.example` }],
    format: 'object',
  });
  return {
    fingerprint: publicKey.getFingerprint(),
    certificate: publicKey.armor(),
    async sign(binary) {
      const message = await createMessage({ binary });
      // its types lose the answer's when the message may be a stream; an armored one of bytes is a string
      return (await sign({ message, signingKeys: privateKey, detached: true })) as string;
    },
  };
}
