import fc from 'fast-check';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { LibvirtAuthError } from '../errors.ts';
import { PlainExchange } from './plain.ts';
import { ScramExchange } from './scram.ts';

/** The examples of RFC 5802, section 5, and RFC 7677, section 3. */
const EXAMPLES = [
  {
    mechanism: 'SCRAM-SHA-1',
    nonce: 'fyko+d2lbbFgONRv9qkxdawL',
    serverFirst: 'r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096',
    clientFinal: 'c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=',
    serverFinal: 'v=rmF9pqV8S7suAoZWja4dJRkFsKQ=',
  },
  {
    mechanism: 'SCRAM-SHA-256',
    nonce: 'rOprNGfwEbeRWgbNEkqO',
    serverFirst: 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
    clientFinal:
      'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
    serverFinal: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
  },
] as const;

const USER = { username: 'user', password: 'pencil' };
const [, EXAMPLE] = EXAMPLES;

function begun(example: (typeof EXAMPLES)[number] = EXAMPLE): ScramExchange {
  return new ScramExchange(example.mechanism, USER, example.nonce);
}

/** Up to the server's last message. */
async function answered(example: (typeof EXAMPLES)[number] = EXAMPLE): Promise<ScramExchange> {
  const exchange = begun(example);
  await exchange.next(Buffer.from(example.serverFirst), false);
  return exchange;
}

const refused = { code: 'ERR_LIBVIRT_AUTH', reason: 'unproven' };

