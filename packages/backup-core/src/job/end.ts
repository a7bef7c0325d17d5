import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { HypervisorDomain } from '../ports/hypervisor-domain.ts';
import { parseDomainBackup } from '../adapters/libvirt/xml/domain-backup.ts';

const POLL_MS = 20;
const JOB_GONE_TIMEOUT_MS = 30_000;

/** What has to go when a job ends. */
export interface JobRemains {
  /** Recognises the job: nobody else's is ever ended. */
  readonly socket: string;
  /** Also dropped, if given. */
  readonly checkpoint?: string;
}

/**
 * Ends a job and waits until it is gone, then drops the checkpoint and what it left of its socket. Each step
 * is tried, whatever became of the others.
 *
 * @returns what failed
 */
export async function endJob(domain: HypervisorDomain, { socket, checkpoint }: JobRemains): Promise<Error[]> {
  const errors: Error[] = [];
  const attempt = async (step: () => Promise<void>): Promise<void> => {
    try {
      await step();
    } catch (error) {
      errors.push(error instanceof Error ? error : new Error(String(error)));
    }
  };
  await attempt(() => abortAndWait(domain, socket));
  if (checkpoint !== undefined) await attempt(() => domain.deleteCheckpoint(checkpoint));
  // QEMU removes it, unless it was killed. On another host there is nothing by that name here.
  await attempt(() => rm(socket, { force: true }));
  return errors;
}

async function abortAndWait(domain: HypervisorDomain, socket: string): Promise<void> {
  if (!(await isRunning(domain, socket))) return;
  await domain.abortJob();
  const deadline = Date.now() + JOB_GONE_TIMEOUT_MS;
  while (await isRunning(domain, socket)) {
    if (Date.now() > deadline)
      throw new Error(
        `the backup job of domain ${domain.name} is still there ${JOB_GONE_TIMEOUT_MS} ms after it was aborted`,
      );
    await delay(POLL_MS);
  }
}

async function isRunning(domain: HypervisorDomain, socket: string): Promise<boolean> {
  const xml = await domain.backupXml();
  return xml !== null && parseDomainBackup(xml).socket === socket;
}
