import { Worker } from 'node:worker_threads';
import { BLOCK_SIZE } from '../format.ts';
import { type BlockJob, type BlockResult, blockWork } from './block-work.ts';

/** Does jobs on blocks, elsewhere than in the thread that asks. */
export interface BlockWorkers {
  run<Job extends BlockJob>(job: Job): Promise<BlockResult<Job>>;
  /** Ends them. What is under way fails. */
  close(): Promise<void>;
}

interface Reply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: Error;
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

interface Member {
  readonly worker: Worker;
  readonly pending: Map<number, Pending>;
}

const SOURCE = `
'use strict';
const work = (${blockWork.toString()})();
const { parentPort } = process.getBuiltinModule('node:worker_threads');
parentPort.on('message', ({ id, job }) => {
  try {
    parentPort.postMessage({ id, result: work(job) });
  } catch (error) {
    parentPort.postMessage({ id, error });
  }
});
`;

/** A worker takes as long to start as it takes to hash this. */
const BEFORE_WORKERS_BYTES = 96 * 1024 * 1024;

/**
 * Starts workers as they are needed, at most `size`. One that has nothing to do keeps no process alive. The first
 * blocks are hashed in the calling thread, a millisecond or two at a time: a small backup ends before a worker is there.
 *
 * @param size - 0: everything is done in the calling thread
 */
export function startBlockWorkers(size: number): BlockWorkers {
  return size === 0 ? new NoWorkers() : new WorkerPool(size);
}

class NoWorkers implements BlockWorkers {
  readonly #work = blockWork();

  run<Job extends BlockJob>(job: Job): Promise<BlockResult<Job>> {
    return new Promise((resolve) => {
      resolve(this.#work(job) as BlockResult<Job>);
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

class WorkerPool implements BlockWorkers {
  readonly #size: number;
  readonly #members = new Set<Member>();
  readonly #own = new NoWorkers();
  #ownBytes = 0;
  #lastId = 0;
  #isClosed = false;

  constructor(size: number) {
    this.#size = size;
  }

  run<Job extends BlockJob>(job: Job): Promise<BlockResult<Job>> {
    if (this.#isClosed) return Promise.reject(new Error('the workers were ended'));
    if (this.#isForUs(job)) return this.#own.run(job);
    const { worker, pending } = this.#choose();
    const id = ++this.#lastId;
    return new Promise<BlockResult<Job>>((resolve, reject) => {
      pending.set(id, {
        resolve: (result) => {
          resolve(result as BlockResult<Job>);
        },
        reject,
      });
      worker.ref();
      worker.postMessage({ id, job });
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const members = [...this.#members];
    await Promise.all(members.map(({ worker }) => worker.terminate()));
  }

  /** Only hashing: packing and encrypting take the thread for too long. */
  #isForUs(job: BlockJob): boolean {
    if (job.type !== 'hash' || job.output !== undefined || this.#members.size > 0) return false;
    this.#ownBytes += (job.places.length / 2) * BLOCK_SIZE;
    return this.#ownBytes <= BEFORE_WORKERS_BYTES;
  }

  /** The one with the least to do; a new one only where all have something. */
  #choose(): Member {
    let best: Member | undefined;
    for (const member of this.#members)
      if (best === undefined || member.pending.size < best.pending.size) best = member;
    if (best !== undefined && (best.pending.size === 0 || this.#members.size >= this.#size)) return best;
    return this.#start();
  }

  #start(): Member {
    const worker = new Worker(SOURCE, { eval: true, name: 'libvirt-ts-backup blocks' });
    const member: Member = { worker, pending: new Map() };
    this.#members.add(member);
    worker.on('message', ({ id, result, error }: Reply) => {
      const waiting = member.pending.get(id);
      member.pending.delete(id);
      if (member.pending.size === 0) worker.unref();
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(error);
    });
    worker.on('error', (error) => {
      this.#end(member, error);
    });
    worker.on('exit', () => {
      this.#end(member, new Error('a worker ended'));
    });
    return member;
  }

  #end(member: Member, error: Error): void {
    this.#members.delete(member);
    for (const { reject } of member.pending.values()) reject(error);
    member.pending.clear();
  }
}
