import type { Transport, TransportResponse } from '../../src/http/contract.ts';

/** What a user writes first: Node's fetch as a transport. */
export const fetchTransport: Transport = async ({ method, url, headers, content, body: source }, signal) => {
  const init = {
    method,
    headers,
    signal,
    redirect: 'manual',
    ...(content !== undefined && { body: content }),
    ...(source && { body: ReadableStream.from(source.open()), duplex: 'half' }),
  } as RequestInit;
  const response = await globalThis.fetch(url, init);
  const body = response.body as unknown as TransportResponse['body'] | null;
  return { status: response.status, headers: Object.fromEntries(response.headers), body: body ?? nothing() };
};

async function* nothing(): AsyncGenerator<Uint8Array, void> {
  // an answer without a body
}
