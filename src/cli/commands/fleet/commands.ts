import type { Command } from '../../command.ts';

/** The subcommands of `fleet`: one batch over many machines, which meet at a Redis. */
export const fleetCommands: readonly Command[] = [
  {
    name: 'fleet submit',
    operands: '[IMAGE...]',
    summary: 'Sign a batch of images, put it into the queue for the workers of a fleet, and print its name',
    examples: [
      [
        'fleet submit --queue redis://queue:6379 --submit-key submit.pem -f images.txt',
        'each image into the store of the worker that is free for it',
      ],
      [
        'fleet submit -f images.txt --to docker://registry.example.com/mirror',
        'into a registry; --queue and --submit-key may be in the environment',
      ],
      ['fleet submit -f images.txt --everywhere --batch=monday', 'into the stores of all workers, under a name'],
    ],
    load: async () => (await import('./submit.ts')).runFleetSubmit,
  },
  {
    name: 'fleet work',
    operands: '',
    summary: 'Bring images of batches that --accept lets count, as they come, until a signal',
    examples: [
      ['fleet work --queue redis://queue:6379 --accept submit.pub', 'into the store of this machine'],
      ['fleet work --accept submit.pub --allow-to docker://registry.example.com/mirror', 'also for batches with --to'],
      ['fleet work --accept submit.pub --batch=monday', 'until this batch is complete'],
      [
        'fleet work --accept submit.pub --accept-worker worker.pub --worker-key worker.pem --listen 10.0.0.5:5000 --cert cert.pem --key key.pem --peer-secret secret',
        'and give what came to the other workers',
      ],
    ],
    load: async () => (await import('./work.ts')).runFleetWork,
  },
  {
    name: 'fleet status',
    operands: '[NAME]',
    summary: 'Show the batches and the workers of a fleet, or how far one batch is',
    examples: [
      ['fleet status', 'all batches'],
      ['fleet status monday --output=json', 'one, for programs'],
    ],
    load: async () => (await import('./status.ts')).runFleetStatus,
  },
  {
    name: 'fleet wait',
    operands: '<NAME>',
    summary: 'Wait until a batch is complete, show its progress, and end with the exit code that a fetch would have',
    examples: [['fleet wait monday', 'progress on the standard error']],
    load: async () => (await import('./wait.ts')).runFleetWait,
  },
  {
    name: 'fleet result',
    operands: '<NAME>',
    summary: 'Print what a batch has brought so far, and which worker did what',
    examples: [
      ['fleet result monday --output=json', 'as fetch prints it, with a worker in each row'],
      ['fleet result monday --report=monday.html --lock=images.lock.json', 'a page, and a lock file for the next time'],
    ],
    load: async () => (await import('./result.ts')).runFleetResult,
  },
  {
    name: 'fleet cancel',
    operands: '<NAME>',
    summary: 'Have the workers stop a batch; what they have brought stays',
    examples: [['fleet cancel monday --submit-key submit.pem', 'signed by the key that signed the batch']],
    load: async () => (await import('./cancel.ts')).runFleetCancel,
  },
];
