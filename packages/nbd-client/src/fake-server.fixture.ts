import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Endpoint } from './endpoint.ts';
import {
  NBD_CMD,
  NBD_EXTENDED_REPLY_MAGIC,
  NBD_FLAG,
  NBD_IHAVEOPT,
  NBD_INFO,
  NBD_MAGIC,
  NBD_OPT,
  NBD_OPTION_REPLY_MAGIC,
  NBD_REP,
  NBD_REPLY_FLAG_DONE,
  NBD_REPLY_TYPE,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STRUCTURED_REPLY_MAGIC,
} from './protocol/constants.ts';

export interface Request {
  readonly flags: number;
  readonly type: number;
  readonly cookie: bigint;
  readonly offset: number;
  readonly length: number;
  readonly payload: Buffer;
}

/** What a fake server does. Whatever is left out is done as a good server does it. */
export interface Script {
  readonly greeting?: Buffer;
  /** Bytes of the export; default 1 MiB. */
  readonly size?: bigint;
  /** Default: everything that QEMU offers. */
  readonly transmissionFlags?: number;
  readonly blockSize?: readonly [number, number, number];
  /** Selected metadata contexts by name; default: each that is asked for, from 1 on. */
  readonly contexts?: readonly (readonly [number, string])[];
  readonly structured?: boolean;
  readonly extended?: boolean;
  /** Without options: the greeting is followed by requests. */
  readonly oldstyle?: boolean;
  /** Does not know NBD_OPT_GO. */
  readonly refuseGo?: boolean;
  /** Answers an option itself: returns the bytes, or undefined for the default. */
  readonly option?: (option: number, data: Buffer) => Buffer | 'nothing' | undefined;
  /** Answers a request itself: returns the bytes, or undefined for the default. */
  readonly request?: (request: Request, server: FakeConnection) => Buffer | 'nothing' | undefined;
}

/** The content of every fake export. */
export function patternAt(offset: number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => ((offset + index) * 31 + 7) & 0xff));
}

