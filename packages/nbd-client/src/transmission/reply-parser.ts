import type { Command, RawExtents } from '../commands/command.ts';
import { NbdProtocolError } from '../errors.ts';
import {
  NBD_CMD,
  NBD_EXTENDED_REPLY_MAGIC,
  NBD_REPLY_FLAG_DONE,
  NBD_REPLY_TYPE,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STRUCTURED_REPLY_MAGIC,
} from '../protocol/constants.ts';
import type { HeaderStyle } from '../protocol/header-style.ts';
import { MAX_ERROR_CHUNK_BYTES, MAX_EXTENTS_PER_CHUNK, MAX_STRING_BYTES } from '../protocol/limits.ts';
import { readUint64 } from '../protocol/uint64.ts';

/** The commands in flight, as the parser needs them. */
export interface CommandTable {
  /** @throws NbdProtocolError if no command in flight has this cookie */
  find(cookieHigh: number, cookieLow: number): Command;
  /** The last chunk of this command has come. @throws NbdProtocolError if its reply was not whole. */
  done(command: Command): void;
  /** Whether the next reply is likely to carry content that the transport can put in place itself. */
  readonly expectsContent: boolean;
}

const SIMPLE_HEADER_BYTES = 16;
const STRUCTURED_HEADER_BYTES = 20;
const EXTENDED_HEADER_BYTES = 32;
const OFFSET_BYTES = 8;
const CONTENT_AT = {
  simple: SIMPLE_HEADER_BYTES,
  structured: STRUCTURED_HEADER_BYTES + OFFSET_BYTES,
  extended: EXTENDED_HEADER_BYTES + OFFSET_BYTES,
};
const HOLE_BYTES = 12;

/** Below this the copy out of the transport's buffer is cheaper than a receive of its own. */
const DIRECT_MIN_BYTES = 32 * 1024;

interface Chunk {
  readonly command: Command;
  readonly type: number;
  readonly done: boolean;
}

type Step =
  | { readonly kind: 'header' }
  /** The offset in front of a data chunk's content, `length` bytes of which follow. */
  | { readonly kind: 'data-offset'; readonly chunk: Chunk; readonly length: number }
  | {
      readonly kind: 'data';
      readonly chunk: Chunk;
      readonly target: Uint8Array | null;
      readonly direct: boolean;
      at: number;
      readonly length: number;
    }
  /** A bounded payload that is parsed as a whole. */
  | { readonly kind: 'body'; readonly chunk: Chunk };

const HEADER: Step = { kind: 'header' };

/**
 * The bytes of the transmission phase, turned into calls on the commands they answer.
 *
 * Does no I/O. Bytes come in through `receive`, or were put by the transport where `target` said and are
 * announced with `filled`; a message may be cut at any byte. Every violation is an NbdProtocolError, after
 * which the parser must not be used again. Section "Transmission phase".
 */
export class ReplyParser {
  readonly #style: HeaderStyle;
  readonly #commands: CommandTable;
  readonly #headerBytes: number;
  /** Where the content of a READ starts, from the start of its reply. */
  readonly #contentAt: number;
  /** Collects headers, and bodies up to its size. */
  #collected = Buffer.alloc(EXTENDED_HEADER_BYTES);
  #have = 0;
  #need: number;
  #step: Step = HEADER;

  constructor(style: HeaderStyle, commands: CommandTable) {
    this.#style = style;
    this.#commands = commands;
    this.#headerBytes = style === 'extended' ? EXTENDED_HEADER_BYTES : SIMPLE_HEADER_BYTES;
    this.#need = this.#headerBytes;
    this.#contentAt = CONTENT_AT[style];
  }

  /** Whether the bytes so far end at the border of a message. */
  get idle(): boolean {
    return this.#step.kind === 'header' && this.#have === 0;
  }

