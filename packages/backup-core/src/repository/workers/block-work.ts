/** Hashes blocks, and packs those that are not what was expected. */
export interface HashJob {
  readonly type: 'hash';
  /** Shared memory with the blocks. */
  readonly input: SharedArrayBuffer;
  /** For each block where it is and how long: a short one is hashed as if zeroes followed. */
  readonly places: Uint32Array;
  /** For each block the hash it is thought to have, or zeroes. */
  readonly expected: Uint8Array;
  /** Where packed blocks go; absent: they are stored as they are. */
  readonly output?: SharedArrayBuffer | undefined;
  readonly packing: number;
  readonly hashKey?: Uint8Array | undefined;
  readonly dataKey?: Uint8Array | undefined;
}

/** What a block turned out to be. */
export const BLOCK_STATE = { zero: 0, same: 1, new: 2 } as const;

export interface HashResult {
  /** `BLOCK_STATE` of each block. */
  readonly states: Uint8Array;
  readonly hashes: Uint8Array;
  /** Of each new block in the output: how many bytes, and how they are packed. */
  readonly lengths: Uint32Array;
  readonly packings: Uint8Array;
}

/** Unpacks blocks and compares their hashes. */
export interface CheckJob {
  readonly type: 'check';
  /** Shared memory with the stored bytes. */
  readonly input: SharedArrayBuffer;
  /** Shared memory the plain blocks go to; may be the same, where a block that is stored as it is stays. */
  readonly output: SharedArrayBuffer;
  /** For each block: place and length in the input, how it is packed, place in the output. */
  readonly places: Uint32Array;
  readonly expected: Uint8Array;
  readonly hashKey?: Uint8Array | undefined;
  /** For each block its key, one behind the other; absent: nothing is encrypted. */
  readonly dataKeys?: Uint8Array | undefined;
}

/** The index of each block that is damaged. */
export interface CheckResult {
  readonly damaged: readonly number[];
}

export type BlockJob = HashJob | CheckJob;
export type BlockResult<Job extends BlockJob> = Job extends HashJob ? HashResult : CheckResult;

/**
 * What a worker does. Its source text is handed to the worker, so it uses nothing of this module or any other: that
 * works from sources, from the built package and from any bundle, with no file to be found.
 */
