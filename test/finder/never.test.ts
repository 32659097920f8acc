import test, { type ExecutionContext } from 'ava';

import type { ActionOptions } from '../../src/internal.ts';
import { openFetching } from '../helpers/fetching.ts';
import { startOrigin } from '../helpers/origin.ts';
import { startServer } from '../helpers/server.ts';

const name = 'example.com/app';
const never = (): Promise<never> => new Promise(() => undefined);

/** Fetches, and expects that it ends when its signal is aborted and when its finder is closed, after `begun`. */
async function endsPromptly(
  t: ExecutionContext,
  image: string,
  options: Partial<ActionOptions>,
  begun: () => Promise<void>,
): Promise<void> {
  const { finder } = await openFetching(t);
  const opened = finder(options);
  const stop = new AbortController();
  const aborted = opened.findImages([{ image }], { signal: stop.signal });
  const closed = finder(options);
  await begun();
  stop.abort(new Error('enough'));
  t.is((await aborted).outcomes[0]?.status, 'cancelled');
  const finding = closed.findImages([{ image }]);
  await begun();
  await closed.close();
  t.is((await finding).outcomes[0]?.status, 'cancelled');
}

/** Resolves at each call of `hit` once. */
function counter() {
  let calls = Promise.withResolvers<void>();
  return {
    hit: (): void => calls.resolve(),
    next: async (): Promise<void> => {
      await calls.promise;
      calls = Promise.withResolvers();
    },
  };
}

test('a transport that never answers is not waited for', async (t) => {
  const { hit, next } = counter();
  const transport: ActionOptions['transport'] = () => (hit(), never());
  await endsPromptly(t, 'https://nowhere.example/app.aci', { transport }, next);
});

test('a body that never goes on, nor ends, is not waited for', async (t) => {
  const { hit, next } = counter();
  const transport: ActionOptions['transport'] = () => {
    const body = { [Symbol.asyncIterator]: () => ({ next: () => (hit(), never()), return: never }) };
    return Promise.resolve({ status: 200, headers: { 'content-length': '1000000' }, body });
  };
  await endsPromptly(t, 'https://nowhere.example/app.aci', { transport }, next);
});

test('credentials that never come are not waited for', async (t) => {
  for (const scheme of ['Basic realm="r"', 'Bearer realm="REALM"']) {
    const { hit, next } = counter();
    const server = await startServer(t, {});
    const challenge = scheme.replace('REALM', `${server.url}/token`);
    server.routes['/v2/'] = { status: 401, headers: { 'www-authenticate': challenge } };
    const registryCredentials = (): Promise<never> => (hit(), never());
    const options = { registryCredentials, insecure: { http: true } };
    await endsPromptly(t, `docker://127.0.0.1:${server.port}/app:1`, options, next);
  }
});

test('promises that callbacks return and that never settle are not waited for once the batch is stopped', async (t) => {
  const { hit, next } = counter();
  const origin = await startOrigin(t);
  const { url } = await origin.publish({ name });
  const { finder } = await openFetching(t);
  for (const callbacks of [
    { onEvent: ({ type }: { type: string }) => (type === 'batch-finished' ? (hit(), never()) : undefined) },
    { onOutcome: () => (hit(), never()) },
    { lock: { images: new Map(), frozen: false, onFound: () => (hit(), never()) } },
  ]) {
    const { onEvent, ...call } = { onEvent: undefined, ...callbacks };
    const stop = new AbortController();
    const opened = finder(onEvent ? { onEvent } : {});
    const finding = opened.findImages([{ image: url }], { ...call, signal: stop.signal });
    await next();
    const isEarly = await Promise.race([finding.then(() => true), new Promise((resolve) => setTimeout(resolve, 50))]);
    t.is(isEarly, undefined, 'the batch waits');
    stop.abort();
    await finding;
    const again = opened.findImages([{ image: url }], call);
    await next();
    await opened.close();
    await again;
  }
});