  /** Where the transport may put the next bytes itself, or how many at most it must hand to `receive`. */
  target(): Uint8Array | number {
    const step = this.#step;
    if (step.kind === 'data') {
      const { target, length, at, direct, chunk } = step;
      const isDirect = direct && target !== null && length - at >= DIRECT_MIN_BYTES;
      return isDirect && chunk.command.takes(target, length) ? target.subarray(at) : Infinity;
    }
    if (step.kind === 'header' && this.#commands.expectsContent) return this.#contentAt - this.#have;
    return step.kind === 'data-offset' ? this.#need - this.#have : Infinity;
  }

  /** `count` bytes were put where `target` said. */
  filled(count: number): void {
    if (this.#step.kind === 'data') this.#advance(this.#step, count);
  }

  /** Parses the bytes of `chunk`, which are borrowed for the call. */
  receive(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      const step = this.#step;
      const left = chunk.length - at;
      if (step.kind === 'data') {
        const count = Math.min(step.length - step.at, left);
        if (step.target !== null && step.chunk.command.takes(step.target, step.length))
          step.target.set(count === chunk.length ? chunk : chunk.subarray(at, at + count), step.at);
        at += count;
        this.#advance(step, count);
      } else if (this.#have === 0 && left >= this.#need) {
        // It is whole where it lies.
        at += this.#complete(step, chunk, at, left);
      } else {
        const count = Math.min(this.#need - this.#have, left);
        this.#collected.set(chunk.subarray(at, at + count), this.#have);
        this.#have += count;
        at += count;
        if (this.#have === this.#need) this.#complete(step, this.#collected, 0, this.#need);
      }
    }
  }

  #advance(step: Step & { kind: 'data' }, count: number): void {
    step.at += count;
    if (step.at === step.length) this.#endOfChunk(step.chunk);
  }

  /** What is due lies in `bytes` from `at` on, of which `count` are there. @returns how many it took */
  #complete(step: Exclude<Step, { kind: 'data' }>, bytes: Buffer, at: number, count: number): number {
    const need = this.#need;
    switch (step.kind) {
      case 'header':
        return this.#header(bytes, at, count);
      case 'data-offset':
        this.#startData(step.chunk, readUint64(bytes, at), step.length);
        return need;
      case 'body':
        this.#body(step.chunk, bytes.subarray(at, at + need));
        this.#endOfChunk(step.chunk);
        return need;
    }
  }

  #header(bytes: Buffer, at: number, count: number): number {
    const magic = bytes.readUInt32BE(at);
    if (this.#style === 'extended') {
      if (magic !== NBD_EXTENDED_REPLY_MAGIC) throw badMagic(magic);
      this.#chunkHeader(bytes, at, readUint64(bytes, at + 24));
      return EXTENDED_HEADER_BYTES;
    }
    if (magic === NBD_SIMPLE_REPLY_MAGIC) {
      this.#simpleReply(bytes, at);
      return SIMPLE_HEADER_BYTES;
    }
    if (magic !== NBD_STRUCTURED_REPLY_MAGIC || this.#style === 'simple') throw badMagic(magic);
    // A structured header is four bytes longer than a simple one; only now is it known which it is.
    if (count < STRUCTURED_HEADER_BYTES) {
      this.#need = STRUCTURED_HEADER_BYTES;
      return 0;
    }
    this.#chunkHeader(bytes, at, bytes.readUInt32BE(at + 16));
    return STRUCTURED_HEADER_BYTES;
  }

  #simpleReply(bytes: Buffer, at: number): void {
    const errno = bytes.readUInt32BE(at + 4);
    const command = this.#find(bytes, at + 8);
    const chunk = { command, type: NBD_REPLY_TYPE.NONE, done: true };
    if (command.type === NBD_CMD.READ && this.#style === 'structured')
      throw new NbdProtocolError(
        'simple reply to a READ after NBD_OPT_STRUCTURED_REPLY',
        'Simple reply message',
      );
    if (errno !== 0) command.error(errno, '');
    if (errno === 0 && command.type === NBD_CMD.READ) this.#startData(chunk, command.offset, command.length);
    else this.#endOfChunk(chunk);
  }

  /** A structured or extended chunk header is whole; its payload has `length` bytes. */
  #chunkHeader(bytes: Buffer, at: number, length: number): void {
    const command = this.#find(bytes, at + 8);
    const flags = bytes.readUInt16BE(at + 4);
    const type = bytes.readUInt16BE(at + 6);
    const chunk: Chunk = { command, type, done: (flags & NBD_REPLY_FLAG_DONE) !== 0 };
    if (this.#style === 'extended' && readUint64(bytes, at + 16) !== command.offset)
      throw new NbdProtocolError(
        'the offset of an extended reply is not that of its request',
        'Extended reply chunk message',
      );
    if (type === NBD_REPLY_TYPE.NONE) {
      if (length !== 0 || !chunk.done) throw badLength('NBD_REPLY_TYPE_NONE', length);
      this.#endOfChunk(chunk);
    } else if (type === NBD_REPLY_TYPE.OFFSET_DATA) {
      const content = length - OFFSET_BYTES;
      if (content <= 0 || content > command.length) throw badLength('NBD_REPLY_TYPE_OFFSET_DATA', length);
      this.#collect(OFFSET_BYTES, { kind: 'data-offset', chunk, length: content });
    } else {
      this.#collect(checkedBodyLength(type, length), { kind: 'body', chunk });
    }
  }

  #collect(length: number, step: Step): void {
    this.#have = 0;
    this.#need = length;
    this.#step = step;
    if (length > this.#collected.length) this.#collected = Buffer.alloc(length);
  }

  #startData(chunk: Chunk, offset: number, length: number): void {
    const target = chunk.command.data(offset, length);
    this.#have = 0;
    this.#step = { kind: 'data', chunk, target, direct: chunk.command.direct, at: 0, length };
  }

