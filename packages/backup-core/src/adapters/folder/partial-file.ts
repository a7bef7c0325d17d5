import { createHash } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, link, lstat, open, rename, unlink } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { SinkError } from '../../words/errors.ts';
import { shown } from '../../words/peer-names.ts';
import { ownerState, processIdentity } from '../process-identity.ts';
import { errnoOf } from './failures.ts';
import { withGuard } from './guard.ts';
import { partialName, partialOwner } from './object-names.ts';
import { createFile, openFile, openRoot, within } from './open-folder.ts';

const { O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;
/** Leaves room for what is put around it. */
const MAX_NAME_BYTES = 200;
/** Somebody on another machine who has not written for so long is taken for dead. */
const SILENCE_MS = 10 * 60_000;
const NOBODY = '-';

/** How a file in the making is opened. */
export interface PartialOptions {
  /** Bytes. */
  readonly size: number;
  /** Names what is going to be written; what was begun under another name, or none, is begun again. */
  readonly content: string | undefined;
  readonly signal: AbortSignal | undefined;
}

interface Names {
  readonly target: string;
  readonly partial: string;
  /** Whose the partial file is, and of what. */
  readonly record: string;
}

interface Owned {
  readonly file: FileHandle;
  /** Whether it was begun earlier. */
  readonly isResumed: boolean;
}

/**
 * A file that is written under another name in the same folder, always the same one, and gets its own when it is
 * whole. One process at a time has it; whoever was killed leaves it to the next.
 */
export class PartialFile {
  readonly file: FileHandle;
  readonly isResumed: boolean;
  readonly #folder: FileHandle;
  readonly #names: Names;
  readonly #content: string | undefined;
  #isEnded = false;

  private constructor(folder: FileHandle, names: Names, { file, isResumed }: Owned, content?: string) {
    this.file = file;
    this.isResumed = isResumed;
    this.#folder = folder;
    this.#names = names;
    this.#content = content;
  }

  /** @throws SinkError `exists` if there is a file of that name, or somebody is writing one */
  static async open(path: string, options: PartialOptions): Promise<PartialFile> {
    const folder = await openRoot(dirname(path));
    try {
      const names = namesOf(basename(path));
      const owned = await withGuard(folder, names.partial, options.signal, async () => {
        await refuseTaken(folder, names, path);
        return await own(folder, names, options);
      });
      return new PartialFile(folder, names, owned, options.content);
    } catch (error) {
      await folder.close();
      throw error;
    }
  }

  /** Makes it durable under its own name, unless that is taken by now. */
  async publish(): Promise<void> {
    await this.file.sync();
    const { target, partial } = this.#names;
    const mine = await this.file.stat();
    const named = await lstat(within(this.#folder, partial));
    if (mine.ino !== named.ino || mine.dev !== named.dev)
      throw new SinkError('failed', `${partial} was put in its place meanwhile`);
    await giveName(this.#folder, partial, target);
    await this.#folder.sync();
    await removeBoth(this.#folder, this.#names);
    await this.#end();
  }

  /** Removes it. */
  async drop(): Promise<void> {
    if (this.#isEnded) return;
    try {
      await removeBoth(this.#folder, this.#names);
    } finally {
      await this.#end();
    }
  }

  /** Leaves it to whoever comes next, this process included. */
  async leave(): Promise<void> {
    if (this.#isEnded) return;
    try {
      await this.file.sync();
      await removeIfPresent(this.#folder, this.#names.record);
      await writeRecord(this.#folder, this.#names.record, NOBODY, this.#content);
    } catch (error) {
      // Whoever comes next would take it for something that is still being written.
      await this.drop();
      throw error;
    }
    await this.#end();
  }

  async #end(): Promise<void> {
    this.#isEnded = true;
    await this.file.close();
    await this.#folder.close();
  }
}

function namesOf(target: string): Names {
  const isLong = Buffer.byteLength(target) > MAX_NAME_BYTES;
  const digest = createHash('sha256').update(target).digest('hex').slice(0, 16);
  const short = isLong ? `${target.slice(0, 32)}~${digest}` : target;
  return { target, partial: `.${short}.partial`, record: `.${short}.partial.owner` };
}

/** @throws SinkError `exists`; of a file that is there already, what a dead process has begun goes */
async function refuseTaken(folder: FileHandle, names: Names, path: string): Promise<void> {
  const { owner, age } = await readRecord(folder, names);
  const state = owner === undefined ? 'dead' : await ownerState(owner);
  const isLive = state === 'alive' || (state === 'elsewhere' && age < SILENCE_MS);
  if ((await statOf(folder, names.target)) !== undefined) {
    if (!isLive) await removeBoth(folder, names);
    throw new SinkError('exists', `${path} exists already`);
  }
  if (!isLive || owner === undefined) return;
  const who = `process ${owner.pid} on ${shown(owner.host)}`;
  const hint = state === 'alive' ? '' : `; if it does not live any more, remove ${names.record}`;
  throw new SinkError('exists', `${path} is being written by ${who}${hint}`);
}

async function own(folder: FileHandle, names: Names, options: PartialOptions): Promise<Owned> {
  const { content } = await readRecord(folder, names);
  const begun =
    content !== undefined && content === options.content ? await openBegun(folder, names.partial) : undefined;
  // What was begun of something else is gone for good before a record says what this is.
  if (begun === undefined && (await removeIfPresent(folder, names.partial))) await folder.sync();
  let file = begun;
  try {
    await removeIfPresent(folder, names.record);
    await writeRecord(folder, names.record, partialName(await processIdentity()), options.content);
    file ??= await createFile(folder, names.partial);
    await file.truncate(options.size);
    return { file, isResumed: begun !== undefined };
  } catch (error) {
    await file?.close();
    if (begun === undefined) await removeIfPresent(folder, names.partial);
    await removeIfPresent(folder, names.record);
    throw error;
  }
}

/** What an earlier process has written; undefined: there is nothing that can be trusted to be its. */
async function openBegun(folder: FileHandle, name: string): Promise<FileHandle | undefined> {
  let file: FileHandle;
  try {
    file = await open(within(folder, name), O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    // ELOOP: a symbolic link; EACCES: somebody else's.
    if (['ENOENT', 'ELOOP', 'EACCES'].includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
  const stat = await file.stat();
  // Nobody else's bytes: a link to another file would be written to.
  const isOurs = stat.isFile() && stat.uid === process.geteuid?.() && stat.nlink === 1;
  if (isOurs && (stat.mode & 0o077) === 0) return file;
  await file.close();
  return undefined;
}

interface OwnerRecord {
  readonly owner: ReturnType<typeof partialOwner>;
  readonly content: string | undefined;
  /** Milliseconds since the file was last written. */
  readonly age: number;
}

async function readRecord(folder: FileHandle, names: Names): Promise<OwnerRecord> {
  try {
    const file = await openFile(folder, names.record);
    try {
      const [owner = '', content] = (await file.readFile('utf8')).split('\n');
      const partial = await statOf(folder, names.partial);
      const written = Math.max((await file.stat()).mtimeMs, partial?.mtimeMs ?? 0);
      return { owner: partialOwner(owner), content, age: Date.now() - written };
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!['ENOENT', 'ELOOP'].includes(errnoOf(error) ?? '')) throw error;
    return { owner: undefined, content: undefined, age: Infinity };
  }
}

async function writeRecord(
  folder: FileHandle,
  name: string,
  owner: string,
  content: string | undefined,
): Promise<void> {
  const file = await createFile(folder, name);
  try {
    await file.writeFile(content === undefined ? owner : `${owner}\n${content}`);
  } finally {
    await file.close();
  }
}

/** By a hard link, which takes nobody's name, where the file system has them. */
async function giveName(folder: FileHandle, partial: string, target: string): Promise<void> {
  try {
    await link(within(folder, partial), within(folder, target));
  } catch (error) {
    if (errnoOf(error) === 'EEXIST' || (await statOf(folder, target)) !== undefined)
      throw new SinkError('exists', `${target} was created by somebody else meanwhile`, { cause: error });
    await rename(within(folder, partial), within(folder, target));
  }
}

async function statOf(folder: FileHandle, name: string): Promise<Stats | undefined> {
  try {
    return await lstat(within(folder, name));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The partial file first: a record without it says nothing. */
async function removeBoth(folder: FileHandle, { partial, record }: Names): Promise<void> {
  await removeIfPresent(folder, partial);
  await removeIfPresent(folder, record);
}

/** @returns whether it was there */
async function removeIfPresent(folder: FileHandle, name: string): Promise<boolean> {
  try {
    await unlink(within(folder, name));
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}
