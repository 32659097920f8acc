import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const config = `
[ca]
default_ca = test
[test]
database = index.txt
new_certs_dir = .
default_md = sha256
policy = policy
rand_serial = yes
unique_subject = no
copy_extensions = copy
[policy]
commonName = supplied
[req]
distinguished_name = name
[name]
`;

/** PEM texts of a certificate for a server, its key, and the authority that signed it. */
export type Certificate = { readonly ca: string; readonly cert: string; readonly key: string };

let authority: Promise<{ ca: string; key: string }> | undefined;

/**
 * A certificate for these host names and addresses, by an authority made once for this process.
 *
 * @param expired - it ended years ago.
 */
export async function makeCertificate(names: readonly string[], expired = false): Promise<Certificate> {
  authority ??= makeAuthority();
  const { ca, key } = await authority;
  return inDirectory(async (directory) => {
    await writeFile(join(directory, 'ca.cnf'), config);
    await writeFile(join(directory, 'index.txt'), '');
    await writeFile(join(directory, 'ca.pem'), ca);
    await writeFile(join(directory, 'ca.key'), key);
    const alternatives = names.map((name) => (/^[\d.]+$|:/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(',');
    const extensions = ['-addext', `subjectAltName=${alternatives}`, '-addext', 'basicConstraints=CA:FALSE'];
    const request = ['req', '-config', 'ca.cnf', '-new', ...newKey('leaf.key'), '-subj', '/CN=test', ...extensions];
    await run('openssl', [...request, '-out', 'leaf.csr'], { cwd: directory });
    const dates = ['-startdate', '20200101000000Z', '-enddate', expired ? '20200201000000Z' : '20991231000000Z'];
    const sign = ['ca', '-batch', '-notext', '-config', 'ca.cnf', '-cert', 'ca.pem', '-keyfile', 'ca.key', ...dates];
    await run('openssl', [...sign, '-in', 'leaf.csr', '-out', 'leaf.pem'], { cwd: directory });
    const [cert, leafKey] = await readBoth(directory, 'leaf');
    return { ca, cert, key: leafKey };
  });
}

async function makeAuthority(): Promise<{ ca: string; key: string }> {
  return inDirectory(async (directory) => {
    await writeFile(join(directory, 'ca.cnf'), config);
    const request = [
      'req',
      '-config',
      'ca.cnf',
      '-x509',
      ...newKey('ca.key'),
      '-days',
      '3650',
      '-subj',
      '/CN=test authority',
    ];
    const extensions = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'subjectKeyIdentifier=hash'];
    await run('openssl', [...request, ...extensions, '-out', 'ca.pem'], { cwd: directory });
    const [ca, key] = await readBoth(directory, 'ca');
    return { ca, key };
  });
}

function newKey(file: string): string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', file];
}

function readBoth(directory: string, name: string): Promise<[string, string]> {
  return Promise.all([
    readFile(join(directory, `${name}.pem`), 'utf8'),
    readFile(join(directory, `${name}.key`), 'utf8'),
  ]);
}

async function inDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'certificate-'));
  try {
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}
