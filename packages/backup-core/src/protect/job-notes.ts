import { basename } from 'node:path';
import type { JobRecord } from '../job/job-record.ts';
import { getIfPresent } from '../repository/get-if-present.ts';
import type { OpenRepository } from '../repository/open-repository.ts';
import type { ListedPoint } from '../repository/points.ts';
import { isTaken, storageFailure } from '../repository/storage-errors.ts';
import { isJobName } from '../words/names.ts';
import { domainUuid } from '../words/peer-names.ts';
import { neededCheckpoints, newestCopies } from './history.ts';

/** Where the notes are: one for each job that has not ended, under the job's name. */
const JOBS = 'jobs/';

/** What is known of a job that somebody began and did not end. Every path has the job's name in it. */
export interface JobNote {
  readonly name: string;
  readonly uuid: string;
  /** Path of the socket, on the hypervisor; null: the job has ended, only its checkpoint is to go. */
  readonly socket: string | null;
  readonly checkpoint: string | null;
  /** Paths of the scratch files, on the hypervisor. */
  readonly scratch: readonly string[];
}

interface NoteOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Notes a job down before it begins: after a crash it is known what there may be to clean up. */
export async function noteJob(
  { store }: OpenRepository,
  record: JobRecord,
  { signal }: NoteOptions = {},
): Promise<void> {
  const { name, domain, socket, checkpoint, disks } = record;
  const note: JobNote = {
    name,
    uuid: domain.uuid,
    socket,
    checkpoint,
    scratch: disks.map((disk) => disk.scratch),
  };
  await putNote(store, note, signal);
}

/**
 * Notes down the checkpoints that points which are about to be removed may have on their domains, and that no other point
 * knows of: the next backup of the domain removes them.
 */
export async function noteRemoval(
  { id, store }: OpenRepository,
  removed: readonly ListedPoint[],
  all: readonly ListedPoint[],
  { signal }: NoteOptions = {},
): Promise<void> {
  for (const uuid of new Set(removed.map(({ point }) => point.domain.uuid))) {
    const before = all.filter(({ point }) => point.domain.uuid === uuid);
    const left = new Set(before.filter((each) => !removed.includes(each)).map(checkpointOf));
    for (const { name } of neededCheckpoints(newestCopies(before)))
      // A copied point has the checkpoint of another repository.
      if (!left.has(name) && isJobName(name, id))
        await putNote(store, { name, uuid, socket: null, checkpoint: name, scratch: [] }, signal);
  }
}

function checkpointOf({ point }: ListedPoint): string | undefined {
  return point.checkpoint?.name;
}

async function putNote(
  { storage, keys }: OpenRepository['store'],
  note: JobNote,
  signal: AbortSignal | undefined,
): Promise<void> {
  const object = JOBS + note.name;
  const plain = Buffer.from(`${JSON.stringify(note)}\n`);
  try {
    await storage.put(object, keys?.sealManifest(plain, object) ?? plain, { signal });
  } catch (error) {
    // The job itself has not been seen to end yet, or a removal was interrupted: the checkpoint goes either way.
    if (note.socket === null && isTaken(error)) return;
    throw storageFailure('note down a job', error, signal);
  }
}

/** Nothing of the job is left. */
export async function forgetJob({ store }: OpenRepository, name: string): Promise<void> {
  try {
    await store.storage.remove(JOBS + name);
  } catch (error) {
    throw storageFailure('remove the note of a job', error);
  }
}

/** The jobs of a domain that were not ended. What makes no sense is left alone. */
export async function notedJobs(
  { id, store }: OpenRepository,
  uuid: string,
  { signal }: NoteOptions = {},
): Promise<readonly JobNote[]> {
  const notes: JobNote[] = [];
  try {
    const names: string[] = [];
    for await (const { name } of store.storage.list(JOBS, { signal })) names.push(name);
    for (const object of names) {
      // None: a backup of another domain has ended since they were listed.
      const found = await getIfPresent(store.storage, object, { signal });
      const bytes = found && Buffer.from(found);
      const plain = bytes && (store.keys === undefined ? bytes : store.keys.openManifest(bytes, object));
      const note = plain && parseNote(plain, object.slice(JOBS.length), id);
      if (note?.uuid === uuid) notes.push(note);
    }
  } catch (error) {
    throw storageFailure('read the notes of jobs', error, signal);
  }
  return notes;
}

/** Whoever could write into the repository wrote it: nothing of it leads to what does not bear the job's name. */
function parseNote(bytes: Buffer, name: string, owner: string): JobNote | undefined {
  if (!isJobName(name, owner)) return undefined;
  try {
    const { uuid, socket, checkpoint, scratch } = JSON.parse(bytes.toString('utf8')) as Record<
      string,
      unknown
    >;
    const known = typeof uuid === 'string' ? domainUuid(uuid) : undefined;
    if (known === undefined || !(socket === null || isFileOf(socket, name)) || !Array.isArray(scratch))
      return undefined;
    return {
      name,
      uuid: known,
      socket,
      checkpoint: checkpoint === name ? name : null,
      scratch: scratch.filter((path): path is string => isFileOf(path, name)),
    };
  } catch {
    return undefined; // Not JSON: nothing is known of the job.
  }
}

function isFileOf(path: unknown, job: string): path is string {
  return typeof path === 'string' && path.startsWith('/') && basename(path).startsWith(`${job}.`);
}
