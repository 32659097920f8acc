import library from './transport.cjs';

export const { checkTransport } = library;
