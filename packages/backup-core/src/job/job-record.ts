import type { DiskReading } from '../words/disk-answers.ts';
import type { JobPlan } from './plan.ts';

/** What is known of a job from its plan on. */
interface JobFacts {
  /** Base of the names of its scratch files and socket. */
  readonly name: string;
  readonly domain: { readonly name: string; readonly uuid: string };
  /** Path of the socket, on the hypervisor. */
  readonly socket: string;
  /** The checkpoint that is created with it, if any. */
  readonly checkpoint: string | null;
  readonly disks: readonly {
    readonly name: string;
    readonly reading: DiskReading;
    /** Path of the scratch file, on the hypervisor. */
    readonly scratch: string;
  }[];
  /** As all times, in ISO 8601. */
  readonly plannedAt: string;
}

/** Nothing was started. */
export interface PlannedJob extends JobFacts {
  /** What this is recognised by. */
  readonly state: 'planned';
}

/** The hypervisor has the job and its checkpoint, or may have them. */
export interface BegunJob extends JobFacts {
  /** What this is recognised by. */
  readonly state: 'begun';
  /** When the hypervisor was about to be asked, or had answered; ISO 8601. */
  readonly begunAt: string;
}

/** Every disk is connected and may be read. */
export interface TransferringJob extends JobFacts {
  /** What this is recognised by. */
  readonly state: 'transferring';
  /** When the hypervisor had answered; ISO 8601. */
  readonly begunAt: string;
  /** When the last disk was connected; ISO 8601. */
  readonly connectedAt: string;
}

/** The data is safe: from here on the checkpoint stays, whatever happens. */
export interface CommittedJob extends JobFacts {
  /** What this is recognised by. */
  readonly state: 'committed';
  /** When the hypervisor had answered; ISO 8601. */
  readonly begunAt: string;
  /** When the last disk was connected; ISO 8601. */
  readonly connectedAt: string;
  /** When the data was safe; ISO 8601. */
  readonly committedAt: string;
}

/** Over, for better or worse. */
export interface EndedJob extends JobFacts {
  /** What this is recognised by. */
  readonly state: 'ended';
  /** `completed`: the checkpoint was kept; `aborted`: it was dropped. */
  readonly outcome: 'completed' | 'aborted';
  /** When nothing was left to be done; ISO 8601. */
  readonly endedAt: string;
  /** What could not be removed, as sentences. */
  readonly left: readonly string[];
}

/**
 * The life of a backup job as a value that survives JSON: what somebody else has to know to recognise the job, to end
 * it, and to tell whether its checkpoint counts.
 *
 * planned → begun → transferring → committed → ended; from each state also straight to ended, as aborted.
 */
export type JobRecord = PlannedJob | BegunJob | TransferringJob | CommittedJob | EndedJob;

/** The record of a job that is about to begin. */
export function plannedJob(plan: JobPlan, domain: JobFacts['domain'], at: Date = new Date()): PlannedJob {
  return {
    state: 'planned',
    name: plan.name,
    domain: { name: domain.name, uuid: domain.uuid },
    socket: plan.socket,
    checkpoint: plan.checkpoint,
    disks: plan.disks.map(({ name, reading, scratch }) => ({ name, reading, scratch })),
    plannedAt: at.toISOString(),
  };
}

/** The hypervisor is about to be told. */
export function begunJob(job: PlannedJob, at: Date = new Date()): BegunJob {
  return { ...job, state: 'begun', begunAt: at.toISOString() };
}

/** Every disk was connected. */
export function transferringJob(job: BegunJob, at: Date = new Date()): TransferringJob {
  return { ...job, state: 'transferring', connectedAt: at.toISOString() };
}

/** The data is safe. */
export function committedJob(job: TransferringJob, at: Date = new Date()): CommittedJob {
  return { ...job, state: 'committed', committedAt: at.toISOString() };
}

/** It was completed if its data was safe, else aborted. */
export function endedJob(
  job: Exclude<JobRecord, EndedJob>,
  left: readonly Error[],
  at: Date = new Date(),
): EndedJob {
  const { name, domain, socket, checkpoint, disks, plannedAt } = job;
  return {
    ...{ name, domain, socket, checkpoint, disks, plannedAt },
    state: 'ended',
    outcome: job.state === 'committed' ? 'completed' : 'aborted',
    endedAt: at.toISOString(),
    left: left.map(({ message }) => message),
  };
}
