// copy-disk against nbdcopy and qemu-img, as whole processes. Arguments: the cases to run, all by default.
import { randomFillSync } from 'node:crypto';
import { createWriteStream, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { createImage, makeTemporaryFolder, run as runCommand, startQemuNbd } from '../dist/harness/index.js';
import { measure } from './measure.mjs';
import { compared, limited, median, pairs, report } from './pairs.mjs';

const PAIRS = 5;
const MIB = 1024 * 1024;
const GIB = 2; // of the image
const EXTENT_BYTES = 64 * 1024;
const EXTENTS = 32_768;
const PEAK_MIB = 120;

export default async function run({ root, args }) {
  const rows = [];
  // On tmpfs: the disk of the machine is not what is measured.
  const folder = makeTemporaryFolder('bench', '/dev/shm');
  const ours = (uri, output) =>
    measure(process.execPath, [join(root, 'examples/dist/copy-disk.js'), uri, output, '--quiet']);
  const wanted = (name) => args.length === 0 || args.includes(name);
  try {
    if (wanted('null') || wanted('file')) {
      const image = join(folder.path, 'data.raw');
      await writeRandom(image, GIB * 1024);
      const output = join(folder.path, 'copy.raw');
      rows.push(...(await served({ image, format: 'raw' }, (uri) => bulk(uri, output, ours, wanted))));
    }
    if (wanted('scattered')) {
      const image = await makeScattered(folder.path);
      rows.push(...(await served({ image }, (uri) => scattered(uri, ours))));
    }
    return report(root, 'nbd', rows);
  } finally {
    folder.remove();
  }
}

/** Rows for the throughput, for the CPU time and for our memory, out of the same pairs of runs. */
async function contest(name, peer, goals, amount, ours, theirs) {
  const runs = { ours: [], theirs: [] };
  const noted = (side, start) => async () => {
    const result = await start();
    runs[side].push(result);
    return amount / result.wallSeconds;
  };
  process.stderr.write(`${name}, against ${peer} …\n`);
  const throughput = await pairs(PAIRS, noted('ours', ours), noted('theirs', theirs));
  const rows = [compared(`${name}, ${peer}`, 'GiB/s', goals.throughput, throughput)];
  if (goals.cpu !== undefined) {
    const perCpu = (side) => runs[side].slice(1).map(({ cpuSeconds }) => amount / cpuSeconds);
    const [mine, other] = [perCpu('ours'), perCpu('theirs')];
    const ratios = mine.map((value, index) => value / other[index]);
    rows.push(
      compared(`${name}, CPU, ${peer}`, 'GiB/CPU-s', goals.cpu, { ours: mine, theirs: other, ratios }),
    );
  }
  rows.push(
    limited(`${name}, peak memory`, 'MiB', median(runs.ours.map(({ peakMiB }) => peakMiB)), PEAK_MIB),
  );
  return rows;
}

async function served(options, use) {
  const server = await startQemuNbd(options);
  try {
    return await use(server.uri);
  } finally {
    await server.stop();
  }
}

async function bulk(uri, output, ours, wanted) {
  const fresh = (copy) => () => {
    rmSync(output, { force: true });
    return copy();
  };
  const rows = [];
  if (wanted('null')) {
    const theirs = () => measure('nbdcopy', [uri, 'null:']);
    rows.push(
      ...(await contest(
        'to nowhere',
        'nbdcopy',
        { throughput: 1.25, cpu: 1 },
        GIB,
        () => ours(uri, 'null:'),
        theirs,
      )),
    );
  }
  if (!wanted('file')) return rows;
  const mine = fresh(() => ours(uri, output));
  const nbdcopy = fresh(() => measure('nbdcopy', [uri, output]));
  const convert = fresh(() => measure('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', uri, output]));
  rows.push(...(await contest('to a file on tmpfs', 'nbdcopy', { throughput: 1 }, GIB, mine, nbdcopy)));
  rows.push(
    ...(await contest('to a file on tmpfs', 'qemu-img convert', { throughput: 1 }, GIB, mine, convert)),
  );
  return rows;
}

/** Every other cluster, by qemu-io from its standard input, a command a line. */
async function makeScattered(folder) {
  const image = join(folder, 'scattered.qcow2');
  await createImage({ path: image, size: 2 * EXTENTS * EXTENT_BYTES });
  const commands = Array.from(
    { length: EXTENTS },
    (_, index) => `write -q -P 17 ${2 * index * EXTENT_BYTES} 64k\n`,
  );
  const script = join(folder, 'commands');
  writeFileSync(script, commands.join(''));
  await runCommand('bash', ['-c', 'qemu-io -f qcow2 "$1" <"$2" >/dev/null', '_', image, script]);
  return image;
}

function scattered(uri, ours) {
  const theirs = () => measure('nbdcopy', [uri, 'null:']);
  const amount = (EXTENTS * EXTENT_BYTES) / (1024 * MIB);
  return contest(
    '32,768 scattered extents',
    'nbdcopy',
    { throughput: 1.2 },
    amount,
    () => ours(uri, 'null:'),
    theirs,
  );
}

async function writeRandom(path, mebibytes) {
  const file = createWriteStream(path);
  for (let written = 0; written < mebibytes; written++)
    if (!file.write(randomFillSync(Buffer.allocUnsafe(MIB)))) await once(file, 'drain');
  file.end();
  await once(file, 'finish');
}
