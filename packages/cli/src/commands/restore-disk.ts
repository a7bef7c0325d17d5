import { BackupRepository, NotFoundError, type Point } from 'libvirt-ts-backup';
import { resolve } from 'node:path';
import { type Command, defineCommand } from '../command-line/command.ts';
import { choice, flag, required, text } from '../command-line/option.ts';
import { domainOptions, requireDomain } from './domain-options.ts';
import { keyOptions, readKey } from './repository-options.ts';
import { jsonOption } from './json-option.ts';

export const command: Command = defineCommand({
  positionals: {},
  options: {
    from: required('DIR', 'the repository'),
    ...domainOptions,
    disk: required('NAME', "the disk's target, such as vda"),
    point: text('ID|latest', 'which point, as list-points shows it; default latest'),
    output: required('FILE', 'must not exist; it appears when it is whole'),
    format: choice(['raw'], 'raw', 'format of the file'),
    ...keyOptions,
    json: jsonOption('no progress bar'),
    quiet: flag('no progress bar'),
  },
  about: [
    'Writes a disk as it was at a point in time to a new file.',
    'Prints one line of JSON: point, disk, file, size in bytes and seconds.',
  ],
  async run({ from, domain, uuid, disk, output: file, ...values }, { output, signal, startProgress }) {
    requireDomain({ domain, uuid });
    const started = performance.now();
    await using repository = await BackupRepository.open(from, {
      create: false,
      key: await readKey(values),
      signal,
    });
    const points = await repository.points(uuid === undefined ? domain : { uuid });
    const point = select(points, values.point ?? 'latest', domain ?? uuid ?? '');
    const progress = await startProgress();
    try {
      await repository.restore(point, disk, file, {
        signal,
        onProgress: ({ done, total }) => {
          progress.update(disk, done, total);
        },
      });
    } finally {
      progress.stop();
    }
    const size = point.disks.find(({ name }) => name === disk)?.size;
    const seconds = Number(((performance.now() - started) / 1000).toFixed(3));
    await output.line(JSON.stringify({ point: point.id, disk, file: resolve(file), size, seconds }));
  },
});

function select(points: readonly Point[], wanted: string, domain: string): Point {
  const point = wanted === 'latest' ? points.at(-1) : points.find(({ id }) => id === wanted);
  if (point !== undefined) return point;
  throw new NotFoundError('point', `domain ${domain} has no point ${wanted}: list-points shows those it has`);
}
