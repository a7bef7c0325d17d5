import { LibvirtProtocolError } from '../errors.ts';
import { virNetMessageStatus, virNetMessageType } from '../protocol/constants.ts';
import { MAX_PACKET_LENGTH, MIN_PACKET_LENGTH, VIR_NET_MESSAGE_LEN_MAX } from '../protocol/limits.ts';
import type { Packet } from './packet.ts';

const INITIAL_BYTES = 65_536;

/** A packet of stream data whose end has not arrived. */
interface DataPacket {
  readonly header: Packet;
  /** Its length, in bytes. */
  readonly length: number;
  /** How many of them are still to come. */
  rest: number;
}

/**
 * Cuts a byte stream into packets. Does no I/O.
 *
 * A packet of stream data is passed on in the parts it arrives in, each under the same header: where data is cut
 * means nothing, and so nothing is copied.
 */
export class Framer {
  readonly #onPacket: (packet: Packet) => void;
  /** The beginning of a packet whose end has not arrived. */
  #partial: Buffer = Buffer.alloc(0);
  #have = 0;
  #data: DataPacket | undefined;

  /** @param onPacket - is called for every packet, in order, from within `push` */
  constructor(onPacket: (packet: Packet) => void) {
    this.#onPacket = onPacket;
  }

  /** How many bytes have arrived of a packet that has not ended. */
  get pending(): number {
    return this.#data === undefined ? this.#have : this.#data.length - this.#data.rest;
  }

  /**
   * Takes the next bytes, of which packets may keep parts.
   *
   * @throws LibvirtProtocolError for an impossible length; the framer must not be used any more
   */
  push(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#data !== undefined) {
        rest = this.#passOn(this.#data, rest);
        continue;
      }
      if (this.#have > 0) {
        rest = this.#complete(rest);
        continue;
      }
      const length = rest.length < VIR_NET_MESSAGE_LEN_MAX ? undefined : checkedLength(rest);
      if (length !== undefined && rest.length < length && this.#beginsData(rest, length)) {
        rest = rest.subarray(MIN_PACKET_LENGTH);
        continue;
      }
      if (length === undefined || rest.length < length) {
        this.#append(rest, length ?? VIR_NET_MESSAGE_LEN_MAX);
        return;
      }
      this.#onPacket(parsePacket(rest.subarray(0, length)));
      rest = rest.subarray(length);
    }
  }

  /** Whether a packet that has not ended is one of stream data; its header is taken note of. */
  #beginsData(bytes: Buffer, length: number): boolean {
    if (bytes.length < MIN_PACKET_LENGTH) return false;
    const header = parsePacket(bytes.subarray(0, MIN_PACKET_LENGTH));
    if (header.type !== virNetMessageType.VIR_NET_STREAM) return false;
    if (header.status !== virNetMessageStatus.VIR_NET_CONTINUE) return false;
    this.#data = { header, length, rest: length - MIN_PACKET_LENGTH };
    return true;
  }

  /** Passes on what belongs to the packet of stream data; returns what is behind it. */
  #passOn(data: DataPacket, bytes: Buffer): Buffer {
    const payload = bytes.subarray(0, data.rest);
    data.rest -= payload.length;
    if (data.rest === 0) this.#data = undefined;
    this.#onPacket({ ...data.header, payload });
    return bytes.subarray(payload.length);
  }

  /** Adds to the partial packet what belongs to it; returns what is behind it. */
  #complete(chunk: Buffer): Buffer {
    const needed = this.#needed();
    const taken = Math.min(needed - this.#have, chunk.length);
    this.#append(chunk.subarray(0, taken), needed);
    const rest = chunk.subarray(taken);
    if (this.#have < VIR_NET_MESSAGE_LEN_MAX) return rest;
    const length = checkedLength(this.#partial);
    if (this.#have < MIN_PACKET_LENGTH) return rest;
    const packet = this.#partial.subarray(0, this.#have);
    const isData = this.#have < length && this.#beginsData(packet, length);
    if (this.#have < length && !isData) return rest;
    this.#partial = Buffer.alloc(0);
    this.#have = 0;
    if (!isData) this.#onPacket(parsePacket(packet));
    return rest;
  }

  /** How long the partial packet is to become before it is looked at again: length word, header, end. */
  #needed(): number {
    if (this.#have < VIR_NET_MESSAGE_LEN_MAX) return VIR_NET_MESSAGE_LEN_MAX;
    const length = checkedLength(this.#partial);
    return this.#have < MIN_PACKET_LENGTH ? MIN_PACKET_LENGTH : length;
  }

  /** Memory grows with what arrives, by doubling, not with what the length word promises. */
  #append(bytes: Buffer, expected: number): void {
    const needed = this.#have + bytes.length;
    if (needed > this.#partial.length) {
      const size = Math.max(needed, Math.min(expected, Math.max(2 * this.#partial.length, INITIAL_BYTES)));
      const larger = Buffer.allocUnsafe(size);
      this.#partial.copy(larger, 0, 0, this.#have);
      this.#partial = larger;
    }
    bytes.copy(this.#partial, this.#have);
    this.#have = needed;
  }
}

function checkedLength(bytes: Buffer): number {
  const length = bytes.readUInt32BE(0);
  if (length < MIN_PACKET_LENGTH || length > MAX_PACKET_LENGTH)
    throw new LibvirtProtocolError(
      `a packet of ${length} bytes; possible are ${MIN_PACKET_LENGTH} to ${MAX_PACKET_LENGTH}`,
    );
  return length;
}

function parsePacket(bytes: Buffer): Packet {
  return {
    program: bytes.readUInt32BE(4),
    version: bytes.readUInt32BE(8),
    procedure: bytes.readInt32BE(12),
    type: bytes.readInt32BE(16),
    serial: bytes.readUInt32BE(20),
    status: bytes.readInt32BE(24),
    payload: bytes.subarray(MIN_PACKET_LENGTH),
  };
}
