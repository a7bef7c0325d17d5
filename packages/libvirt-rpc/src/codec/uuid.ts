/** 16 bytes as the canonical string: lower-case hexadecimal in groups of 8-4-4-4-12. */
export function uuidToString(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** The 16 bytes of a UUID, with or without hyphens; undefined where it is none. */
export function uuidToBytes(uuid: string): Buffer | undefined {
  const hex = uuid.replaceAll('-', '');
  return /^[0-9a-fA-F]{32}$/.test(hex) ? Buffer.from(hex, 'hex') : undefined;
}
