import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeFields } from './codec/struct-codec.ts';
import { errorFields } from './procedures/error-fields.ts';
import { procedures } from './procedures/procedures.ts';
import type { EventRow, Procedure } from './procedures/row.ts';
import { PROGRAMS } from './protocol/constants.ts';
import { Framer } from './rpc/framer.ts';
import { encodeKeepalive, encodePacket, type Packet } from './rpc/packet.ts';

const rows = new Map<string, Procedure>(
  Object.values(procedures).map((row: Procedure) => [`${PROGRAMS[row.program]}:${row.number}`, row]),
);

/** A call that the fake has received. */
export interface ReceivedCall {
  readonly client: FakeClient;
  readonly row: Procedure;
  readonly args: Record<string, unknown>;
  readonly serial: number;
}

/** What the fake does with a call: answers it in some way, or not at all. */
export type Handler = (call: ReceivedCall) => void;

/** The daemon's end of one connection. */
export class FakeClient {
  readonly socket: Socket;
  readonly calls: ReceivedCall[] = [];
  /** Keepalive procedures that arrived: 1 ping, 2 pong. */
  readonly keepalive: number[] = [];

  /** What arrived of streams. */
  readonly streamPackets: { readonly type: number; readonly status: number; readonly length: number }[] = [];
  onStream: ((packet: Packet) => void) | undefined;
  #answersPings = false;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  answerPings(): void {
    this.#answersPings = true;
  }

  /** Of those that arrived, in bytes. */
  longestPacket = 0;
  #skip = 0;
  #head: Buffer = Buffer.alloc(0);

  /** Looks at the length words alone: the framer passes stream data on in parts. */
  measure(chunk: Buffer): void {
    let rest = Buffer.concat([this.#head, chunk]);
    while (rest.length > 0) {
      const skipped = Math.min(this.#skip, rest.length);
      this.#skip -= skipped;
      rest = rest.subarray(skipped);
      if (rest.length < 4) break;
      this.#skip = rest.readUInt32BE(0);
      this.longestPacket = Math.max(this.longestPacket, this.#skip);
    }
    this.#head = rest;
  }

  keepaliveArrived(procedure: number): void {
    this.keepalive.push(procedure);
    if (procedure === 1 && this.#answersPings) this.raw(encodeKeepalive(2));
  }

  streamArrived(packet: Packet): void {
    this.streamPackets.push({ type: packet.type, status: packet.status, length: packet.payload.length });
    this.onStream?.(packet);
  }

  raw(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  reply({ row, serial }: ReceivedCall, value: Record<string, unknown>): void {
    this.raw(replyPacket(row, serial, value));
  }

  /** Answers with an error that says nothing but its number. */
  refuse({ row, serial }: ReceivedCall, code: number): void {
    this.raw(errorPacket(row, { type: 1, serial }, code));
  }

  event(row: EventRow, payload: Record<string, unknown>): void {
    this.raw(eventPacket(row, payload));
  }

  keepalivePing(): void {
    this.raw(encodeKeepalive(1));
  }
}

export function replyPacket(row: Procedure, serial: number, value: Record<string, unknown>): Buffer {
  const header = { program: PROGRAMS[row.program], procedure: row.number, type: 1, serial, status: 0 };
  return encodePacket(header, row.reply, value as never);
}

/** The answer to a call, or of a stream, that is an error. */
export function errorPacket(row: Procedure, at: { type: number; serial: number }, code: number): Buffer {
  const header = { program: PROGRAMS[row.program], procedure: row.number, status: 1, ...at };
  const none = { message: 'no', dom: null, str1: null, str2: null, str3: null, net: null };
  return encodePacket(header, errorFields, { code, domain: 38, level: 2, int1: 28, int2: 0, ...none });
}

export function eventPacket(row: EventRow, payload: Record<string, unknown>): Buffer {
  const header = { program: PROGRAMS[row.program], procedure: row.number, type: 2, serial: 1, status: 0 };
  return encodePacket(header, row.payload, payload as never);
}

/** Answers to the calls of `connect` and `close`. */
const POLITE: Record<string, Record<string, unknown>> = {
  REMOTE_PROC_AUTH_LIST: { types: [0] },
  REMOTE_PROC_CONNECT_SUPPORTS_FEATURE: { supported: 1 },
  REMOTE_PROC_CONNECT_OPEN: {},
  REMOTE_PROC_CONNECT_CLOSE: {},
};

/** A daemon that does what its script says, on a unix socket of its own. */
export class FakeLibvirtd implements AsyncDisposable {
  readonly uri: string;
  readonly clients: FakeClient[] = [];
  readonly #folder: string;
  readonly #server: Server;
  readonly #handlers: Readonly<Record<string, Handler>>;

  private constructor(folder: string, handlers: Readonly<Record<string, Handler>>) {
    this.#folder = folder;
    this.#handlers = handlers;
    this.uri = `qemu+unix:///system?socket=${join(folder, 'sock')}`;
    this.#server = createServer((socket) => {
      this.#accept(socket);
    });
  }

  /** @param handlers - by procedure name; what is not there is answered if it belongs to `connect` or `close` */
  static async start(handlers: Readonly<Record<string, Handler>> = {}): Promise<FakeLibvirtd> {
    const folder = mkdtempSync(join(tmpdir(), 'fake-libvirtd-'));
    const fake = new FakeLibvirtd(folder, handlers);
    await new Promise<void>((resolve) => {
      fake.#server.listen(join(folder, 'sock'), resolve);
    });
    return fake;
  }

  /** The connection that was made last. */
  get client(): FakeClient {
    const client = this.clients.at(-1);
    if (client === undefined) throw new Error('nobody has connected');
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.clients) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #accept(socket: Socket): void {
    const client = new FakeClient(socket);
    this.clients.push(client);
    const framer = new Framer((packet) => {
      this.#received(client, packet);
    });
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      client.measure(chunk);
      framer.push(chunk);
    });
  }

  #received(client: FakeClient, packet: Packet): void {
    if (packet.program === PROGRAMS.KEEPALIVE) {
      client.keepaliveArrived(packet.procedure);
      return;
    }
    if (packet.type !== 0) {
      client.streamArrived(packet);
      return;
    }
    const row = rows.get(`${packet.program}:${packet.procedure}`);
    if (row === undefined) throw new Error(`no row for procedure ${packet.procedure}`);
    const args = decodeFields(row.args, packet.payload) as Record<string, unknown>;
    const call: ReceivedCall = { client, row, args, serial: packet.serial };
    client.calls.push(call);
    const handler = this.#handlers[row.name];
    const polite = POLITE[row.name];
    if (handler !== undefined) handler(call);
    else if (polite !== undefined) client.reply(call, polite);
  }
}
