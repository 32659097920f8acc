import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** `relay.ts PORT MS`: a network that answers late. It takes connections to that port of this machine, on a port that it prints. */
const [port, delayMs] = process.argv.slice(2).map(Number);

const relay = createServer({ noDelay: true }, (client) => {
  const server = connect({ host: '127.0.0.1', port: port ?? 0, noDelay: true });
  pass(client, server, 0);
  pass(server, client, delayMs ?? 0);
});
relay.listen(0, '127.0.0.1', () => {
  const { port: own } = relay.address() as AddressInfo; // of a server on a port it is never a string
  process.stdout.write(`${own}\n`);
});

/** Each piece comes so much later; reading stops while the other side does not take what was sent. */
function pass(from: Socket, to: Socket, afterMs: number): void {
  const later = (work: () => void): void => void (afterMs > 0 ? setTimeout(work, afterMs) : work());
  from.on('data', (bytes) => {
    later(() => {
      if (!to.destroyed && !to.write(bytes)) from.pause();
    });
  });
  to.on('drain', () => from.resume());
  from.on('end', () => later(() => to.end()));
  from.on('error', () => to.destroy());
}