  #body(chunk: Chunk, body: Buffer): void {
    const { command, type } = chunk;
    if (type === NBD_REPLY_TYPE.OFFSET_HOLE) {
      command.hole(readUint64(body, 0), body.readUInt32BE(8));
    } else if (type === NBD_REPLY_TYPE.BLOCK_STATUS) {
      if (this.#style === 'extended') throw badLength('NBD_REPLY_TYPE_BLOCK_STATUS', body.length);
      command.status(body.readUInt32BE(0), new CompactExtents(body));
    } else if (type === NBD_REPLY_TYPE.BLOCK_STATUS_EXT) {
      if (this.#style !== 'extended') throw badLength('NBD_REPLY_TYPE_BLOCK_STATUS_EXT', body.length);
      command.status(body.readUInt32BE(0), new ExtendedExtents(body));
    } else {
      parseError(command, type, body);
    }
  }

  #endOfChunk(chunk: Chunk): void {
    this.#step = HEADER;
    this.#have = 0;
    this.#need = this.#headerBytes;
    if (this.#collected.length > EXTENDED_HEADER_BYTES) this.#collected = Buffer.alloc(EXTENDED_HEADER_BYTES);
    if (chunk.done) this.#commands.done(chunk.command);
  }

  #find(bytes: Buffer, at: number): Command {
    return this.#commands.find(bytes.readUInt32BE(at), bytes.readUInt32BE(at + 4));
  }
}

/** Checks the length of a payload that is collected whole, before it is allocated. */
function checkedBodyLength(type: number, length: number): number {
  const name = `chunk of type ${type}`;
  if (type === NBD_REPLY_TYPE.OFFSET_HOLE) {
    if (length !== HOLE_BYTES) throw badLength('NBD_REPLY_TYPE_OFFSET_HOLE', length);
  } else if (type === NBD_REPLY_TYPE.BLOCK_STATUS) {
    if (length % 8 !== 4 || length < 12 || length > 4 + 8 * MAX_EXTENTS_PER_CHUNK)
      throw badLength(name, length);
  } else if (type === NBD_REPLY_TYPE.BLOCK_STATUS_EXT) {
    if (length % 16 !== 8 || length < 24 || length > 8 + 16 * MAX_EXTENTS_PER_CHUNK)
      throw badLength(name, length);
  } else if (type >= NBD_REPLY_TYPE.ERROR) {
    const least = type === NBD_REPLY_TYPE.ERROR_OFFSET ? 14 : 6;
    if (length < least || length > MAX_ERROR_CHUNK_BYTES) throw badLength(name, length);
  } else {
    throw new NbdProtocolError(`unknown chunk type ${type}`, 'Structured reply types');
  }
  return length;
}

class CompactExtents implements RawExtents {
  readonly count: number;
  readonly #body: Buffer;

  constructor(body: Buffer) {
    this.count = (body.length - 4) / 8;
    this.#body = body;
  }

  lengthOf(index: number): number {
    return this.#body.readUInt32BE(4 + 8 * index);
  }

  flagsOf(index: number): number {
    return this.#body.readUInt32BE(8 + 8 * index);
  }

  highFlagsOf(): number {
    return 0;
  }
}

class ExtendedExtents implements RawExtents {
  readonly count: number;
  readonly #body: Buffer;

  constructor(body: Buffer) {
    this.count = (body.length - 8) / 16;
    this.#body = body;
    const announced = body.readUInt32BE(4);
    if (announced !== this.count)
      throw new NbdProtocolError(
        `${announced} extents announced, ${this.count} sent`,
        'NBD_REPLY_TYPE_BLOCK_STATUS_EXT',
      );
  }

  lengthOf(index: number): number {
    return readUint64(this.#body, 8 + 16 * index);
  }

  flagsOf(index: number): number {
    return this.#body.readUInt32BE(20 + 16 * index);
  }

  highFlagsOf(index: number): number {
    return this.#body.readUInt32BE(16 + 16 * index);
  }
}

/** Any type with the error bit, known or not, has an errno and a message; only type 0x8002 has an offset. */
function parseError(command: Command, type: number, body: Buffer): void {
  const errno = body.readUInt32BE(0);
  const messageBytes = body.readUInt16BE(4);
  const rest = body.length - 6 - messageBytes;
  const hasOffset = type === NBD_REPLY_TYPE.ERROR_OFFSET;
  if (messageBytes > MAX_STRING_BYTES || rest < (hasOffset ? OFFSET_BYTES : 0))
    throw badLength(`chunk of type ${type}`, body.length);
  if (errno === 0) throw new NbdProtocolError('error chunk with error value 0', 'NBD_REPLY_TYPE_ERROR');
  const message = body.toString('utf8', 6, 6 + messageBytes);
  command.error(errno, message, hasOffset ? readUint64(body, 6 + messageBytes) : undefined);
}

function badMagic(magic: number): NbdProtocolError {
  return new NbdProtocolError(`reply magic 0x${magic.toString(16)}`, 'Transmission phase');
}

function badLength(what: string, length: number): NbdProtocolError {
  return new NbdProtocolError(`${what} with a payload of ${length} bytes`, 'Structured reply types');
}
