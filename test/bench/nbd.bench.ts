/**
 * copy-disk and list-extents against nbdcopy, qemu-img and nbdinfo: whole processes, start-up included.
 * Arguments: the cases to run, all by default.
 */
import { createWriteStream, rmSync } from 'node:fs';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createImage, makeTemporaryFolder, run, startQemuNbd } from '../harness/index.ts';
import { measure, type Measurement } from './measure.ts';
import { compete, type Outcome, report } from './pairs.ts';

const MIB = 1024 * 1024;
const EXTENT_BYTES = 64 * 1024;
const SCATTERED_EXTENTS = 32_768;
const IMAGE_MIB = 2048;
const example = (name: string): string =>
  fileURLToPath(new URL(`../../../examples/dist/${name}.js`, import.meta.url));

const ours = (name: string, ...args: string[]): Promise<Measurement> =>
  measure(process.execPath, [example(name), ...args]);

const wanted = process.argv.slice(2);
const outcomes: Outcome[] = [];

/** On tmpfs: the disk of the machine is not what is measured. */
const folder = makeTemporaryFolder('bench', '/dev/shm');
try {
  if (isWanted('null') || isWanted('file') || isWanted('cpu')) await bulk();
  if (isWanted('scattered')) await scattered();
  report('nbd', outcomes);
} finally {
  folder.remove();
}

function isWanted(name: string): boolean {
  return wanted.length === 0 || wanted.includes(name);
}

async function contest(
  name: string,
  peer: string,
  goal: { readonly measure: keyof Measurement; readonly atMost: number },
  sides: { readonly ours: () => Promise<Measurement>; readonly theirs: () => Promise<Measurement> },
): Promise<void> {
  process.stderr.write(`${name} against ${peer} …\n`);
  outcomes.push(await compete({ name, peer, ...goal, ...sides }));
}

async function bulk(): Promise<void> {
  const image = join(folder.path, 'data.raw');
  await writeRandom(image, IMAGE_MIB);
  await using server = await startQemuNbd({ image, format: 'raw' });
  const { uri } = server;
  const toNull = {
    ours: () => ours('copy-disk', uri, 'null:', '--quiet'),
    theirs: () => measure('nbdcopy', [uri, 'null:']),
  };
  if (isWanted('null'))
    await contest('2 GiB to nowhere', 'nbdcopy', { measure: 'wallSeconds', atMost: 1 / 1.25 }, toNull);
  if (isWanted('cpu'))
    await contest('2 GiB to nowhere, CPU', 'nbdcopy', { measure: 'cpuSeconds', atMost: 1 }, toNull);
  if (!isWanted('file')) return;
  const output = join(folder.path, 'copy.raw');
  const fresh = async (copy: () => Promise<Measurement>): Promise<Measurement> => {
    rmSync(output, { force: true });
    return copy();
  };
  const goal = { measure: 'wallSeconds', atMost: 1 } as const;
  const oursToFile = (): Promise<Measurement> => fresh(() => ours('copy-disk', uri, output, '--quiet'));
  await contest('2 GiB to a file on tmpfs', 'nbdcopy', goal, {
    ours: oursToFile,
    theirs: () => fresh(() => measure('nbdcopy', [uri, output])),
  });
  await contest('2 GiB to a file on tmpfs', 'qemu-img convert', goal, {
    ours: oursToFile,
    theirs: () => fresh(() => measure('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', uri, output])),
  });
}

async function scattered(): Promise<void> {
  const image = join(folder.path, 'scattered.qcow2');
  await createImage({ path: image, size: 2 * SCATTERED_EXTENTS * EXTENT_BYTES });
  // Every other cluster: written by qemu-io from its standard input, a command a line.
  const commands = Array.from(
    { length: SCATTERED_EXTENTS },
    (_, index) => `write -q -P 17 ${2 * index * EXTENT_BYTES} 64k`,
  );
  const script = join(folder.path, 'commands');
  await writeLines(script, commands);
  await run('bash', ['-c', 'qemu-io -f qcow2 "$1" <"$2" >/dev/null', '_', image, script]);
  await using server = await startQemuNbd({ image });
  await contest(
    '32,768 scattered extents of 64 KiB to nowhere',
    'nbdcopy',
    { measure: 'wallSeconds', atMost: 1 / 1.2 },
    {
      ours: () => ours('copy-disk', server.uri, 'null:', '--quiet'),
      theirs: () => measure('nbdcopy', [server.uri, 'null:']),
    },
  );
}

async function writeRandom(path: string, mebibytes: number): Promise<void> {
  const file = createWriteStream(path);
  const block = Buffer.alloc(MIB);
  for (let written = 0; written < mebibytes; written++)
    if (!file.write(randomFillSync(Buffer.from(block)))) await once(file, 'drain');
  file.end();
  await once(file, 'finish');
}

async function writeLines(path: string, lines: readonly string[]): Promise<void> {
  const file = createWriteStream(path);
  file.end(`${lines.join('\n')}\n`);
  await once(file, 'finish');
}
