import library from './index.cjs';

export const {
  createApps,
  createFetcher,
  createFinder,
  createPusher,
  hasCode,
  ImageError,
  isImageError,
  openKeystore,
  openPolicy,
  openPool,
  openStore,
} = library;
