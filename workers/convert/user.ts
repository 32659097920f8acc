export type User = { readonly user: string; readonly group: string };

/**
 * The user and group of a text such as `redis`, `1000` and `user:group`. Where it names no group, a number is the group's
 * too, and a name's group is looked up.
 *
 * @param readPasswd - the image's own /etc/passwd, empty when there is none.
 */
export function toUser(text: string, readPasswd: () => string): User {
  const [user = '', group = ''] = text.split(':');
  if (user === '' || group !== '') return { user: user || '0', group: group || '0' };
  return { user, group: /^\d+$/.test(user) ? user : findGroup(user, readPasswd()) };
}

function findGroup(user: string, passwd: string): string {
  for (const line of passwd.split('\n')) {
    const [name, , , group = ''] = line.split(':');
    if (name === user && /^\d+$/.test(group)) return group;
  }
  return '0';
}
