// Backs up what an NBD server shows, with all that a backup does but for a hypervisor. Packs go as soon as they are
// whole, so that a large disk needs no room. Arguments: path of the server's socket, bytes of the disk, folder.
import { BackupRepository, folderStorage, openNbdExport } from 'libvirt-ts-backup';

const [socket = '', sizeText, folder = ''] = process.argv.slice(2);
const path = '/images/vda.qcow2';
const checkpoints = new Map();
let job = null;

const disk = {
  name: 'vda',
  device: 'disk',
  format: 'qcow2',
  source: { type: 'file', path },
  chain: [path],
  size: Number(sizeText),
  isReadOnly: false,
  isShareable: false,
  isTransient: false,
  isEncrypted: false,
};

/** @type {any} */
const domain = {
  name: 'sparse',
  uuid: '11111111-2222-3333-4444-555555555555',
  describe: async () => ({
    isActive: true,
    isPersistent: true,
    disks: [disk],
    definition: { live: '<domain/>', inactive: '<domain/>' },
    versions: { libvirt: '9.0.0', hypervisor: '7.2.0' },
  }),
  beginBackup: async ({ socket: asked, disks, checkpoint }) => {
    job = { mode: 'pull', socket: asked, disks };
    if (checkpoint !== null)
      checkpoints.set(checkpoint.name, { name: checkpoint.name, creationTime: 1_700_000_000, disks: [] });
  },
  runningJob: async () => job,
  abortJob: async () => {
    job = null;
  },
  checkpointNames: async () => [...checkpoints.keys()],
  checkpoint: async (name) => checkpoints.get(name) ?? null,
  redefineCheckpoint: async () => undefined,
  deleteCheckpoint: async (name) => checkpoints.delete(name),
  imageBitmaps: async () => [],
  removeBitmap: async () => undefined,
};

const openExport = (_, options) => openNbdExport({ socket, exportName: '' }, options);
const files = folderStorage(folder);
const storage = new Proxy(files, {
  get(target, name) {
    if (name === 'create') return createShortLived;
    const member = Reflect.get(target, name);
    return typeof member === 'function' ? member.bind(target) : member;
  },
});
const repository = await BackupRepository.open(storage, { openExport });
const { storedBytes } = await repository.backup(domain);
await repository[Symbol.asyncDispose]();
process.stdout.write(`${storedBytes} bytes stored\n`);

async function createShortLived(name, options) {
  const object = await files.create(name, options);
  return {
    write: (bytes, given) => object.write(bytes, given),
    discard: () => object.discard(),
    commit: async (given) => {
      await object.commit(given);
      if (name.startsWith('packs/')) await files.remove(name);
    },
  };
}
