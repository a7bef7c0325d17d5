import { NbdProtocolError } from '../errors.ts';
import { type BlockSize, type Info, parseInfo } from './option-messages.ts';
import { NBD_FLAG } from '../protocol/constants.ts';
import { DEFAULT_MAXIMUM_PAYLOAD, MAX_PAYLOAD, UNLIMITED_PAYLOAD } from '../protocol/limits.ts';
import type { HeaderStyle } from '../protocol/header-style.ts';

/** What a server that tells no block sizes is taken to have: section "Block size constraints". */
export const DEFAULT_BLOCK_SIZE: BlockSize = {
  minimum: 1,
  preferred: 4096,
  maximum: DEFAULT_MAXIMUM_PAYLOAD,
};

/** What a server tells of an export, in answer to NBD_OPT_INFO or NBD_OPT_GO. */
export interface ExportFacts {
  /** Bytes. */
  readonly size: number;
  readonly transmissionFlags: number;
  readonly name: string | undefined;
  readonly description: string | undefined;
  readonly blockSize: BlockSize | undefined;
}

/**
 * Puts the pieces of information together. Unknown ones are ignored, and so is their order.
 *
 * @throws NbdProtocolError without NBD_INFO_EXPORT, or if one comes twice and differs
 */
export function collectFacts(payloads: readonly Buffer[], style: HeaderStyle): ExportFacts {
  const seen = new Map<Info['kind'], Buffer>();
  const facts: { -readonly [Key in Exclude<Info['kind'], 'unknown'>]?: Extract<Info, { kind: Key }> } = {};
  for (const payload of payloads) {
    const info = parseInfo(payload);
    if (info.kind === 'unknown') continue;
    if (seen.get(info.kind)?.equals(payload) === false)
      throw new NbdProtocolError(`information (${info.kind}) sent twice and different`, 'NBD_OPT_INFO');
    seen.set(info.kind, payload);
    Object.assign(facts, { [info.kind]: info });
  }
  if (facts.export === undefined)
    throw new NbdProtocolError('an acknowledged option without NBD_INFO_EXPORT', 'NBD_OPT_INFO');
  return {
    size: facts.export.size,
    transmissionFlags: checkedFlags(facts.export.transmissionFlags, style),
    name: facts.name?.name,
    description: facts.description?.description,
    blockSize: facts['block-size']?.blockSize,
  };
}

/** "No limit" is not to be taken at its word: QEMU never takes more than 32 MiB. */
export function withPayloadLimit(blockSize: BlockSize): BlockSize {
  const { maximum } = blockSize;
  const limit = maximum === UNLIMITED_PAYLOAD ? DEFAULT_MAXIMUM_PAYLOAD : Math.min(maximum, MAX_PAYLOAD);
  return { ...blockSize, maximum: limit };
}

/** Clears the flags that promise what the agreed headers cannot do. @throws NbdProtocolError */
export function checkedFlags(flags: number, style: HeaderStyle): number {
  if ((flags & NBD_FLAG.HAS_FLAGS) === 0)
    throw new NbdProtocolError('transmission flags without NBD_FLAG_HAS_FLAGS', 'Transmission flags');
  let known = flags;
  if (style === 'simple') known &= ~NBD_FLAG.SEND_DF;
  if (style !== 'extended') known &= ~NBD_FLAG.BLOCK_STATUS_PAYLOAD;
  if ((flags & NBD_FLAG.SEND_WRITE_ZEROES) === 0) known &= ~NBD_FLAG.SEND_FAST_ZERO;
  return known;
}
