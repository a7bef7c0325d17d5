// The NBD client's commands against nbdcopy, nbdinfo, qemu-img and @vates/nbd-client, as whole processes.
// Arguments: the cases to run, all by default.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { makeTemporaryFolder } from '../dist/harness/index.js';
import { makeDataImage, makeDirtyImage, makeScatteredImage } from './nbd-images.mjs';
import { serveDelayed, serveJob, serveOverTcp, serveOverTls, serveOverUnix } from './nbd-servers.mjs';
import { installVates } from './nbd-vates.mjs';
import { measure } from './measure.mjs';
import { atMost, compared, limited, median, noted, pairs, report } from './pairs.mjs';

const PAIRS = 5;
const PEAK_MIB = 120;
const BULK_GIB = 2;
const SCATTERED = { count: 32_768, bytes: 64 * 1024 };
const SCATTERED_GIB = (SCATTERED.count * SCATTERED.bytes) / 2 ** 30;
const DIRTY = { extents: 2 ** 20, bytes: 64 * 1024, name: 'b0' };
const VATES = { blockBytes: 2 ** 20, inFlight: 8 };

/** Each takes the tools and resolves with the rows of its table. Images are made on first use. */
const CASES = {
  null: ({ images, copy }) =>
    serveOverUnix({ image: images.data(), format: 'raw' }, (uri) =>
      contest({ name: 'to nowhere', peer: 'nbdcopy', unit: 'GiB/s', amount: BULK_GIB, speed: 1.25, cpu: 1 }, [
        copy(uri, 'null:'),
        ['nbdcopy', uri, 'null:'],
      ]),
    ),

  file: ({ images, copy, output }) =>
    serveOverUnix({ image: images.data(), format: 'raw' }, async (uri) => {
      const bulk = { name: 'to a file on tmpfs', unit: 'GiB/s', amount: BULK_GIB, output };
      return [
        ...(await contest({ ...bulk, peer: 'nbdcopy', speed: 1 }, [
          copy(uri, output),
          ['nbdcopy', uri, output],
        ])),
        ...(await contest({ ...bulk, peer: 'qemu-img convert' }, [
          copy(uri, output),
          ['qemu-img', 'convert', '-f', 'raw', '-O', 'raw', uri, output],
        ])),
      ];
    }),

  scattered: ({ images, copy }) =>
    serveOverUnix({ image: images.scattered() }, (uri) =>
      contest(
        {
          name: '32,768 scattered extents',
          peer: 'nbdcopy',
          unit: 'GiB/s',
          amount: SCATTERED_GIB,
          speed: 1.2,
        },
        [copy(uri, 'null:'), ['nbdcopy', uri, 'null:']],
      ),
    ),

  tls: ({ images, copy, folder }) =>
    serveOverTls({ image: images.data(), format: 'raw' }, folder, (uri) =>
      contest({ name: 'over TLS', peer: 'nbdcopy', unit: 'GiB/s', amount: BULK_GIB, speed: 1 }, [
        copy(uri, 'null:'),
        ['nbdcopy', uri, 'null:'],
      ]),
    ),

  delay: ({ images, copy }) =>
    serveDelayed(images.data(), 10, (uri) =>
      contest(
        { name: '10 ms delay for each read', peer: 'nbdcopy', unit: 'GiB/s', amount: BULK_GIB, speed: 1 },
        [copy(uri, 'null:'), ['nbdcopy', uri, 'null:']],
      ),
    ),

  vates: async ({ images, copy, folder }) => {
    const vates = await installVates(folder);
    if (typeof vates === 'string') {
      process.stderr.write(`${vates}\n`);
      return [{ name: '@vates/nbd-client left out', unit: '', goal: undefined }];
    }
    const { inFlight } = VATES;
    const against = { peer: '@vates/nbd-client', unit: 'GiB/s', user: 0.6 };
    const bulk = await serveOverTcp({ image: images.data(), format: 'raw' }, (uri) =>
      contest({ ...against, name: 'over TCP', amount: BULK_GIB, speed: 1.2 }, [
        copy(uri, 'null:'),
        vates({ uri, blockBytes: VATES.blockBytes, inFlight }),
      ]),
    );
    const scattered = await serveOverTcp({ image: images.scattered() }, (uri) =>
      contest({ ...against, name: 'scattered, over TCP', amount: SCATTERED_GIB, speed: 1.4 }, [
        copy(uri, 'null:'),
        // Larger blocks would make it read the holes too.
        vates({ uri, blockBytes: SCATTERED.bytes, inFlight, dataOnly: true }),
      ]),
    );
    return [...bulk, ...scattered];
  },

  scan: ({ images, list }) =>
    serveOverUnix({ image: images.dirty(), bitmaps: [DIRTY.name] }, (uri) => {
      const context = `qemu:dirty-bitmap:${DIRTY.name}`;
      const extents = DIRTY.extents / 1e6;
      return contest(
        {
          name: `scan of 2^20 extents`,
          peer: 'nbdinfo --map',
          unit: 'million/s',
          amount: extents,
          speed: 0.5,
        },
        [list(uri, context), ['nbdinfo', `--map=${context}`, uri]],
      );
    }),

  job: ({ copy }) =>
    serveJob(1, (uri, gib) =>
      contest({ name: 'out of a pull job', peer: 'nbdcopy', unit: 'GiB/s', amount: gib }, [
        copy(uri, 'null:'),
        ['nbdcopy', uri, 'null:'],
      ]),
    ),
};

