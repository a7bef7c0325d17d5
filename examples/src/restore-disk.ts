import { BackupRepository, NotFoundError, type Point } from 'libvirt-ts-backup';
import { resolve } from 'node:path';
import { printLine } from './cli/output.ts';
import { startProgress } from './cli/progress.ts';
import { runCommand } from './cli/run.ts';

const help = `--from DIR --domain NAME --disk vda [--point ID|latest] --output FILE [--format raw] [--quiet]

Writes a disk as it was at a point in time to a new file.

  --from DIR         the repository
  --domain NAME      the domain, by name or UUID
  --disk NAME        the disk's target, such as vda
  --point ID|latest  which point, as list-points shows it; default latest
  --output FILE      must not exist; it appears when it is whole
  --format raw       format of the file
  --quiet            no progress bar

Prints one line of JSON: point, disk, file, size in bytes and seconds.`;

await runCommand(
  {
    name: 'restore-disk',
    help,
    positionals: [],
    switches: ['quiet'],
    settings: ['from', 'domain', 'disk', 'point', 'output', 'format'],
  },
  async (args, signal) => {
    const from = args.require('from');
    const domain = args.require('domain');
    const disk = args.require('disk');
    const output = args.require('output');
    args.choice('format', ['raw'], 'raw');
    const started = performance.now();
    const repository = await BackupRepository.open(from, { create: false });
    const point = select(await repository.points(domain), args.get('point') ?? 'latest', domain);
    const progress = await startProgress(args.has('quiet'));
    try {
      await repository.restore(point, disk, output, {
        signal,
        onProgress: ({ offset, size }) => {
          progress.update(disk, offset, size);
        },
      });
    } finally {
      progress.stop();
    }
    const size = point.disks.find(({ name }) => name === disk)?.size;
    const seconds = Number(((performance.now() - started) / 1000).toFixed(3));
    await printLine(JSON.stringify({ point: point.id, disk, file: resolve(output), size, seconds }));
  },
);

function select(points: readonly Point[], wanted: string, domain: string): Point {
  const point = wanted === 'latest' ? points.at(-1) : points.find(({ id }) => id === wanted);
  if (point !== undefined) return point;
  throw new NotFoundError('point', `domain ${domain} has no point ${wanted}: list-points shows those it has`);
}
