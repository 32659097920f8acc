import type { Auth } from './kinds.ts';

/** The value of the Authorization header. @see RFC 7617 (Basic), RFC 6750 (Bearer) */
export function authorization(auth: Auth): string {
  switch (auth.type) {
    case 'basic': {
      const { user, password } = auth.credentials;
      return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
    }
    case 'oauth':
      return `Bearer ${auth.credentials.token}`;
  }
}