const DEFAULT_FLAGS =
  NBD_FLAG.HAS_FLAGS | NBD_FLAG.SEND_DF | NBD_FLAG.CAN_MULTI_CONN | NBD_FLAG.SEND_CACHE | NBD_FLAG.SEND_FLUSH;

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function u64(value: bigint | number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

export const GREETING: Buffer = Buffer.concat([u64(NBD_MAGIC), u64(NBD_IHAVEOPT), u16(3)]);

export function optionReply(option: number, type: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([u64(NBD_OPTION_REPLY_MAGIC), u32(option), u32(type), u32(payload.length), payload]);
}

/** A structured reply chunk. `length` and `cookie` can lie. */
export function chunk(
  request: Pick<Request, 'cookie'>,
  type: number,
  payload: Buffer,
  options: { done?: boolean; length?: number; cookie?: bigint; flags?: number; magic?: number } = {},
): Buffer {
  const { done = true, length = payload.length, cookie = request.cookie, flags = 0 } = options;
  return Buffer.concat([
    u32(options.magic ?? NBD_STRUCTURED_REPLY_MAGIC),
    u16(flags | (done ? NBD_REPLY_FLAG_DONE : 0)),
    u16(type),
    u64(cookie),
    u32(length),
    payload,
  ]);
}

/** An extended reply chunk. */
export function extendedChunk(
  request: Request,
  type: number,
  payload: Buffer,
  options: { done?: boolean; offset?: bigint; length?: bigint } = {},
): Buffer {
  const { done = true, offset = BigInt(request.offset), length = BigInt(payload.length) } = options;
  const flags = done ? NBD_REPLY_FLAG_DONE : 0;
  const header = [
    u32(NBD_EXTENDED_REPLY_MAGIC),
    u16(flags),
    u16(type),
    u64(request.cookie),
    u64(offset),
    u64(length),
  ];
  return Buffer.concat([...header, payload]);
}

export function data(request: Request, offset: number, length: number, done = true): Buffer {
  return chunk(request, NBD_REPLY_TYPE.OFFSET_DATA, Buffer.concat([u64(offset), patternAt(offset, length)]), {
    done,
  });
}

export function hole(request: Request, offset: number, length: number, done = true): Buffer {
  return chunk(request, NBD_REPLY_TYPE.OFFSET_HOLE, Buffer.concat([u64(offset), u32(length)]), { done });
}

export function none(request: Request): Buffer {
  return chunk(request, NBD_REPLY_TYPE.NONE, Buffer.alloc(0));
}

export function error(request: Request, errno: number, message = '', done = true): Buffer {
  const text = Buffer.from(message);
  return chunk(request, NBD_REPLY_TYPE.ERROR, Buffer.concat([u32(errno), u16(text.length), text]), { done });
}

export function status(
  request: Request,
  id: number,
  extents: readonly [number, number][],
  done = true,
): Buffer {
  const pairs = extents.map(([length, flags]) => Buffer.concat([u32(length), u32(flags)]));
  return chunk(request, NBD_REPLY_TYPE.BLOCK_STATUS, Buffer.concat([u32(id), ...pairs]), { done });
}

export function simple(request: Request, errno: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([u32(NBD_SIMPLE_REPLY_MAGIC), u32(errno), u64(request.cookie), payload]);
}

/** An NBD server that says what its script tells it to, on a unix socket of its own. */
export class FakeServer implements AsyncDisposable {
  readonly endpoint: Endpoint;
  readonly requests: Request[] = [];
  readonly connections: FakeConnection[] = [];
  readonly #server: Server;
  readonly #folder: string;

  private constructor(server: Server, folder: string) {
    this.#server = server;
    this.#folder = folder;
    this.endpoint = { address: { path: join(folder, 's') } };
  }

  static async start(script: Script = {}): Promise<FakeServer> {
    const folder = mkdtempSync(join(tmpdir(), 'nbd-'));
    const server = createServer((socket) => {
      fake.connections.push(new FakeConnection(socket, script, fake.requests));
    });
    const fake = new FakeServer(server, folder);
    await new Promise<void>((resolve) => server.listen(join(folder, 's'), resolve));
    return fake;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export class FakeConnection {
  readonly socket: Socket;
  /** Bytes that came from the client, for what it says in which order. */
  readonly options: number[] = [];
  readonly #script: Script;
  readonly #requests: Request[];
  #received = Buffer.alloc(0);
  #phase: 'flags' | 'options' | 'transmission' = 'flags';
  #extended = false;
  #contexts: readonly (readonly [number, string])[] = [];

  constructor(socket: Socket, script: Script, requests: Request[]) {
    this.socket = socket;
    this.#script = script;
    this.#requests = requests;
    socket.on('error', () => undefined);
    if (script.oldstyle === true) this.#phase = 'transmission';
    socket.write(script.greeting ?? GREETING);
    socket.on('data', (bytes: Buffer) => {
      this.#received = Buffer.concat([this.#received, bytes]);
      while (this.#step());
    });
  }

  #take(count: number): Buffer {
    const bytes = this.#received.subarray(0, count);
    this.#received = this.#received.subarray(count);
    return bytes;
  }

  #step(): boolean {
    const have = this.#received;
    if (this.#phase === 'flags') {
      if (have.length < 4) return false;
      this.#take(4);
      this.#phase = 'options';
      return true;
    }
    if (this.#phase === 'options') {
      if (have.length < 16 || have.length < 16 + have.readUInt32BE(12)) return false;
      const header = this.#take(16);
      this.#option(header.readUInt32BE(8), this.#take(header.readUInt32BE(12)));
      return true;
    }
    const size = this.#extended ? 32 : 28;
    if (have.length < size) return false;
    const type = have.readUInt16BE(6);
    const length = this.#extended ? Number(have.readBigUInt64BE(24)) : have.readUInt32BE(24);
    const payloadBytes = type === NBD_CMD.WRITE ? length : 0;
    if (have.length < size + payloadBytes) return false;
    const header = this.#take(size);
    const [flags, cookie, offset] = [
      header.readUInt16BE(4),
      header.readBigUInt64BE(8),
      header.readBigUInt64BE(16),
    ];
    this.#request({ flags, type, cookie, offset: Number(offset), length, payload: this.#take(payloadBytes) });
    return true;
  }

  #option(option: number, payload: Buffer): void {
    this.options.push(option);
    const own = this.#script.option?.(option, payload);
    if (own === 'nothing') return;
    if (option === NBD_OPT.GO && this.#script.refuseGo === true) {
      this.socket.write(optionReply(option, NBD_REP.ERR_UNSUP));
      return;
    }
    if (option === NBD_OPT.GO || option === NBD_OPT.EXPORT_NAME) this.#phase = 'transmission';
    this.socket.write(own ?? this.#defaultOption(option, payload));
  }

  #defaultOption(option: number, payload: Buffer): Buffer {
    const { structured = true, extended = false, size = 2n ** 20n, blockSize, contexts } = this.#script;
    const acknowledged = optionReply(option, NBD_REP.ACK);
    switch (option) {
      case NBD_OPT.EXTENDED_HEADERS:
        this.#extended = extended;
        return extended ? acknowledged : optionReply(option, NBD_REP.ERR_UNSUP);
      case NBD_OPT.STRUCTURED_REPLY:
        return structured ? acknowledged : optionReply(option, NBD_REP.ERR_UNSUP);
      case NBD_OPT.SET_META_CONTEXT: {
        this.#contexts = contexts ?? queriesOf(payload).map((name, index) => [index + 1, name]);
        const selected = this.#contexts.map(([id, name]) =>
          optionReply(option, NBD_REP.META_CONTEXT, Buffer.concat([u32(id), Buffer.from(name)])),
        );
        return Buffer.concat([...selected, acknowledged]);
      }
      case NBD_OPT.GO: {
        const flags = u16(this.#script.transmissionFlags ?? DEFAULT_FLAGS);
        const shown = Buffer.concat([u16(NBD_INFO.EXPORT), u64(size), flags]);
        const sizes = blockSize && Buffer.concat([u16(NBD_INFO.BLOCK_SIZE), ...blockSize.map(u32)]);
        const infos = [shown, ...(sizes === undefined ? [] : [sizes])];
        return Buffer.concat([...infos.map((info) => optionReply(option, NBD_REP.INFO, info)), acknowledged]);
      }
      default:
        return optionReply(option, NBD_REP.ERR_UNSUP);
    }
  }

  #request(request: Request): void {
    this.#requests.push(request);
    const own = this.#script.request?.(request, this);
    if (own === 'nothing') return;
    if (own !== undefined) this.socket.write(own);
    else if (request.type === NBD_CMD.DISC) this.socket.end();
    else this.socket.write(this.#defaultReply(request));
  }

  #extendedReply(request: Request): Buffer {
    const { offset, length } = request;
    if (request.type === NBD_CMD.READ)
      return extendedChunk(
        request,
        NBD_REPLY_TYPE.OFFSET_DATA,
        Buffer.concat([u64(offset), patternAt(offset, length)]),
      );
    if (request.type !== NBD_CMD.BLOCK_STATUS)
      return extendedChunk(request, NBD_REPLY_TYPE.NONE, Buffer.alloc(0));
    const last = this.#contexts.length - 1;
    return Buffer.concat(
      this.#contexts.map(([id], index) =>
        extendedChunk(request, NBD_REPLY_TYPE.BLOCK_STATUS_EXT, extentOf(id, length), {
          done: index === last,
        }),
      ),
    );
  }

  #defaultReply(request: Request): Buffer {
    const { structured = true } = this.#script;
    if (this.#extended) return this.#extendedReply(request);
    if (request.type === NBD_CMD.READ)
      return structured
        ? data(request, request.offset, request.length)
        : simple(request, 0, patternAt(request.offset, request.length));
    if (request.type === NBD_CMD.BLOCK_STATUS) {
      const last = this.#contexts.length - 1;
      return Buffer.concat(
        this.#contexts.map(([id], index) => status(request, id, [[request.length, 0]], index === last)),
      );
    }
    return simple(request, 0);
  }
}

function extentOf(id: number, length: number): Buffer {
  return Buffer.concat([u32(id), u32(1), u64(length), u64(0)]);
}

function queriesOf(payload: Buffer): string[] {
  let at = 4 + payload.readUInt32BE(0);
  const queries: string[] = [];
  for (let left = payload.readUInt32BE(at); left > 0; left--) {
    const length = payload.readUInt32BE(at + 4);
    queries.push(payload.toString('utf8', at + 8, at + 8 + length));
    at += 4 + length;
  }
  return queries;
}
