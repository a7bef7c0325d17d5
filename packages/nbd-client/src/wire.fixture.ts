import {
  NBD_EXTENDED_REPLY_MAGIC,
  NBD_IHAVEOPT,
  NBD_MAGIC,
  NBD_OPTION_REPLY_MAGIC,
  NBD_REPLY_FLAG_DONE,
  NBD_REPLY_TYPE,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STRUCTURED_REPLY_MAGIC,
} from './protocol/constants.ts';

/** A request as a server sees it. */
export interface Request {
  readonly flags: number;
  readonly type: number;
  readonly cookie: bigint;
  readonly offset: number;
  readonly length: number;
  readonly payload: Buffer;
}

/** The content of every fake export. */
export function patternAt(offset: number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => ((offset + index) * 31 + 7) & 0xff));
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function u64(value: bigint | number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

export const GREETING: Buffer = Buffer.concat([u64(NBD_MAGIC), u64(NBD_IHAVEOPT), u16(3)]);

export function optionReply(option: number, type: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([u64(NBD_OPTION_REPLY_MAGIC), u32(option), u32(type), u32(payload.length), payload]);
}

/** A structured reply chunk. `length` and `cookie` can lie. */
export function chunk(
  request: Pick<Request, 'cookie'>,
  type: number,
  payload: Buffer,
  options: { done?: boolean; length?: number; cookie?: bigint; flags?: number; magic?: number } = {},
): Buffer {
  const { done = true, length = payload.length, cookie = request.cookie, flags = 0 } = options;
  return Buffer.concat([
    u32(options.magic ?? NBD_STRUCTURED_REPLY_MAGIC),
    u16(flags | (done ? NBD_REPLY_FLAG_DONE : 0)),
    u16(type),
    u64(cookie),
    u32(length),
    payload,
  ]);
}

/** An extended reply chunk. */
export function extendedChunk(
  request: Request,
  type: number,
  payload: Buffer,
  options: { done?: boolean; offset?: bigint; length?: bigint } = {},
): Buffer {
  const { done = true, offset = BigInt(request.offset), length = BigInt(payload.length) } = options;
  const flags = done ? NBD_REPLY_FLAG_DONE : 0;
  const header = [
    u32(NBD_EXTENDED_REPLY_MAGIC),
    u16(flags),
    u16(type),
    u64(request.cookie),
    u64(offset),
    u64(length),
  ];
  return Buffer.concat([...header, payload]);
}

export function data(request: Request, offset: number, length: number, done = true): Buffer {
  return chunk(request, NBD_REPLY_TYPE.OFFSET_DATA, Buffer.concat([u64(offset), patternAt(offset, length)]), {
    done,
  });
}

export function hole(request: Request, offset: number, length: number, done = true): Buffer {
  return chunk(request, NBD_REPLY_TYPE.OFFSET_HOLE, Buffer.concat([u64(offset), u32(length)]), { done });
}

export function none(request: Request): Buffer {
  return chunk(request, NBD_REPLY_TYPE.NONE, Buffer.alloc(0));
}

export function error(request: Request, errno: number, message = '', done = true): Buffer {
  const text = Buffer.from(message);
  return chunk(request, NBD_REPLY_TYPE.ERROR, Buffer.concat([u32(errno), u16(text.length), text]), { done });
}

export function status(
  request: Request,
  id: number,
  extents: readonly [number, number][],
  done = true,
): Buffer {
  const pairs = extents.map(([length, flags]) => Buffer.concat([u32(length), u32(flags)]));
  return chunk(request, NBD_REPLY_TYPE.BLOCK_STATUS, Buffer.concat([u32(id), ...pairs]), { done });
}

export function simple(request: Request, errno: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([u32(NBD_SIMPLE_REPLY_MAGIC), u32(errno), u64(request.cookie), payload]);
}
