import { expect, test } from 'vitest';
import { LibvirtProtocolError } from '../errors.ts';
import { Framer } from './framer.ts';
import { encodeBytesPacket, type Packet } from './packet.ts';

const header = { program: 0x20008086, procedure: 209, type: 3, serial: 7, status: 2 };

test('stream data is passed on as it arrives, whatever the cuts; an end is never made up', () => {
  const content = Buffer.from('0123456789');
  const stream = Buffer.concat([
    encodeBytesPacket(header, content),
    encodeBytesPacket(header, content),
    encodeBytesPacket(header, Buffer.alloc(0)),
    encodeBytesPacket({ ...header, status: 0 }, Buffer.alloc(0)),
  ]);
  for (let first = 1; first < stream.length; first++)
    for (const second of [first + 1, first + 5, first + 30]) {
      const packets: Packet[] = [];
      const framer = new Framer((packet) =>
        packets.push({ ...packet, payload: Buffer.from(packet.payload) }),
      );
      for (const part of [stream.subarray(0, first), stream.subarray(first, second), stream.subarray(second)])
        framer.push(Buffer.from(part));
      const data = packets.slice(0, -2);
      expect(Buffer.concat(data.map(({ payload }) => payload)).toString()).toBe('01234567890123456789');
      for (const packet of data) expect(packet).toMatchObject(header);
      for (const { payload } of data) expect(payload.length).toBeGreaterThan(0);
      expect(packets.at(-2)).toMatchObject({ status: 2, payload: Buffer.alloc(0) });
      expect(packets.at(-1)).toMatchObject({ status: 0 });
      expect(framer.pending).toBe(0);
    }
});

test('a packet of stream data that has begun is pending; an impossible length is noticed at once', () => {
  const framer = new Framer(() => undefined);
  framer.push(encodeBytesPacket(header, Buffer.alloc(10)).subarray(0, 30));
  expect(framer.pending).toBe(30);
  for (const cut of [4, 20]) {
    const packet = encodeBytesPacket(header, Buffer.alloc(10));
    packet.writeUInt32BE(0xffffffff, 0);
    const other = new Framer(() => undefined);
    expect(() => {
      other.push(packet.subarray(0, cut - 2));
      other.push(packet.subarray(cut - 2, cut));
    }).toThrow(LibvirtProtocolError);
  }
});
