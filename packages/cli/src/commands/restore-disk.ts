import {
  BackupRepository,
  NotFoundError,
  type Point,
  type Progress,
  type RestoreTarget,
} from 'libvirt-ts-backup';
import { resolve } from 'node:path';
import { type Command, defineCommand } from '../command-line/command.ts';
import { flag, required, text } from '../command-line/option.ts';
import { UsageError } from '../command-line/usage-error.ts';
import { domainOptions, requireDomain } from './domain-options.ts';
import { keyOptions, privateKeyOption, readKey, readPrivateKey } from './repository-options.ts';
import { jsonOption } from './json-option.ts';

export const command: Command = defineCommand({
  positionals: {},
  options: {
    from: required('DIR', 'the repository'),
    ...domainOptions,
    disk: required('NAME', "the disk's target, such as vda"),
    point: text('ID|latest', 'which point, as list-points shows it; default latest'),
    output: text(
      'FILE',
      'a new raw file; it appears when it is whole, and a restore that was interrupted goes on',
    ),
    'to-device': text(
      'PATH',
      'instead: a block device or file that is there already and is as large; what differs is written over, for good',
    ),
    'to-nbd': text(
      'URI',
      'instead: an NBD export that can be written; what differs is written over, for good',
    ),
    salvage: flag(
      'of a damaged point, writes what is left to FILE.salvaged, zeroes for what is lost, and says which ranges; exits with 1 where anything is lost',
    ),
    ...keyOptions,
    ...privateKeyOption,
    json: jsonOption('no progress bar'),
    quiet: flag('no progress bar'),
  },
  about: [
    'Writes a disk as it was at a point in time to a new file, or into what is there already.',
    'Prints one line of JSON: point, disk, size and other counts in bytes, file and seconds.',
  ],
  async run({ from, domain, uuid, disk, ...values }, { output, signal, startProgress, endBadly }) {
    requireDomain({ domain, uuid });
    const target = targetOf(values);
    const started = performance.now();
    const [key, privateKey] = [await readKey(values), await readPrivateKey(values)];
    await using repository = await BackupRepository.open(from, { create: false, key, privateKey, signal });
    const listing = await repository.inspect(uuid === undefined ? domain : { uuid }, { signal });
    const points = listing.points.map(({ point }) => point);
    const point = select(points, values.point ?? 'latest', domain ?? uuid ?? '');
    const progress = await startProgress();
    const options = {
      signal,
      onProgress: ({ done, total }: Progress) => {
        progress.update(disk, done, total);
      },
    };
    let result: object;
    try {
      if (values.salvage) {
        const report = await repository.salvage(point, disk, target.path, options);
        if (report.badBytes > 0) endBadly();
        result = { ...report, path: undefined, file: resolve(report.path) };
      } else {
        const file = target.type === 'nbd' ? target.path : resolve(target.path);
        result = { file, ...(await repository.restore(point, disk, placeOf(target), options)) };
      }
    } finally {
      progress.stop();
    }
    const size = point.disks.find(({ name }) => name === disk)?.size;
    const seconds = Number(((performance.now() - started) / 1000).toFixed(3));
    await output.line(JSON.stringify({ point: point.id, disk, size, ...result, seconds }));
  },
});

interface Target {
  readonly type: 'file' | 'existing' | 'nbd';
  readonly path: string;
}

/** @throws UsageError unless exactly one is given */
function targetOf(values: {
  readonly output: string | undefined;
  readonly 'to-device': string | undefined;
  readonly 'to-nbd': string | undefined;
  readonly salvage: boolean;
}): Target {
  const given: readonly (readonly [Target['type'], string | undefined])[] = [
    ['file', values.output],
    ['existing', values['to-device']],
    ['nbd', values['to-nbd']],
  ];
  const [target, other] = given.flatMap(([type, path]) => (path === undefined ? [] : [{ type, path }]));
  if (target === undefined) throw new UsageError('--output is missing');
  if (other !== undefined) throw new UsageError('--output, --to-device and --to-nbd exclude each other');
  if (values.salvage && target.type !== 'file') throw new UsageError('--salvage goes with --output');
  return target;
}

function placeOf({ type, path }: Target): RestoreTarget {
  if (type === 'file') return path;
  return type === 'nbd' ? { nbd: path } : { existing: path };
}

function select(points: readonly Point[], wanted: string, domain: string): Point {
  const point = wanted === 'latest' ? points.at(-1) : points.find(({ id }) => id === wanted);
  if (point !== undefined) return point;
  throw new NotFoundError('point', `domain ${domain} has no point ${wanted}: list-points shows those it has`);
}
