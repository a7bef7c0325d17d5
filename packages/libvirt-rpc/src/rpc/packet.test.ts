import { describe, expect, test } from 'vitest';
import { connectProcedures } from '../procedures/connect.ts';
import { events } from '../procedures/events.ts';
import { decodeFields } from '../codec/struct-codec.ts';
import { Framer } from './framer.ts';
import { encodeKeepalive, encodePacket, type Packet } from './packet.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('packets captured from a real daemon', () => {
  test('AUTH_LIST', () => {
    const header = { program: 0x20008086, procedure: 66, type: 0, serial: 1, status: 0 };
    expect(encodePacket(header, connectProcedures.authList.args, {})).toEqual(
      hex('0000001c 20008086 00000001 00000042 00000000 00000001 00000000'),
    );
    const packets: Packet[] = [];
    const reply = hex('00000024 20008086 00000001 00000042 00000001 00000001 00000000 00000001 00000000');
    new Framer((packet) => packets.push(packet)).push(reply);
    expect(packets).toHaveLength(1);
    expect(packets[0]).toMatchObject({ ...header, version: 1, type: 1 });
    const payload = packets[0]?.payload ?? Buffer.alloc(0);
    expect(decodeFields(connectProcedures.authList.reply, payload)).toEqual({ types: [0] });
  });

  test('keepalive messages have no payload and the serial 0', () => {
    expect(encodeKeepalive(1)).toEqual(hex('0000001c 6b656570 00000001 00000001 00000002 00000000 00000000'));
    expect(encodeKeepalive(2).readUInt32BE(12)).toBe(2);
  });

  test('three packets, byte by byte', () => {
    const payload = {
      callbackID: 0,
      dom: { name: 'n', uuid: '0'.repeat(32), id: -1 },
      event: 1,
      detail: 0,
    };
    const header = { program: 0x20008086, procedure: 318, type: 2, serial: 1, status: 0 };
    const bytes = Buffer.concat([0, 1, 2].map(() => encodePacket(header, events.lifecycle.payload, payload)));
    let seen = 0;
    const framer = new Framer(() => seen++);
    for (const byte of bytes) framer.push(Buffer.of(byte));
    expect(seen).toBe(3);
    expect(framer.pending).toBe(0);
  });
});
