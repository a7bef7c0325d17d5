// The servers that the NBD benchmarks read from, each for the time that `use` takes.
import { join } from 'node:path';
import { startPullBackup } from 'libvirt-ts-backup';
import { connect } from 'libvirt-ts-rpc';
import {
  defineDomain,
  makePresharedKeys,
  startLibvirtd,
  startNbdkit,
  startQemuNbd,
} from '../dist/harness/index.js';

const GIB = 2 ** 30;

export function serveOverUnix(options, use) {
  return during(startQemuNbd(options), ({ uri }) => use(uri));
}

export function serveOverTcp(options, use) {
  return during(startQemuNbd({ ...options, transport: 'tcp' }), ({ uri }) => use(uri));
}

/** TLS with pre-shared keys, which needs no certificate check on either side. */
export async function serveOverTls(options, folder, use) {
  const keys = join(folder, 'keys');
  const file = await makePresharedKeys(keys, 'bench');
  const creds = ['--object', `tls-creds-psk,id=t,endpoint=server,dir=${keys}`, '--tls-creds', 't'];
  return during(startQemuNbd({ ...options, args: creds }), ({ endpoint }) =>
    use(`nbds+unix://bench@/?socket=${endpoint.path}&tls-psk-file=${file}`),
  );
}

/** Every read is answered so much later; as many as a client likes may wait at once. */
export function serveDelayed(image, milliseconds, use) {
  const options = {
    plugin: 'file',
    filters: ['delay'],
    parameters: [image, `delay-read=${milliseconds}ms`],
    readOnly: true,
    args: ['--threads=64'],
  };
  return during(startNbdkit(options), ({ uri }) => use(uri));
}

/** The server inside QEMU while a pull job of a domain runs, with so much data on its disk. */
export async function serveJob(gibibytes, use) {
  const libvirtd = await startLibvirtd();
  try {
    const libvirt = await connect(libvirtd.uri);
    const disks = [{ size: 2 * gibibytes * GIB }];
    const domain = await defineDomain(libvirt, libvirtd, { name: 'bench', disks });
    await domain.write(0, `write -P 0x5a 0 ${gibibytes * GIB}`);
    const backup = await startPullBackup(domain.handle, { scratchDir: libvirtd.scratchDir });
    try {
      return await use(backup.disks[0]?.nbdUri, gibibytes);
    } finally {
      await backup.abort();
      await domain.remove();
      await libvirt.close();
    }
  } finally {
    await libvirtd.stop();
  }
}

async function during(starting, use) {
  const server = await starting;
  try {
    return await use(server);
  } finally {
    await server.stop();
  }
}
