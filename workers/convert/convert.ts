import { parseImageId } from '../../src/image/image-id.ts';
import { parseManifest } from '../../src/image/manifest.ts';
import { withOutput } from '../ingest/output.ts';
import { overLimit } from '../tar/refuse.ts';
import type { Handler } from '../tasks.ts';
import { type ImageConfig, parseImageConfig } from './image-config.ts';
import { checkPlatform, formatManifest } from './image-manifest.ts';
import { findNode } from './layer-path.ts';
import { type ReadTree, readTree } from './read-tree.ts';
import type { ConvertRequest } from './requests.ts';
import { createTarOutput, readContent, writeImage } from './write-image.ts';

const passwdBytes = 1024 * 1024;
const maxWarnings = 64;

/**
 * Converts the layers of a registry image to one image: reads the headers of all layers, then writes the resulting
 * tree. The same config, layers and origin always give the same image ID. The memory needed depends on the number of
 * paths, not on their content.
 *
 * @throws MANIFEST_INVALID, PLATFORM_MISSING, ARCHIVE_INVALID, LIMIT_EXCEEDED, NAME_INVALID, FILE_NOT_FOUND,
 * FILE_UNREADABLE, STORE_FULL, STORE_READ_ONLY, STORE_CORRUPT; then the image file has been removed
 * @see docs/rules.md R8
 */
export const convert: Handler<'convert'> = async (request) => {
  const config = parseImageConfig(request.config);
  checkPlatform(config); // before any layer is read
  await using files = new AsyncDisposableStack();
  const tree = await readTree(request, files);
  const { manifest, ...about } = describe(request, config, tree);
  const { result: written, stamp } = await withOutput(request.image, async (write) => {
    const output = createTarOutput(request.limits.unpackedBytes, write);
    await writeImage(Buffer.from(manifest), tree, output);
    return output.end();
  });
  return { imageId: parseImageId(`sha512-${written.hex}`), size: written.size, stamp, manifest, ...about };
};

function describe({ origin, limits }: ConvertRequest, config: ImageConfig, tree: ReadTree) {
  const warnings: string[] = [];
  const readPasswd = (): string => {
    const passwd = findNode(tree.root, 'etc/passwd');
    return passwd?.kind === 'file' ? readContent(tree, passwd, passwdBytes).toString() : '';
  };
  const manifest = formatManifest(config, origin, readPasswd, (line) => {
    if (warnings.length < maxWarnings) warnings.push(line);
  });
  const bytes = Buffer.from(manifest);
  if (bytes.length > limits.manifestBytes) {
    throw overLimit('manifest', limits.manifestBytes, `an image manifest of ${bytes.length} bytes`);
  }
  return { manifest, parsed: parseManifest(bytes).manifest, warnings };
}
