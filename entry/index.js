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
  openPool,
  openStore,
} = library;