export function blockWork(): (job: BlockJob) => HashResult | CheckResult {
  const crypto = process.getBuiltinModule('node:crypto');
  const zlib = process.getBuiltinModule('node:zlib') as typeof import('node:zlib') & {
    zstdCompressSync?: (bytes: Uint8Array) => Buffer;
    zstdDecompressSync?: (bytes: Uint8Array, options: { maxOutputLength: number }) => Buffer;
  };
  const BLOCK = 65536;
  const HASH = 32;
  const NONCE = 12;
  const TAG = 16;
  const zeroes = Buffer.alloc(BLOCK);
  const padded = Buffer.alloc(BLOCK);

  // Methods, because some bundlers keep the names of functions with a helper, which a worker does not have.
  const own = {
    digest(block: Uint8Array, key: Uint8Array | undefined): Buffer {
      return key === undefined
        ? // One call is a tenth faster than an object for each block.
          crypto.hash('sha256', block, 'buffer')
        : crypto.createHmac('sha256', key).update(block).digest();
    },

    whole(block: Buffer): Buffer {
      if (block.length === BLOCK) return block;
      block.copy(padded);
      padded.fill(0, block.length);
      return padded;
    },

    pack(block: Buffer, packing: number): Buffer {
      return packing === 1
        ? zlib.deflateRawSync(block, { level: 1 })
        : packing === 2 && zlib.zstdCompressSync !== undefined
          ? zlib.zstdCompressSync(block)
          : block;
    },

    unpack(bytes: Buffer, packing: number): Buffer {
      const limit = { maxOutputLength: BLOCK };
      if (packing === 0) return bytes;
      if (packing === 1) return zlib.inflateRawSync(bytes, limit);
      if (packing === 2 && zlib.zstdDecompressSync !== undefined)
        return zlib.zstdDecompressSync(bytes, limit);
      throw new Error(`packing ${packing} is not known here`);
    },

    seal(bytes: Buffer, key: Uint8Array, hash: Buffer, into: Buffer): number {
      const nonce = crypto.randomBytes(NONCE);
      const cipher = crypto.createCipheriv('aes-256-gcm', key, nonce).setAAD(hash);
      nonce.copy(into);
      cipher.update(bytes).copy(into, NONCE);
      cipher.final();
      cipher.getAuthTag().copy(into, NONCE + bytes.length);
      return NONCE + bytes.length + TAG;
    },

    unseal(bytes: Buffer, key: Uint8Array, hash: Uint8Array): Buffer {
      const end = bytes.length - TAG;
      const decipher = crypto.createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE), {
        authTagLength: TAG,
      });
      decipher.setAAD(hash).setAuthTag(bytes.subarray(end));
      const plain = decipher.update(bytes.subarray(NONCE, end));
      decipher.final();
      return plain;
    },

    hashBlocks(job: HashJob): HashResult {
      const input = Buffer.from(job.input);
      const output = job.output && Buffer.from(job.output);
      const count = job.places.length / 2;
      const expected = Buffer.from(job.expected.buffer, job.expected.byteOffset, job.expected.length);
      const result = {
        states: new Uint8Array(count),
        hashes: new Uint8Array(count * HASH),
        lengths: new Uint32Array(count),
        packings: new Uint8Array(count),
      };
      let at = 0;
      for (let index = 0; index < count; index++) {
        const start = job.places[index * 2] as number;
        const stored = input.subarray(start, start + (job.places[index * 2 + 1] as number));
        if (stored.equals(zeroes.subarray(0, stored.length))) continue;
        const hash = own.digest(own.whole(stored), job.hashKey);
        result.hashes.set(hash, index * HASH);
        if (hash.equals(expected.subarray(index * HASH, (index + 1) * HASH))) {
          result.states[index] = 1;
          continue;
        }
        result.states[index] = 2;
        result.lengths[index] = stored.length;
        if (output === undefined) continue;
        let packed = own.pack(stored, job.packing);
        if (packed.length >= stored.length) packed = stored;
        else result.packings[index] = job.packing;
        const into = output.subarray(at);
        const length = job.dataKey ? own.seal(packed, job.dataKey, hash, into) : packed.copy(into);
        result.lengths[index] = length;
        at += length;
      }
      return result;
    },

    checkBlock(job: CheckJob, index: number): boolean {
      // One by one: an iterator for each block is slow.
      const start = job.places[index * 4] as number;
      const length = job.places[index * 4 + 1] as number;
      const packing = job.places[index * 4 + 2] as number;
      const to = job.places[index * 4 + 3] as number;
      const hash = job.expected.subarray(index * HASH, (index + 1) * HASH);
      const input = Buffer.from(job.input, start, length);
      try {
        const key = job.dataKeys?.subarray(index * HASH, (index + 1) * HASH);
        const plain = own.unpack(key === undefined ? input : own.unseal(input, key, hash), packing);
        if (plain.length > BLOCK || !own.digest(own.whole(plain), job.hashKey).equals(hash)) return false;
        const isInPlace = job.input === job.output && start === to && plain === input;
        if (isInPlace && length === BLOCK) return true;
        const output = Buffer.from(job.output, to, BLOCK);
        if (!isInPlace) plain.copy(output);
        output.fill(0, plain.length);
        return true;
      } catch {
        // Whatever it is that cannot be unpacked: it is not what was stored.
        return false;
      }
    },
  };

  return (job) => {
    if (job.type === 'hash') return own.hashBlocks(job);
    const damaged: number[] = [];
    const count = job.places.length / 4;
    for (let index = 0; index < count; index++) if (!own.checkBlock(job, index)) damaged.push(index);
    return { damaged };
  };
}
