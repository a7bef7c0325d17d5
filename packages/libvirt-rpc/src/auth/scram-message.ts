import { MAX_SCRAM_ITERATIONS, MIN_SCRAM_ITERATIONS } from '../protocol/limits.ts';

/** The longest salt, in characters of base64. */
const MAX_SALT_LENGTH = 1024;

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Why a message is not what it must be. */
export class ScramMessageError extends Error {}

/** What the server-first-message holds. */
export interface ServerFirst {
  /** The client's nonce with the server's behind it. */
  readonly nonce: string;
  readonly salt: Buffer;
  readonly iterations: number;
}

/** What the server-final-message holds. */
export type ServerFinal =
  | { readonly kind: 'error'; readonly error: string }
  | { readonly kind: 'signature'; readonly signature: Buffer };

/** A name as it stands in a message (RFC 5802, section 5.1). */
export function encodeSaslName(name: string): string {
  return name.replaceAll('=', '=3D').replaceAll(',', '=2C');
}

/**
 * Reads a server-first-message (RFC 5802, section 7).
 *
 * @throws ScramMessageError
 */
export function parseServerFirst(message: string, clientNonce: string): ServerFirst {
  const [nonce = '', salt = '', iterations = ''] = message.split(',');
  if (nonce.startsWith('m=')) throw new ScramMessageError('it demands an extension that is not supported');
  if (!/^r=[\x21-\x7e]+$/.test(nonce)) throw new ScramMessageError('its first message has no nonce');
  if (!nonce.startsWith(`r=${clientNonce}`) || nonce.length === clientNonce.length + 2)
    throw new ScramMessageError('its nonce does not continue ours');
  return { nonce: nonce.slice(2), salt: parseSalt(salt), iterations: parseIterations(iterations) };
}

/**
 * Reads a server-final-message (RFC 5802, section 7).
 *
 * @throws ScramMessageError
 */
export function parseServerFinal(message: string): ServerFinal {
  const [first = ''] = message.split(',');
  if (/^e=./.test(first)) return { kind: 'error', error: first.slice(2) };
  if (!first.startsWith('v=') || !isBase64(first.slice(2)))
    throw new ScramMessageError('its last message has no signature');
  return { kind: 'signature', signature: Buffer.from(first.slice(2), 'base64') };
}

function parseSalt(field: string): Buffer {
  const salt = field.slice(2);
  if (!field.startsWith('s=') || salt.length > MAX_SALT_LENGTH || !isBase64(salt))
    throw new ScramMessageError(`its salt is not base64 of 4 to ${MAX_SALT_LENGTH} characters`);
  return Buffer.from(salt, 'base64');
}

/** Few iterations make it easy to find the password from what was exchanged; many keep a processor busy. */
function parseIterations(field: string): number {
  const iterations = Number(/^i=([1-9][0-9]{0,9})$/.exec(field)?.[1]);
  if (!(iterations >= MIN_SCRAM_ITERATIONS && iterations <= MAX_SCRAM_ITERATIONS))
    throw new ScramMessageError(
      `its iteration count is not a number from ${MIN_SCRAM_ITERATIONS} to ${MAX_SCRAM_ITERATIONS}`,
    );
  return iterations;
}

function isBase64(text: string): boolean {
  return text !== '' && BASE64.test(text);
}
