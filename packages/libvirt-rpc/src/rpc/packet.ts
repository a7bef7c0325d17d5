import { encodeFields } from '../codec/struct-codec.ts';
import type { Fields, StructOf } from '../codec/field-type.ts';
import { Writer } from '../codec/writer.ts';
import { PROGRAM_VERSION, PROGRAMS, virNetMessageStatus, virNetMessageType } from '../protocol/constants.ts';

/** A packet taken apart; the numbers are as the peer sent them. */
export interface Packet {
  readonly program: number;
  readonly version: number;
  readonly procedure: number;
  readonly type: number;
  readonly serial: number;
  readonly status: number;
  /** A view: to be decoded before the next bytes are given to the framer. */
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

/** A message of the keepalive program. */
export function encodeKeepalive(procedure: number): Buffer {
  const { VIR_NET_MESSAGE: type } = virNetMessageType;
  const { VIR_NET_OK: status } = virNetMessageStatus;
  return encodePacket({ program: PROGRAMS.KEEPALIVE, procedure, type, serial: 0, status }, {}, {});
}
