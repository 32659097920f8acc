import type { Command } from './command.ts';
import { fleetCommands } from './commands/fleet/commands.ts';
import { imageCommands } from './commands/image/commands.ts';

/** All commands, in the order of help. */
export const commands: readonly Command[] = [
  {
    name: 'fetch',
    operands: '[IMAGE...]',
    summary: 'Bring images, and what they depend on, into the store',
    examples: [
      ['fetch example.com/app:1.0', 'an image by its name'],
      ['fetch https://example.com/app.aci --signature app.aci.asc', 'with a signature that is at hand'],
      ['fetch -f images.txt --output=json', 'all images of a list, the result as JSON'],
      ['fetch -f images.txt --lock images.lock.json --frozen', 'the images of the last time, also if tags have moved'],
      ['fetch -f images.txt --lock images.lock.json --relock', 'what the tags stand for now, and say what has moved'],
      [
        'fetch -f compose.yaml',
        'the images of a Compose file; TYPE:LIST says what a list is, where its content does not',
      ],
      ['fetch --insecure-options=image docker://busybox', 'from a registry, whose images are not signed'],
    ],
    load: async () => (await import('./commands/fetch/fetch.ts')).runFetchCommand,
  },
  {
    name: 'plan',
    operands: '[IMAGE...]',
    summary: 'Show what fetch would bring, from where, and how many bytes; change nothing',
    examples: [
      ['plan example.com/app:1.0', 'the tree, as far as it is known'],
      ['plan -f images.txt --output=dot | dot -Tsvg > plan.svg', 'as a drawing'],
    ],
    load: async () => (await import('./commands/plan/plan.ts')).runPlanCommand,
  },
  {
    name: 'push',
    operands: '[IMAGE...]',
    summary: 'Push images of registries from the store into a registry, as they came',
    examples: [
      ['push --all --to docker://registry.example.com/mirror', 'everything that the store has'],
      ['push -f images.txt --to docker://registry.example.com', 'the images of a list, under their own names'],
      [
        'push docker://quay.io/team/app:1.0 --scoped --to docker://localhost:5000',
        'as localhost:5000/quay.io/team/app:1.0',
      ],
      ['push --all --dry-run --to docker://registry.example.com', 'first see what would go where'],
    ],
    load: async () => (await import('./commands/push/push.ts')).runPushCommand,
  },
  {
    name: 'serve',
    operands: '',
    summary: 'Serve the store as a registry that only reads, and as an origin of ACIs: a mirror for nodes',
    examples: [
      ['serve --auth users', 'for this machine, at http://127.0.0.1:5000; htpasswd -cB users NAME makes the file'],
      [
        'serve --listen 0.0.0.0:5000 --cert cert.pem --key key.pem --auth users --host mirror.example.com',
        'for other machines, over TLS and with passwords',
      ],
      ['serve --listen 10.0.0.5:5000 --public', 'for everybody who reaches that address'],
    ],
    load: async () => (await import('./commands/serve/serve.ts')).runServeCommand,
  },
  {
    name: 'list',
    operands: '<LIST...>',
    summary: 'Show what lists name, each once, as fetch -f would take it; the network is asked with --resolve only',
    examples: [
      ['list deployment.yaml', 'the images of objects of Kubernetes'],
      [
        'list kubernetes:manifests/ --output=json',
        'of all YAML and JSON files in a directory, with file, line and column',
      ],
      ['list compose.yaml', 'the images of the services, with the variables of the environment and of .env'],
      ['list -', 'a list from standard input, such as what helm template prints'],
      [
        'list --resolve sync.yaml',
        'with the tags that are chosen, and REFERENCE@sha256:… of each: a list that brings the same images',
      ],
    ],
    load: async () => (await import('./commands/list/list.ts')).runListCommand,
  },
  {
    name: 'trust',
    operands: '[KEY...]',
    summary: 'Trust signing keys, for names below a prefix or for all; without KEY those that discovery offers',
    examples: [
      ['trust --prefix example.com/team team.asc', 'for example.com/team and the names below it'],
      ['trust --prefix registry.example.com:5000/team cosign.pub', 'a public key of cosign, for repositories'],
      [
        'trust --prefix ghcr.io/acme --identity-regexp "https://github.com/acme/.*" --issuer https://token.actions.githubusercontent.com',
        'who signs with a certificate of sigstore',
      ],
      ['trust --prefix example.com/team', 'the keys that discovery offers for it, after a look at each'],
      ['trust --root https://example.com/vendor.asc', 'for every name'],
    ],
    load: async () => (await import('./commands/trust/trust.ts')).runTrust,
  },
  {
    name: 'trust list',
    operands: '',
    summary: 'Show the keys that are trusted',
    examples: [['trust list --output=json', 'for programs']],
    load: async () => (await import('./commands/trust/list.ts')).runTrustList,
  },
  {
    name: 'trust remove',
    operands: '<FINGERPRINT...>',
    summary: 'Stop trusting a key, for one prefix or everywhere',
    examples: [['trust remove --prefix example.com/team 8b86de38…', 'only for that prefix']],
    load: async () => (await import('./commands/trust/remove.ts')).runTrustRemove,
  },
  {
    name: 'trust update-root',
    operands: '',
    summary:
      'Get the authorities of sigstore, trusted_root.json, as its owners have signed them last, and show what changes',
    examples: [
      ['trust update-root', 'of the sigstore project'],
      ['trust update-root --mirror https://tuf.example.com --initial-root root.json', 'of an instance of your own'],
    ],
    load: async () => (await import('./commands/trust/update-root.ts')).runUpdateRoot,
  },
  ...imageCommands,
  ...fleetCommands,
  {
    name: 'bench',
    operands: '[IMAGE...]',
    summary: 'Measure what this machine can fetch: images made for it, or those named, into throw-away stores',
    examples: [
      ['bench', '40 signed images from a local server'],
      ['bench --delay 50ms --rate 10M --jobs 8,16,32', 'as if the server were far away'],
      ['bench -f images.txt --rounds 1', 'the real thing'],
      ['bench --compare before.json', 'ends with 9 when it got slower'],
    ],
    load: async () => (await import('./commands/bench/bench.ts')).runBenchCommand,
  },
  {
    name: 'demo',
    operands: '',
    summary: 'Serve signed images locally and fetch them for real, for a first look',
    examples: [['demo --keep ./store', 'and keep the store']],
    load: async () => (await import('./commands/bench/demo.ts')).runDemoCommand,
  },
  {
    name: 'completion',
    operands: '<SHELL>',
    summary: 'Print a script that completes commands, options and their values in bash, zsh or fish',
    examples: [
      ['completion bash >~/.local/share/bash-completion/completions/longshore', 'for bash'],
      ['completion zsh >~/.zfunc/_longshore', 'for zsh, where fpath has ~/.zfunc'],
      ['completion fish >~/.config/fish/completions/longshore.fish', 'for fish'],
    ],
    load: async () => (await import('./commands/completion/completion.ts')).completionOf(commands),
  },
];