describe.each(EXAMPLES)('the example of $mechanism', (example) => {
  test('word for word, with the proof beside the success', async () => {
    const exchange = begun(example);
    expect(exchange.start().toString()).toBe(`n,,n=user,r=${example.nonce}`);
    const clientFinal = await exchange.next(Buffer.from(example.serverFirst), false);
    expect(clientFinal?.toString()).toBe(example.clientFinal);
    expect(await exchange.next(Buffer.from(example.serverFinal), true)).toBeNull();
  });

  test.each([null, Buffer.alloc(0)])('the proof before the success: %j', async (nothing) => {
    const exchange = await answered(example);
    expect(await exchange.next(Buffer.from(example.serverFinal), false)).toBeNull();
    expect(await exchange.next(nothing, true)).toBeNull();
  });

  test('an extension of the last message is passed over', async () => {
    const exchange = await answered(example);
    expect(await exchange.next(Buffer.from(`${example.serverFinal},x=y`), true)).toBeNull();
  });

  test('a signature with any bit changed', async () => {
    const signature = Buffer.from(example.serverFinal.slice(2), 'base64');
    for (let bit = 0; bit < signature.length * 8; bit += 13) {
      const wrong = Buffer.from(signature);
      wrong.writeUInt8(wrong.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      const exchange = await answered(example);
      const last = exchange.next(Buffer.from(`v=${wrong.toString('base64')}`), true);
      await expect(last).rejects.toMatchObject(refused);
    }
  });
});

describe('a server that lies', () => {
  const nonce = `r=${EXAMPLE.nonce}abc`;
  const salt = 's=W22ZaJ0SNY7soEsUEjb6gQ==';
  test.each([
    ['nothing', ''],
    ['no nonce', `${salt},i=4096`],
    ['our nonce with nothing behind it', `r=${EXAMPLE.nonce},${salt},i=4096`],
    ['another nonce', `r=x${EXAMPLE.nonce},${salt},i=4096`],
    ['a nonce with a space', `${nonce} ,${salt},i=4096`],
    ['a mandatory extension', `m=x,${nonce},${salt},i=4096`],
    ['no salt', `${nonce},i=4096`],
    ['an empty salt', `${nonce},s=,i=4096`],
    ['a salt that is not base64', `${nonce},s=W22Z*J0SNY7soEsUEjb6gQ==,i=4096`],
    ['a salt of base64url', `${nonce},s=_-_-,i=4096`],
    ['a huge salt', `${nonce},s=${'AAAA'.repeat(16_000)},i=4096`],
    ['no iteration count', `${nonce},${salt}`],
    ['an iteration count of 1', `${nonce},${salt},i=1`],
    ['one less than the least', `${nonce},${salt},i=4095`],
    ['one more than the most', `${nonce},${salt},i=2000001`],
    ['an iteration count of 2^31', `${nonce},${salt},i=2147483648`],
    ['an iteration count that is no number', `${nonce},${salt},i=4096x`],
    ['a negative one', `${nonce},${salt},i=-4096`],
    ['an error in the place of a challenge', 'e=other-error'],
  ])('first message: %s', async (_, message) => {
    const exchange = begun();
    await expect(exchange.next(Buffer.from(message), false)).rejects.toMatchObject(refused);
  });

  test.each([
    ['nothing', ''],
    ['the first message again', EXAMPLE.serverFirst],
    ['an empty signature', 'v='],
    ['a signature that is not base64', 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4'],
    ['a short signature', 'v=6rri'],
    ['a signature behind something else', `x=y,${EXAMPLE.serverFinal}`],
    ['an empty error', 'e='],
  ])('last message: %s', async (_, message) => {
    for (const isLast of [true, false]) {
      const exchange = await answered();
      await expect(exchange.next(Buffer.from(message), isLast)).rejects.toMatchObject(refused);
    }
  });

  test('success too early, without the last message, or never', async () => {
    await expect(begun().next(Buffer.from(EXAMPLE.serverFirst), true)).rejects.toMatchObject(refused);
    await expect(begun().next(null, true)).rejects.toMatchObject(refused);
    await expect((await answered()).next(null, true)).rejects.toMatchObject(refused);
    const endless = await answered();
    await endless.next(Buffer.from(EXAMPLE.serverFinal), false);
    await expect(endless.next(null, false)).rejects.toMatchObject(refused);
    await expect(endless.next(Buffer.from(EXAMPLE.serverFinal), true)).rejects.toMatchObject(refused);
  });

  test('an error instead of a signature', async () => {
    const last = (await answered()).next(Buffer.from('e=invalid-proof\u001b,x=y'), true);
    await expect(last).rejects.toMatchObject({
      reason: 'denied',
      message: 'SCRAM-SHA-256: the daemon refuses: invalid-proof\\u{1b}',
    });
  });

  test('any bytes are refused, at any moment', async () => {
    const messages = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.stringMatching(/^[rsive=,AB+/0194]{0,60}$/),
    );
    await fc.assert(
      fc.asyncProperty(messages, fc.boolean(), fc.boolean(), async (message, isLast, isSecond) => {
        const exchange = isSecond ? await answered(EXAMPLES[0]) : begun();
        await expect(exchange.next(Buffer.from(message), isLast)).rejects.toBeInstanceOf(LibvirtAuthError);
      }),
      { numRuns: 60 },
    );
  });
});

test('names are escaped, every exchange has a nonce of its own, nothing shows the password', () => {
  const credentials = { username: 'a=b,c', password: 'top secret' };
  const first = new ScramExchange('SCRAM-SHA-256', credentials);
  const second = new ScramExchange('SCRAM-SHA-256', credentials);
  expect(first.start().toString()).toMatch(/^n,,n=a=3Db=2Cc,r=[A-Za-z0-9+/]{32}$/);
  expect(first.start().toString()).not.toBe(second.start().toString());
  const plain = new PlainExchange(credentials);
  expect(plain.start().toString()).toBe('\0a=b,c\0top secret');
  for (const exchange of [first, plain])
    expect(inspect(exchange, { depth: 9, showHidden: true })).not.toContain('secret');
});

test('what SASLprep would change is refused, and not shown', () => {
  for (const odd of ['pass\u00a0word', 'oﬃce', '\u0000', 'e\u0301', 'שלום', '\ud800'])
    for (const credentials of [
      { username: 'fred', password: odd },
      { username: odd, password: 'x' },
    ]) {
      const begin = (): unknown => new ScramExchange('SCRAM-SHA-1', credentials);
      expect(begin).toThrow(expect.objectContaining({ reason: 'credentials' }));
      expect(begin).not.toThrow(odd);
    }
});

test('PLAIN: what cannot be said, and a server that asks for more', async () => {
  for (const odd of ['a\0b', '\ud800'])
    expect(() => new PlainExchange({ username: 'fred', password: odd })).toThrow(
      expect.objectContaining({ reason: 'credentials' }),
    );
  const exchange = new PlainExchange(USER);
  expect(await exchange.next(null, true)).toBeNull();
  expect(await exchange.next(Buffer.alloc(0), true)).toBeNull();
  await expect(exchange.next(null, false)).rejects.toMatchObject(refused);
  await expect(exchange.next(Buffer.from('more'), true)).rejects.toMatchObject(refused);
});
