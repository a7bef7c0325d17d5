import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Endpoint } from './transport/endpoint.ts';
import {
  isErrorReply,
  NBD_CMD,
  NBD_CMD_FLAG,
  NBD_FLAG,
  NBD_INFO,
  NBD_OPT,
  NBD_REP,
  NBD_REPLY_TYPE,
} from './protocol/constants.ts';
import {
  type Request,
  GREETING,
  patternAt,
  u16,
  u32,
  u64,
  optionReply,
  extendedChunk,
  data,
  status,
  simple,
} from './wire.fixture.ts';

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
  /** Contexts that it lists; default: none. */
  readonly offered?: readonly string[];
  /** Name and description of the exports that it lists. */
  readonly exports?: readonly (readonly [string, string])[];
  /** Encrypts with this key when it is asked to. */
  readonly psk?: Buffer;
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

const DEFAULT_FLAGS =
  NBD_FLAG.HAS_FLAGS | NBD_FLAG.SEND_DF | NBD_FLAG.CAN_MULTI_CONN | NBD_FLAG.SEND_CACHE | NBD_FLAG.SEND_FLUSH;

/** An NBD server that says what its script tells it to, on a unix socket of its own. */
export class FakeServer implements AsyncDisposable {
  readonly endpoint: Endpoint;
  readonly requests: Request[] = [];
  readonly connections: FakeConnection[] = [];
  readonly #server: Server;
  readonly #folder: string;

  private constructor(server: Server, folder: string, path: string) {
    this.#server = server;
    this.#folder = folder;
    this.endpoint = { address: { path } };
  }

  /** @param address - default: a socket in a folder of its own */
  static async start(script: Script = {}, address?: string): Promise<FakeServer> {
    const folder = mkdtempSync(join(tmpdir(), 'nbd-'));
    const server = createServer((socket) => {
      fake.connections.push(new FakeConnection(socket, script, fake.requests));
    });
    const path = address ?? join(folder, 's');
    const fake = new FakeServer(server, folder, path);
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return fake;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export class FakeConnection {
  socket: Socket;
  /** What `socket` encrypts, once it does. */
  readonly plain: Socket;
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
    this.plain = socket;
    this.#script = script;
    this.#requests = requests;
    if (script.oldstyle === true) this.#phase = 'transmission';
    this.#listen();
    socket.write(script.greeting ?? GREETING);
  }

  #listen(): void {
    this.socket.on('error', () => undefined);
    this.socket.on('data', (bytes: Buffer) => {
      this.#received = Buffer.concat([this.#received, bytes]);
      while (this.#step());
    });
  }

  #startTls(psk: Buffer): void {
    const { plain } = this;
    plain.removeAllListeners('data');
    const secure = { isServer: true, pskCallback: () => psk, ciphers: 'TLS_AES_128_GCM_SHA256:PSK' };
    this.socket = new TLSSocket(plain, secure);
    this.#listen();
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
    const carriesPayload = type === NBD_CMD.WRITE || (have.readUInt16BE(4) & NBD_CMD_FLAG.PAYLOAD_LEN) !== 0;
    const payloadBytes = carriesPayload ? length : 0;
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
    const refused = own !== undefined && own.length >= 16 && isErrorReply(own.readUInt32BE(12));
    if ((option === NBD_OPT.GO && !refused) || option === NBD_OPT.EXPORT_NAME) this.#phase = 'transmission';
    this.socket.write(own ?? this.#defaultOption(option, payload));
    if (own === undefined && option === NBD_OPT.ABORT) this.socket.end();
    if (own === undefined && option === NBD_OPT.STARTTLS && this.#script.psk)
      this.#startTls(this.#script.psk);
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
      case NBD_OPT.ABORT:
        return acknowledged;
      case NBD_OPT.STARTTLS:
        return this.#script.psk === undefined ? optionReply(option, NBD_REP.ERR_UNSUP) : acknowledged;
      case NBD_OPT.LIST: {
        const listed = (this.#script.exports ?? []).map(([name, text]) =>
          optionReply(
            option,
            NBD_REP.SERVER,
            Buffer.concat([u32(Buffer.byteLength(name)), Buffer.from(name + text)]),
          ),
        );
        return Buffer.concat([...listed, acknowledged]);
      }
      case NBD_OPT.LIST_META_CONTEXT: {
        const asked = queriesOf(payload);
        const names = (this.#script.offered ?? []).filter(
          (name) =>
            asked.length === 0 ||
            asked.includes(name) ||
            asked.some((q) => q.endsWith(':') && name.startsWith(q)),
        );
        const listed = names.map((name) =>
          optionReply(option, NBD_REP.META_CONTEXT, Buffer.concat([u32(0), Buffer.from(name)])),
        );
        return Buffer.concat([...listed, acknowledged]);
      }
      case NBD_OPT.INFO:
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
    const filter = request.payload;
    const ids = Array.from({ length: Math.max(0, filter.length / 4 - 2) }, (_, index) =>
      filter.readUInt32BE(8 + 4 * index),
    );
    const wanted = filter.length === 0 ? this.#contexts : this.#contexts.filter(([id]) => ids.includes(id));
    const effective = filter.length === 0 ? length : Number(filter.readBigUInt64BE(0));
    return Buffer.concat(
      wanted.map(([id], index) =>
        extendedChunk(request, NBD_REPLY_TYPE.BLOCK_STATUS_EXT, extentOf(id, effective), {
          done: index === wanted.length - 1,
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
