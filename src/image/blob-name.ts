/** What the blobs of images are called in `blobs/sha512`, and those of registries in `blobs/sha256`. */
export const imageBlobName = /^[0-9a-f]{128}$/;
export const registryBlobName = /^[0-9a-f]{64}$/;
