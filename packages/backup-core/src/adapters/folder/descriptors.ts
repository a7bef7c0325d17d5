import type { FileHandle } from 'node:fs/promises';

const MAX_OPEN = 64;
/** What another process removed or replaced is noticed within this time. */
const TRUSTED_MS = 1_000;
/** What nobody reads for this time is closed: a removed file takes its space until then. */
const IDLE_MS = 5_000;

/** A file that is open for reading. */
export interface OpenFile {
  readonly handle: FileHandle;
  readonly size: number;
}

interface Entry {
  readonly file: Promise<OpenFile>;
  users: number;
  usedAt: number;
  checkedAt: number;
  /** Closed when its last user is done. */
  isStale: boolean;
}

/** Files that stay open between reads: a bounded number, however many are read. */
export class Descriptors {
  readonly #open: (name: string) => Promise<OpenFile>;
  /** The least recently used first. */
  readonly #entries = new Map<string, Entry>();
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(open: (name: string) => Promise<OpenFile>) {
    this.#open = open;
  }

  async use<T>(name: string, work: (file: OpenFile) => Promise<T>): Promise<T> {
    for (;;) {
      const entry = this.#entries.get(name) ?? this.#add(name);
      entry.users++;
      this.#entries.delete(name);
      this.#entries.set(name, entry);
      try {
        if (await isCurrent(entry)) return await work(await entry.file);
        if (this.#entries.get(name) === entry) await this.forget(name);
      } finally {
        await this.#release(entry);
      }
    }
  }

  /** Is not read from any more. */
  async forget(name: string): Promise<void> {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    this.#entries.delete(name);
    entry.isStale = true;
    if (entry.users === 0) await close(entry);
  }

  async close(): Promise<void> {
    clearInterval(this.#idleTimer);
    this.#idleTimer = undefined;
    for (const name of [...this.#entries.keys()]) await this.forget(name);
  }

  #add(name: string): Entry {
    const now = performance.now();
    const file = this.#open(name);
    const entry: Entry = { file, users: 0, usedAt: now, checkedAt: now, isStale: false };
    // Who asked for it hears of it; what could not be opened is not kept.
    file.catch(() => {
      if (this.#entries.get(name) === entry) this.#entries.delete(name);
    });
    this.#idleTimer ??= setInterval(() => void this.#closeIdle(), IDLE_MS).unref();
    return entry;
  }

  async #release(entry: Entry): Promise<void> {
    entry.users--;
    entry.usedAt = performance.now();
    if (entry.isStale && entry.users === 0) await close(entry);
    await this.#closeSurplus();
  }

  async #closeSurplus(): Promise<void> {
    for (const [name, entry] of this.#entries) {
      if (this.#entries.size <= MAX_OPEN) return;
      if (entry.users === 0) await this.forget(name);
    }
  }

  async #closeIdle(): Promise<void> {
    const before = performance.now() - IDLE_MS;
    for (const [name, entry] of this.#entries)
      if (entry.users === 0 && entry.usedAt <= before) await this.forget(name);
    if (this.#entries.size > 0) return;
    clearInterval(this.#idleTimer);
    this.#idleTimer = undefined;
  }
}

/** Whether the file still has a name. */
async function isCurrent(entry: Entry): Promise<boolean> {
  const now = performance.now();
  if (now - entry.checkedAt < TRUSTED_MS) return true;
  entry.checkedAt = now;
  const { handle } = await entry.file;
  const { nlink } = await handle.stat();
  return nlink > 0;
}

async function close(entry: Entry): Promise<void> {
  // What could not be opened is not open: whoever asked for it was told.
  const file = await entry.file.catch(() => undefined);
  await file?.handle.close();
}
