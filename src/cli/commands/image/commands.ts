import type { Command, Run } from '../../command.ts';
import type { Subcommand } from './subcommand.ts';

/** The subcommands of `image`, for images in the store. None of them uses the network. */
export const imageCommands: readonly Command[] = [
  {
    name: 'image list',
    operands: '',
    summary: 'List the images of the store',
    examples: [
      ['image list --sort=size --order=desc', 'the largest first'],
      ['image list --fields=name,verified --no-legend', 'two columns, for a script'],
    ],
    load: () => load(import('./list.ts').then(({ list }) => list)),
  },
  {
    name: 'image show',
    operands: '<IMAGE>',
    summary: 'Show what the store knows of an image, and what it depends on',
    examples: [
      ['image show example.com/app:1.0', 'by name'],
      ['image show sha512-3f9a', 'by the first digits of its ID'],
      ['image show docker://busybox:1', 'as the registry served it'],
    ],
    load: () => load(import('./show.ts').then(({ showImage }) => showImage)),
  },
  {
    name: 'image cat-manifest',
    operands: '<IMAGE>',
    summary: 'Print the manifest of an image as it stands in the archive, or as the registry served it',
    examples: [['image cat-manifest --pretty-print example.com/app', 'indented']],
    load: () => load(import('./cat-manifest.ts').then(({ catManifest }) => catManifest)),
  },
  {
    name: 'image export',
    operands: '[IMAGE...] <FILE>',
    summary: 'Write images to a file, to a directory as an OCI layout, or to standard output, which is -',
    examples: [
      ['image export example.com/app:1.0 app.aci', 'the uncompressed archive: its sha512 is the image ID'],
      ['image export docker://busybox:1 busybox.tar', 'an image of a registry as an OCI archive'],
      ['image export --format=aci docker://busybox:1 busybox.aci', 'the archive that --keep=both would have kept'],
      ['image export -f images.txt --compress=zstd images.tar.zst', 'what a list names; a bundle if ACIs are among it'],
      ['image export --all --without there.json update.tar', 'what is not in there.json, an image list --output=json'],
      ['image export --all layout/', 'a directory, which is added to if it is an OCI layout'],
      ['image export --all --format=oci-archive - | ctr -n k8s.io images import -', 'into containerd'],
      ['image export --all --format=docker-archive - | podman load', 'into podman or docker'],
    ],
    load: () => load(import('./export.ts').then(({ exportCommand }) => exportCommand)),
  },
  {
    name: 'image import',
    operands: '<FILE> [IMAGE...]',
    summary: 'Bring the images of an archive or a layout into the store, of OCI or docker; - is the standard input',
    examples: [
      ['image import images.tar', 'all images of it, as fetch would bring them, by the signatures in it'],
      ['image import --insecure-options=image saved.tar', 'what docker save or podman save wrote, which is not signed'],
      ['image import layout/ docker://quay.io/team/app:1.0', 'one image of a layout'],
      ['image import --as example.com/app layout/', 'where the layout has only tags'],
    ],
    load: async () => (await import('./import.ts')).runImport,
  },
  {
    name: 'image extract',
    operands: '<IMAGE> <DIR>',
    summary: 'Unpack an image, without what it depends on, into a new directory',
    examples: [
      ['image extract example.com/app:1.0 app', 'its manifest and its rootfs'],
      ['image extract --rootfs-only --overwrite sha512-3f9a /srv/app', 'its files alone, in place of what was there'],
    ],
    load: () => load(import('./extract.ts').then(({ extract }) => extract)),
  },
  {
    name: 'image render',
    operands: '<IMAGE> <DIR>',
    summary: 'Unpack an image over all it depends on, as it would be run, into a new directory',
    examples: [['image render --rootfs-only example.com/app:1.0 /srv/app', 'a root filesystem']],
    load: () => load(import('./extract.ts').then(({ render }) => render)),
  },
  {
    name: 'image rm',
    operands: '<IMAGE...>',
    summary: 'Remove images: a name means every version, with labels those that have them; a digest every reference',
    examples: [['image rm example.com/app:1.0 sha512-3f9a', 'one version, and one image by its ID']],
    load: () => load(import('./rm.ts').then(({ rm }) => rm)),
  },
  {
    name: 'image gc',
    operands: '',
    summary: 'Remove what no image needs: loose blobs, old partial downloads, leftovers of dead processes',
    examples: [['image gc --grace-period=720h', 'and images that were not used for 30 days']],
    load: () => load(import('./gc.ts').then(({ gc }) => gc)),
  },
  {
    name: 'image prune',
    operands: '',
    summary: 'Remove what no list or lock file names, and nothing that they name needs',
    examples: [
      ['image prune -f images.txt --dry-run', 'first see what would go'],
      ['image prune --lock images.lock.json', 'keep the images of a lock file, and no others'],
    ],
    load: () => load(import('./prune.ts').then(({ prune }) => prune)),
  },
  {
    name: 'image verify',
    operands: '[IMAGE...]',
    summary: 'Read and hash images, all unless some are named, and say which are damaged',
    examples: [
      ['image verify --repair', 'and take the damaged ones off the list'],
      ['image verify --signatures', 'what the keys that are trusted now would refuse, without a network'],
    ],
    load: () => load(import('./verify.ts').then(({ verify }) => verify)),
  },
];

async function load(subcommand: Promise<Subcommand>): Promise<Run> {
  return (await import('./subcommand.ts')).onStore(await subcommand);
}
