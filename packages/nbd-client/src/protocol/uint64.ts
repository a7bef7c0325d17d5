/** Reads a big-endian u64 as a number. A value over `Number.MAX_SAFE_INTEGER` becomes `Infinity`, which fails every bounds check. */
export function readUint64(bytes: Buffer, at: number): number {
  const high = bytes.readUInt32BE(at);
  return high > 0x1fffff ? Number.POSITIVE_INFINITY : high * 2 ** 32 + bytes.readUInt32BE(at + 4);
}

/** Writes a safe non-negative integer as a big-endian u64. */
export function writeUint64(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32BE(Math.floor(value / 2 ** 32), at);
  bytes.writeUInt32BE(value % 2 ** 32, at + 4);
}