export default async function run({ root, args }) {
  const unknown = args.filter((name) => !Object.hasOwn(CASES, name));
  if (unknown.length > 0) {
    const names = Object.keys(CASES).join(', ');
    process.stderr.write(`There is no case ${unknown.join(', ')}; the cases are ${names}\n`);
    return false;
  }
  // On tmpfs: the disk of the machine is not what is measured.
  const folder = makeTemporaryFolder('bench', '/dev/shm');
  const command = (name) => [process.execPath, join(root, 'packages/cli/bundle/main.js'), name];
  const tools = {
    folder: folder.path,
    output: join(folder.path, 'copy.raw'),
    images: lazily({
      data: () => makeDataImage(folder.path, BULK_GIB),
      scattered: () => makeScatteredImage(folder.path, SCATTERED),
      dirty: () => makeDirtyImage(folder.path, DIRTY),
    }),
    copy: (uri, output) => [...command('copy-disk'), uri, output, '--quiet'],
    list: (uri, context) => [...command('list-extents'), uri, '--context', context],
  };
  const rows = [];
  try {
    for (const [name, measureCase] of Object.entries(CASES))
      if (args.length === 0 || args.includes(name)) rows.push(...(await measureCase(tools)));
    return report(root, 'nbd', rows);
  } finally {
    folder.remove();
  }
}

function lazily(makers) {
  const made = new Map();
  const entries = Object.entries(makers).map(([name, make]) => [
    name,
    () => {
      if (!made.has(name)) made.set(name, make());
      return made.get(name);
    },
  ]);
  return Object.fromEntries(entries);
}

/** Runs two commands in pairs: rows for their speed, user and all CPU time, and peak memory. */
async function contest(wanted, [ours, theirs]) {
  const { name, peer, unit, amount, speed, cpu, user, output } = wanted;
  process.stderr.write(`${name}, against ${peer} …\n`);
  /** @type {Record<'ours' | 'theirs', Awaited<ReturnType<typeof measure>>[]>} */
  const runs = { ours: [], theirs: [] };
  const timed = (side, [command, ...args]) => {
    return async () => {
      if (output !== undefined) rmSync(output, { force: true });
      const result = await measure(command, args);
      runs[side].push(result);
      return amount / result.wallSeconds;
    };
  };
  const result = await pairs(PAIRS, timed('ours', ours), timed('theirs', theirs));
  // Without the warm-up.
  const values = (key) => [runs.ours, runs.theirs].map((side) => side.slice(1).map((each) => each[key]));
  const title = (what) => `${name}, ${peer}: ${what}`;
  const costs = (what, goal, key) =>
    goal === undefined
      ? noted(title(what), 's', ...values(key))
      : atMost(title(what), 's', goal, ...values(key));
  const [mine = [], other = []] = values('peakMiB');
  return [
    speed === undefined
      ? noted(title('speed'), unit, result.ours, result.theirs)
      : compared(title('speed'), unit, speed, result),
    costs('user CPU', user, 'userSeconds'),
    costs('user + system CPU', cpu, 'cpuSeconds'),
    { ...limited(title('peak memory'), 'MiB', Math.max(...mine), PEAK_MIB), theirs: median(other) },
  ];
}
