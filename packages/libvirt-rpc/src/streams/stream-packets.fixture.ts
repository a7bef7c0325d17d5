import type { Connection } from '../connection.ts';
import { type Handler, type ReceivedCall, replyPacket } from '../fake-libvirtd.fixture.ts';
import { StorageVolume } from '../storage-volume.ts';

export const DOWNLOAD = 'REMOTE_PROC_STORAGE_VOL_DOWNLOAD';
export const UPLOAD = 'REMOTE_PROC_STORAGE_VOL_UPLOAD';
export const SCREENSHOT = 'REMOTE_PROC_DOMAIN_SCREENSHOT';
export const ref = { pool: 'p', name: 'v', key: '/p/v' };
export const OK = 0;
export const ERROR = 1;

export const volumeOf = (libvirt: Connection): StorageVolume => new StorageVolume(libvirt, ref);

/** Packets of a stream, as the daemon sends them. */
export const data = ({ row, serial }: ReceivedCall, bytes: Uint8Array | string): Buffer => {
  const payload = Buffer.from(bytes);
  const header = Buffer.alloc(28);
  [28 + payload.length, 0x20008086, 1, row.number, 3, serial, 2].forEach((word, index) =>
    header.writeUInt32BE(word, index * 4),
  );
  return Buffer.concat([header, payload]);
};
export const withStatus = (packet: Buffer, status: number): Buffer => {
  packet.writeUInt32BE(status, 24);
  return packet;
};
export const confirmation = (call: ReceivedCall): Buffer => withStatus(data(call, ''), OK);
export const hole = (call: ReceivedCall, length: bigint): Buffer => {
  const payload = Buffer.alloc(12);
  payload.writeBigInt64BE(length);
  const packet = data(call, payload);
  packet.writeUInt32BE(6, 16);
  return packet;
};
export const holeWithoutLength = (call: ReceivedCall): Buffer => {
  const packet = data(call, '');
  packet.writeUInt32BE(6, 16);
  return packet;
};
export const ok = ({ row, serial }: ReceivedCall, value = {}): Buffer => replyPacket(row, serial, value);

/** Sends all at once and confirms a finish. */
export const sends =
  (...parts: ((call: ReceivedCall) => Buffer)[]): Handler =>
  (call) => {
    call.client.onStream = (packet): void => {
      if (packet.status === OK) call.client.raw(confirmation(call));
    };
    call.client.raw(Buffer.concat([ok(call), ...parts.map((part) => part(call))]));
  };
export const end = (call: ReceivedCall): Buffer => data(call, '');
export const text =
  (value: string) =>
  (call: ReceivedCall): Buffer =>
    data(call, value);
