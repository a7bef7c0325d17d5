import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LibvirtTlsError } from '../errors.ts';
import type { PkiLocation } from '../uri/endpoint.ts';

/** Our own certificates, in PEM. */
export interface Pki {
  readonly ca: PemFile | undefined;
  /** What is no longer to be trusted. */
  readonly crl: PemFile | undefined;
  readonly client: { readonly certificate: PemFile; readonly key: PemFile } | undefined;
  /** Where each was looked for, for messages. */
  readonly places: PkiPaths;
}

export interface PemFile {
  readonly path: string;
  readonly pem: Buffer;
}

export interface PkiPaths {
  readonly ca: string;
  readonly crl: string;
  readonly certificate: string;
  readonly key: string;
}

const SYSTEM: PkiPaths = {
  ca: '/etc/pki/CA/cacert.pem',
  crl: '/etc/pki/CA/cacrl.pem',
  certificate: '/etc/pki/libvirt/clientcert.pem',
  key: '/etc/pki/libvirt/private/clientkey.pem',
};

function pathsIn(folder: string): PkiPaths {
  return {
    ca: join(folder, 'cacert.pem'),
    crl: join(folder, 'cacrl.pem'),
    certificate: join(folder, 'clientcert.pem'),
    key: join(folder, 'clientkey.pem'),
  };
}

/**
 * Reads our certificates where libvirt has them: a folder that was given stands alone; a user's own files come
 * before the system's, one by one, only certificate and key as a pair.
 *
 * @throws LibvirtTlsError (`badCredentials`) for a file that is there and cannot be read
 */
export async function readPki(location: PkiLocation): Promise<Pki> {
  switch (location.kind) {
    case 'folder':
      return readAt(pathsIn(location.path));
    case 'system':
      return readAt(SYSTEM);
    case 'user': {
      const own = await readAt(pathsIn(join(location.home, '.pki/libvirt')));
      const system = await readAt(SYSTEM);
      return {
        ca: own.ca ?? system.ca,
        crl: own.crl ?? system.crl,
        client: own.client ?? system.client,
        places: {
          ca: `${own.places.ca} or ${SYSTEM.ca}`,
          crl: `${own.places.crl} or ${SYSTEM.crl}`,
          certificate: `${own.places.certificate} or ${SYSTEM.certificate}`,
          key: `${own.places.key} or ${SYSTEM.key}`,
        },
      };
    }
  }
}

async function readAt(places: PkiPaths): Promise<Pki> {
  const [ca, crl, certificate, key] = await Promise.all([
    readPem(places.ca),
    readPem(places.crl),
    readPem(places.certificate),
    readPem(places.key),
  ]);
  const client = certificate === undefined || key === undefined ? undefined : { certificate, key };
  return { ca, crl, client, places };
}

async function readPem(path: string): Promise<PemFile | undefined> {
  try {
    return { path, pem: await readFile(path) };
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw new LibvirtTlsError('badCredentials', `cannot read ${path}: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/**
 * Finds what every server would refuse before one is asked.
 *
 * @throws LibvirtTlsError (`badCredentials`) for what is no certificate, or one whose time is not now
 */
export function checkDates({ ca, client }: Pki, now: Date): void {
  for (const file of [ca, client?.certificate]) {
    if (file === undefined) continue;
    const certificate = parse(file);
    if (now > new Date(certificate.validTo))
      throw new LibvirtTlsError('badCredentials', `${file.path} expired on ${certificate.validTo}`);
    if (now < new Date(certificate.validFrom))
      throw new LibvirtTlsError('badCredentials', `${file.path} is valid only from ${certificate.validFrom}`);
  }
}

function parse({ path, pem }: PemFile): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new LibvirtTlsError('badCredentials', `${path} is no certificate in PEM`, { cause });
  }
}
