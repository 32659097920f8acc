import { parentPort } from 'node:worker_threads';

import type { FromWriter, Layout, ToWriter } from '../src/store/index/protocol.ts';
import { openWriter, toFailure } from '../src/store/index/writer/open-writer.ts';

if (!parentPort) throw new Error('the index writer runs as a worker thread');
const port = parentPort;
const post = (answers: readonly FromWriter[]): void => port.postMessage(answers);

port.once('message', (layout: Layout) => {
  try {
    const writer = openWriter(layout, post);
    port.on('message', (messages: readonly ToWriter[]) => {
      writer.handle(messages);
      if (messages.some(({ task }) => task === 'close')) port.close();
    });
    post([{ id: 0, ok: true, value: writer.owner }]);
  } catch (error) {
    post([{ id: 0, ok: false, failure: toFailure(error) }]);
  }
});
