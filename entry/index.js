import library from './index.cjs';

export const {
  createApps,
  createFetcher,
  createFinder,
  hasCode,
  ImageError,
  isImageError,
  openKeystore,
  openPool,
  openStore,
} = library;
