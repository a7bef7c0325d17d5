import { encodeFields } from '../codec/struct-codec.ts';
import type { Fields, StructOf } from '../codec/field-type.ts';
import { Writer } from '../codec/writer.ts';
import { LibvirtUsageError } from '../errors.ts';
import { MIN_PACKET_LENGTH, VIR_NET_MESSAGE_PAYLOAD_MAX } from '../protocol/limits.ts';
import { PROGRAM_VERSION, PROGRAMS, virNetMessageStatus, virNetMessageType } from '../protocol/constants.ts';

/** A packet taken apart; the numbers are as the peer sent them. */
export interface Packet {
  readonly program: number;
  readonly version: number;
  readonly procedure: number;
  readonly type: number;
  readonly serial: number;
  readonly status: number;
  /** A view of bytes that nothing else will write to. */
  readonly payload: Buffer;
}

/** The header of a packet that we send. */
export type OutgoingHeader = Pick<Packet, 'program' | 'procedure' | 'type' | 'serial' | 'status'>;

/** A whole packet, its length word included. */
export function encodePacket<F extends Fields>(
  header: OutgoingHeader,
  fields: F,
  value: StructOf<F>,
): Buffer {
  const writer = new Writer();
  writer.u32(0);
  writer.u32(header.program);
  writer.u32(PROGRAM_VERSION);
  writer.i32(header.procedure);
  writer.i32(header.type);
  writer.u32(header.serial);
  writer.i32(header.status);
  encodeFields(fields, value, writer);
  const packet = writer.finish();
  packet.writeUInt32BE(packet.length, 0);
  return packet;
}

/** A whole packet whose payload is bytes as they are, without a count. They are copied. */
export function encodeBytesPacket(header: OutgoingHeader, bytes: Uint8Array): Buffer {
  if (bytes.length > VIR_NET_MESSAGE_PAYLOAD_MAX)
    throw new LibvirtUsageError(`${bytes.length} bytes, more than ${VIR_NET_MESSAGE_PAYLOAD_MAX}`);
  const length = MIN_PACKET_LENGTH + bytes.length;
  const packet = Buffer.allocUnsafe(length);
  const words = [length, header.program, PROGRAM_VERSION, header.procedure, header.type, header.serial];
  [...words, header.status].forEach((word, index) => packet.writeUInt32BE(word >>> 0, index * 4));
  packet.set(bytes, MIN_PACKET_LENGTH);
  return packet;
}

/** A message of the keepalive program. */
export function encodeKeepalive(procedure: number): Buffer {
  const { VIR_NET_MESSAGE: type } = virNetMessageType;
  const { VIR_NET_OK: status } = virNetMessageStatus;
  return encodePacket({ program: PROGRAMS.KEEPALIVE, procedure, type, serial: 0, status }, {}, {});
}
