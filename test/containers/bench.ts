import { makeTemporaryFolder, type TemporaryFolder } from '../harness/index.ts';
import { type Engine, ownLabels, removeOwnLater, removeStale } from './engine.ts';
import { type NbdContainer, startNbdContainer } from './nbd-container.ts';
import { buildServerImage } from './server-image.ts';

/** An image with QEMU's NBD servers, a network and a folder of disks: what the containers of a file share. */
export interface ContainerBench extends AsyncDisposable {
  /** For images and copies; /disks in the containers. */
  readonly folder: TemporaryFolder;
  /** A path in the folder. */
  path(name: string): string;
  /** Runs a server of the image; see `NbdContainerOptions.command`. */
  start(...command: readonly string[]): Promise<NbdContainer>;
  /** Runs `qemu-nbd` for any number of clients. */
  startQemuNbd(...args: readonly string[]): Promise<NbdContainer>;
}

/** Makes a bench; disposing of it removes containers, network, image and folder. */
export async function openBench(engine: Engine): Promise<ContainerBench> {
  await removeStale(engine);
  const made = removeOwnLater(engine);
  const folder = makeTemporaryFolder('cont');
  const dispose = async (): Promise<void> => {
    folder.remove();
    await made[Symbol.asyncDispose]();
  };
  try {
    const image = await buildServerImage(engine, ['qemu-nbd', 'qemu-storage-daemon']);
    const network = `libvirt-ts-backup-test-${process.pid}`;
    await engine.network.create({ Name: network, Labels: ownLabels() });
    const start = (...command: readonly string[]): Promise<NbdContainer> =>
      startNbdContainer({ engine, image, network, command, disks: folder.path });
    return {
      folder,
      path: (name) => `${folder.path}/${name}`,
      start,
      startQemuNbd: (...args) => start('qemu-nbd', '-t', '-e', '0', '-r', '-b', '0.0.0.0', ...args),
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}
