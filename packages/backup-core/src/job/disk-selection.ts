import type { DiskFacts } from '../ports/domain.ts';
import type { ExcludedDisk, ExclusionReason } from '../words/disk-answers.ts';
import { BackupPlanError, NotFoundError } from '../words/errors.ts';
import { shown } from '../words/peer-names.ts';

/** Each disk of a domain, on one side or the other. */
export interface Selection {
  readonly included: readonly DiskFacts[];
  readonly excluded: readonly ExcludedDisk[];
}

/**
 * Gives each disk its own answer; none of them costs another one its backup.
 *
 * @param wanted - targets; absent: every disk that is no removable medium, can change, and is changed by nobody else
 * @throws NotFoundError (`disk`), or BackupPlanError (`no-disks`)
 */
export function selectDisks(
  domain: { readonly name: string },
  disks: readonly DiskFacts[],
  wanted: readonly string[] | undefined,
): Selection {
  for (const name of wanted ?? [])
    if (!disks.some((disk) => disk.name === name))
      throw new NotFoundError(
        'disk',
        `domain ${shown(domain.name)} has no disk ${shown(name)}, only ${disks.map((disk) => disk.name).join(', ')}`,
      );
  const included: DiskFacts[] = [];
  const excluded: ExcludedDisk[] = [];
  for (const disk of disks) {
    const answer = answerFor(disk, wanted);
    if (answer === undefined) included.push(disk);
    else excluded.push({ name: disk.name, reason: answer[0], message: `disk ${disk.name} ${answer[1]}` });
  }
  if (included.length > 0) return { included, excluded };
  const reasons = excluded.map(({ message }) => message).join('; ');
  throw new BackupPlanError(
    'no-disks',
    `domain ${shown(domain.name)} has no disk to back up${reasons === '' ? '' : `: ${reasons}`}`,
  );
}

type Answer = readonly [reason: ExclusionReason, sentence: string];

/** @returns undefined: it is backed up */
function answerFor(disk: DiskFacts, wanted: readonly string[] | undefined): Answer | undefined {
  if (wanted === undefined) return byDefault(disk) ?? whyNotExported(disk);
  return wanted.includes(disk.name) ? whyNotExported(disk) : ['not-selected', 'was not selected'];
}

function byDefault(disk: DiskFacts): Answer | undefined {
  if (disk.device === 'cdrom' || disk.device === 'floppy')
    return [disk.device, `is a ${disk.device}: name it to back it up`];
  if (disk.isReadOnly)
    return ['read-only', 'is read-only, its guest cannot change it: name it to back it up'];
  if (disk.isShareable)
    return [
      'shareable',
      'is shareable, others may write to it while it is read: name it to back it up all the same',
    ];
  return undefined;
}

/** What QEMU cannot export at one moment, by libvirt 9.0 and QEMU 7.2. */
function whyNotExported({ device, source, chain, isTransient }: DiskFacts): Answer | undefined {
  if (source.type === 'none' || chain.length === 0) return ['no-medium', 'has no medium'];
  if (isTransient)
    return [
      'unsupported',
      'is transient, what is written to it is thrown away: libvirt exports no such disk',
    ];
  if (device === 'lun')
    return ['unsupported', 'is passed to its guest as a SCSI device, whose writes QEMU does not see'];
  if (source.type === 'vhostuser' || source.type === 'other')
    return ['unsupported', `is ${shown(source.description)}, which QEMU cannot export`];
  return undefined;
}

/** Whether a checkpoint can have a bitmap on the disk that knows of every change. */
export function canBeTracked({ device, format, isReadOnly, isShareable }: DiskFacts): boolean {
  return device === 'disk' && format === 'qcow2' && !isReadOnly && !isShareable;
}
