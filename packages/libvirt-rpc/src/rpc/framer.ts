import { LibvirtProtocolError } from '../errors.ts';
import { MAX_PACKET_LENGTH, MIN_PACKET_LENGTH, VIR_NET_MESSAGE_LEN_MAX } from '../protocol/limits.ts';
import type { Packet } from './packet.ts';

/** At least so much is reserved for a packet that is as long: the data packets of streams fit in. */
const INITIAL_BYTES = 262_144 + 64;

/** Cuts a byte stream into packets. Does no I/O. */
export class Framer {
  readonly #onPacket: (packet: Packet) => void;
  /** The beginning of a packet whose end has not arrived. */
  #partial: Buffer = Buffer.alloc(0);
  #have = 0;

  /** @param onPacket - is called for every packet, in order, from within `push` */
  constructor(onPacket: (packet: Packet) => void) {
    this.#onPacket = onPacket;
  }

  /** Bytes of a packet that has not ended. */
  get pending(): number {
    return this.#have;
  }

  /**
   * Takes the next bytes, of which packets may keep parts.
   *
   * @throws LibvirtProtocolError for an impossible length; the framer must not be used any more
   */
  push(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#have > 0) {
        rest = this.#complete(rest);
        continue;
      }
      const length = rest.length < VIR_NET_MESSAGE_LEN_MAX ? undefined : checkedLength(rest);
      if (length === undefined || rest.length < length) {
        this.#append(rest, length ?? VIR_NET_MESSAGE_LEN_MAX);
        return;
      }
      this.#onPacket(parsePacket(rest.subarray(0, length)));
      rest = rest.subarray(length);
    }
  }

  /** Adds to the partial packet what belongs to it; returns what is behind it. */
  #complete(chunk: Buffer): Buffer {
    const needLength = this.#have < VIR_NET_MESSAGE_LEN_MAX;
    const needed = needLength ? VIR_NET_MESSAGE_LEN_MAX : checkedLength(this.#partial);
    const taken = Math.min(needed - this.#have, chunk.length);
    this.#append(chunk.subarray(0, taken), needed);
    const rest = chunk.subarray(taken);
    if (this.#have < VIR_NET_MESSAGE_LEN_MAX) return rest;
    const length = checkedLength(this.#partial);
    if (this.#have < length) return rest;
    const packet = this.#partial.subarray(0, length);
    this.#partial = Buffer.alloc(0);
    this.#have = 0;
    this.#onPacket(parsePacket(packet));
    return rest;
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
