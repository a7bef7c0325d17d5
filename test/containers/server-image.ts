import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { commandPath, makeTemporaryFolder, run } from '../harness/index.ts';
import { type Engine, ownLabels } from './engine.ts';

/** Runs without a name of its own in the image. */
const NOBODY = '65534:65534';

/**
 * Builds an image out of this machine's own programs and the libraries they need, and nothing else: no shell,
 * no base image, nothing from a registry. Resolves with its name.
 */
export async function buildServerImage(engine: Engine, programs: readonly string[]): Promise<string> {
  await using folder = makeTemporaryFolder('image');
  const rootFolder = folder.subfolder('root');
  for (const program of programs) {
    const path = commandPath(program);
    copyInto(rootFolder, path, `/usr/bin/${basename(path)}`);
    for (const library of await librariesOf(path)) copyInto(rootFolder, library, library);
  }
  writeFileSync(join(folder.path, 'Dockerfile'), `FROM scratch\nCOPY root/ /\nUSER ${NOBODY}\n`);
  const name = `libvirt-ts-backup-test:${process.pid}`;
  const { dockerode } = engine.container;
  const context = { context: folder.path, src: ['Dockerfile', 'root'] };
  const progress = await dockerode.buildImage(context, { t: name, labels: ownLabels(), forcerm: true });
  await new Promise<void>((resolve, reject) => {
    dockerode.modem.followProgress(progress, (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
  return name;
}

/** The shared libraries that the dynamic loader finds for a program, and the loader itself. */
async function librariesOf(program: string): Promise<string[]> {
  const output = await run(commandPath('ldd'), [program]);
  if (output.includes('not found')) throw new Error(`ldd ${program}: ${output.trim()}`);
  return [...output.matchAll(/(\/\S+) \(0x[0-9a-f]+\)$/gm)].map(([, path = '']) => path);
}

function copyInto(rootFolder: string, source: string, path: string): void {
  const target = join(rootFolder, path);
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(source, target); // follows symbolic links, keeps the mode
}
