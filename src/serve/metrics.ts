import type { Server } from 'node:http';

import { Counter, Gauge, Histogram, Registry } from 'prom-client';

import type { Answer, AnswerKind } from './answer.ts';

export type ServeMetrics = {
  /** Counts one request that has ended. */
  count(request: {
    readonly kind: AnswerKind;
    readonly status: number;
    readonly bytes: number;
    readonly isWhole: boolean;
    readonly durationMs: number;
  }): void;
  /** Counts a connection that was closed at once, since there are too many. */
  dropped(): void;
  answer(): Promise<Answer>;
};

/** Seconds: from an answer from memory to a large blob over a slow network. */
const durationBuckets = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300];

/** @see docs/serve.md, Metrics */
export function createServeMetrics(server: Pick<Server, 'getConnections'>, version: string): ServeMetrics {
  const registry = new Registry();
  const named = (name: string, help: string) => ({ name: `longshore_${name}`, help, registers: [registry] });
  const info = new Gauge({ ...named('info', 'The version of longshore; always 1.'), labelNames: ['version'] as const });
  info.set({ version }, 1);
  new Gauge(named('serve_start_timestamp_seconds', 'When the server began.')).setToCurrentTime();
  const requests = new Counter({
    ...named('serve_requests_total', 'Requests by what was answered.'),
    labelNames: ['kind', 'status'] as const,
  });
  const bytes = new Counter({
    ...named('serve_sent_bytes_total', 'Bytes of the bodies of answers.'),
    labelNames: ['kind'] as const,
  });
  const cut = new Counter(named('serve_cut_answers_total', 'Answers whose body was not sent to its end.'));
  const durations = new Histogram({
    ...named('serve_request_duration_seconds', 'From the head of a request to the last byte of its answer.'),
    labelNames: ['kind'] as const,
    buckets: durationBuckets,
  });
  const refused = new Counter(
    named('serve_refused_connections_total', 'Connections that were closed at once, since there are too many.'),
  );
  new Gauge({
    ...named('serve_connections', 'Open connections.'),
    async collect() {
      this.set(await new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count))));
    },
  });
  new Gauge({
    ...named('serve_resident_memory_bytes', 'Memory of the process.'),
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  return {
    count(request) {
      const { kind } = request;
      requests.inc({ kind, status: String(request.status) });
      bytes.inc({ kind }, request.bytes);
      durations.observe({ kind }, request.durationMs / 1000);
      if (!request.isWhole) cut.inc();
    },
    dropped: () => refused.inc(),
    answer: async () => ({
      kind: 'metrics',
      status: 200,
      headers: { 'content-type': registry.contentType },
      body: await registry.metrics(),
    }),
  };
}
