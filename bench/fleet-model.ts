import { parseArgs } from 'node:util';

import { formatTable } from './report.ts';

/**
 * Predicts how long a fleet takes, from costs that `npm run bench -- fleet` measures: `node bench/fleet-model.ts [--images N] [--mb N]
 * [--origin MB/s] [--uplink MB/s] [--connection MB/s] [--connections N] [--redis-ms N] [--copy-ms N] [--image-ms N]`
 *
 * @see docs/scale.md
 */
const of = (text: string) => ({ type: 'string', default: text }) as const;
const { values } = parseArgs({
  options: {
    images: of('1500'),
    /** Of an image, without what it shares with others. */
    mb: of('40'),
    origin: of('1250'),
    uplink: of('125'),
    connection: of('50'),
    connections: of('16'),
    /** Of Redis, which has one thread, for each image, and for each copy of one. */
    'redis-ms': of('0.4'),
    'copy-ms': of('0.9'),
    /** Of a worker's processors for each image beside its bytes. */
    'image-ms': of('18'),
  },
});
const [images, mb, origin, uplink, connection, connections] = [
  ...[values.images, values.mb, values.origin],
  ...[values.uplink, values.connection, values.connections],
].map(Number) as [number, number, number, number, number, number]; // as many as above
const [redisMs, copyMs, imageMs] = [values['redis-ms'], values['copy-ms'], values['image-ms']].map(Number) as [
  number,
  number,
  number,
]; // as many as above

type Part = { readonly what: string; readonly seconds: number };

/** What a run takes at least, each for itself; the largest decides. */
function partsOf(nodes: number, everywhere: boolean): readonly Part[] {
  const all = images * mb;
  const copies = everywhere ? images * nodes : images;
  const ofNode = Math.min(uplink, connection * connections);
  return [
    { what: 'origin', seconds: all / origin },
    { what: 'downlinks', seconds: everywhere ? all / uplink : all / (nodes * ofNode) },
    { what: 'uplinks', seconds: everywhere ? ((nodes - 1) * all) / (nodes * uplink) : 0 },
    { what: 'Redis', seconds: (copies * (everywhere ? copyMs : redisMs)) / 1000 },
    { what: 'processors', seconds: (copies / nodes) * (imageMs / 1000) },
  ];
}

const lines = [10, 100, 1000].flatMap((nodes) =>
  [false, true].map((everywhere) => {
    const parts = partsOf(nodes, everywhere);
    const slowest = parts.reduce((one, other) => (other.seconds > one.seconds ? other : one));
    // the last image begins when all others have come
    const last = mb / connection + (everywhere ? Math.log2(nodes) * (mb / uplink) : 0);
    return [
      ...[String(nodes), everywhere ? 'everywhere' : 'shard'],
      ...parts.map(({ seconds }) => seconds.toFixed(0)),
      ...[`${(slowest.seconds + last).toFixed(0)} s`, slowest.what],
    ];
  }),
);
process.stdout.write(
  `${formatTable(['nodes', 'use', 'origin', 'downlinks', 'uplinks', 'Redis', 'processors', 'in all', 'bound by'], lines)}\n`,
);
