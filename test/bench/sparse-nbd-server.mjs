// An NBD server for a disk of any size: every other extent is data, of one block, the rest are holes.
// Arguments: path of the socket, bytes of the disk, extents. Just enough of the protocol for a client that does all
// as it should.
import { createServer } from 'node:net';

const BLOCK = 65_536;
const MAGIC = Buffer.from('NBDMAGICIHAVEOPT');
const OPTION_REPLY = 0x3e889045565a9n;
const REPLY = { ack: 1, info: 3, context: 4, unsupported: 0x80000001 };
const OPTION = { abort: 2, go: 7, structured: 8, setContext: 10 };
const COMMAND = { read: 0, disconnect: 2, status: 7 };
const CHUNK = { none: 0, data: 1, status: 5 };
const STRUCTURED_REPLY = 0x668e33ef;
/** Flags, read-only, DF, several connections. */
const TRANSMISSION_FLAGS = 1 | 2 | (1 << 7) | (1 << 8);
const HOLE_AND_ZERO = 3;
const MAX_EXTENTS = 4096;
const REQUEST_BYTES = 28;

const [path, sizeText, extentsText] = process.argv.slice(2);
const SIZE = Number(sizeText);
/** From the begin of one extent of data to that of the next. */
const STRIDE = Math.floor(SIZE / (Number(extentsText) / 2) / BLOCK) * BLOCK;
const content = Buffer.alloc(2 * 2 ** 20 + BLOCK, 'sparse ');
const zeroes = Buffer.alloc(content.length);

createServer((socket) => {
  socket.on('error', () => socket.destroy());
  socket.write(Buffer.concat([MAGIC, Buffer.from([0, 3])]));
  let pending = Buffer.alloc(0);
  let state = 'flags';
  socket.on('data', (bytes) => {
    pending = pending.length === 0 ? bytes : Buffer.concat([pending, bytes]);
    for (;;) {
      const length = state === 'flags' ? 4 : state === 'options' ? optionLength(pending) : REQUEST_BYTES;
      if (pending.length < length) return;
      const message = pending.subarray(0, length);
      pending = pending.subarray(length);
      if (state === 'flags') state = 'options';
      else if (state === 'options') state = takeOption(socket, message);
      else takeRequest(socket, message);
    }
  });
}).listen(path);

function optionLength(bytes) {
  return bytes.length < 16 ? 16 : 16 + bytes.readUInt32BE(12);
}

/** @returns what comes next */
function takeOption(socket, message) {
  const option = message.readUInt32BE(8);
  const reply = (type, data = Buffer.alloc(0)) => {
    const head = Buffer.alloc(20);
    head.writeBigUInt64BE(OPTION_REPLY);
    head.writeUInt32BE(option, 8);
    head.writeUInt32BE(type, 12);
    head.writeUInt32BE(data.length, 16);
    socket.write(Buffer.concat([head, data]));
  };
  if (option === OPTION.setContext) {
    const name = 'base:allocation';
    reply(REPLY.context, Buffer.concat([Buffer.from([0, 0, 0, 1]), Buffer.from(name)]));
  }
  if (option === OPTION.go) {
    const info = Buffer.alloc(12);
    info.writeBigUInt64BE(BigInt(SIZE), 2);
    info.writeUInt16BE(TRANSMISSION_FLAGS, 10);
    reply(REPLY.info, info);
  }
  reply(Object.values(OPTION).includes(option) ? REPLY.ack : REPLY.unsupported);
  if (option === OPTION.abort) socket.end();
  return option === OPTION.go ? 'requests' : 'options';
}

function takeRequest(socket, message) {
  const command = message.readUInt16BE(6);
  const cookie = message.subarray(8, 16);
  const offset = Number(message.readBigUInt64BE(16));
  const length = message.readUInt32BE(24);
  if (command === COMMAND.disconnect) socket.end();
  else if (command === COMMAND.read) {
    socket.write(chunk(cookie, CHUNK.data, length, offset));
    // Whoever reads across the end of an extent gets what he wants, but no disk: nobody does.
    socket.write((offset % STRIDE < BLOCK ? content : zeroes).subarray(0, length));
  } else if (command === COMMAND.status) socket.write(statusOf(cookie, offset, length));
  else socket.write(chunk(cookie, CHUNK.none, 0));
}

/** The head of the only chunk of a reply. */
function chunk(cookie, type, length, offset) {
  const head = Buffer.alloc(offset === undefined ? 20 : 28);
  head.writeUInt32BE(STRUCTURED_REPLY);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(type, 6);
  cookie.copy(head, 8);
  head.writeUInt32BE(length + head.length - 20, 16);
  if (offset !== undefined) head.writeBigUInt64BE(BigInt(offset), 20);
  return head;
}

function statusOf(cookie, start, length) {
  const extents = [];
  for (let at = start; at < start + length && extents.length < MAX_EXTENTS;) {
    const place = at % STRIDE;
    const isData = place < BLOCK;
    const end = at - place + (isData ? BLOCK : STRIDE);
    extents.push({ bytes: Math.min(end, SIZE) - at, flags: isData ? 0 : HOLE_AND_ZERO });
    at = end;
  }
  const data = Buffer.alloc(4 + extents.length * 8);
  data.writeUInt32BE(1);
  for (const [index, { bytes, flags }] of extents.entries()) {
    data.writeUInt32BE(bytes, 4 + index * 8);
    data.writeUInt32BE(flags, 8 + index * 8);
  }
  return Buffer.concat([chunk(cookie, CHUNK.status, data.length), data]);
}
