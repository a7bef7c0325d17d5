import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BackupJobError, messageOf } from '../../words/errors.ts';
import type { HypervisorDomain } from '../../ports/hypervisor-domain.ts';
import { buildDomainBackup } from '../../adapters/libvirt/xml/domain-backup.ts';
import { buildDomainCheckpoint } from '../../adapters/libvirt/xml/domain-checkpoint.ts';
import { parseDomainDisks } from '../../adapters/libvirt/xml/domain-disks.ts';
import type { JobPlan } from '../plan.ts';

/** The job's dirty bitmap of a disk, as the NBD server names it. */
export function exportBitmapOf(disk: { readonly name: string }): string {
  return `backup-${disk.name}`;
}

/**
 * Starts the planned job; the checkpoint is created in the same call, so both show one moment.
 *
 * @throws BackupJobError; where the hypervisor was denied access, with the owner and mode of the folder
 */
export async function beginJob(domain: HypervisorDomain, plan: JobPlan): Promise<void> {
  const backupXml = buildDomainBackup({
    socket: plan.socket,
    disks: plan.disks.map((disk) => ({
      name: disk.name,
      scratch: disk.scratch,
      exportName: disk.name,
      ...(disk.mode === 'full' || plan.parent === null
        ? {}
        : { incremental: { checkpoint: plan.parent, exportBitmap: exportBitmapOf(disk) } }),
    })),
  });
  try {
    await domain.beginBackup(backupXml, checkpointXml(plan));
  } catch (error) {
    const denied = /permission denied/i.test(messageOf(error)) ? await describeFolders(plan) : '';
    throw new BackupJobError(
      'failed',
      `cannot start the backup of domain ${domain.name}: ${messageOf(error)}${denied}`,
      {
        phase: 'begin',
        cause: error,
      },
    );
  }
}

function checkpointXml(plan: JobPlan): string | undefined {
  if (plan.checkpoint === null) return undefined;
  const tracked = plan.disks.map((disk) => disk.name);
  const others = parseDomainDisks(plan.domainXml).map((disk) => disk.name);
  return buildDomainCheckpoint(
    plan.checkpoint,
    tracked,
    others.filter((name) => !tracked.includes(name)),
  );
}

async function describeFolders(plan: JobPlan): Promise<string> {
  const folders = new Set([dirname(plan.socket), ...plan.disks.map((disk) => dirname(disk.scratch))]);
  const texts = await Promise.all([...folders].map(describePath));
  return `; QEMU's user must be able to write to the scratch and socket folders: ${texts.join(', ')}`;
}

/** Owner and mode of a path, as far as we can see it. */
export async function describePath(path: string): Promise<string> {
  try {
    const { uid, gid, mode } = await stat(path);
    return `${path} (owner ${uid}:${gid}, mode ${(mode & 0o7777).toString(8).padStart(4, '0')})`;
  } catch (error) {
    return `${path} (${messageOf(error)})`;
  }
}
