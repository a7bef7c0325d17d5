import { describe, expect, it } from 'vitest';
import { NbdConnectError, NbdProtocolError } from '../errors.ts';
import { HandshakeReader } from './handshake-reader.ts';

describe('the end of the handshake before its time', () => {
  const ends = (end: (reader: HandshakeReader) => void): Promise<unknown> => {
    const reader = new HandshakeReader();
    const read = reader.read(16).catch((error: unknown) => error);
    end(reader);
    return read;
  };

  it('a connection that broke is an error of this package, with the system’s error as its cause', async () => {
    const cause = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
    const error = await ends((reader) => {
      reader.ended(cause);
    });
    expect(error).toBeInstanceOf(NbdConnectError);
    expect(error).toMatchObject({
      cause,
      message: expect.stringMatching(/handshake: read ECONNRESET/) as string,
    });
  });

  it('a violation and the reason of an abort stay what they are', async () => {
    const violation = new NbdProtocolError('x', 'y');
    expect(
      await ends((reader) => {
        reader.ended(violation);
      }),
    ).toBe(violation);
    expect(
      await ends((reader) => {
        reader.abandon('enough');
        reader.ended(undefined);
      }),
    ).toBe('enough');
  });

  it('what has arrived can still be read', async () => {
    const reader = new HandshakeReader();
    reader.receive(Buffer.from('abc'));
    reader.ended(undefined);
    expect((await reader.read(2)).toString()).toBe('ab');
    await expect(reader.read(2)).rejects.toThrow(/closed the connection during the handshake/);
    expect(reader.hasEnded).toBe(true);
  });
});
