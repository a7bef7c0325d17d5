import { describe, expect, it } from 'vitest';
import { connect } from './connect.ts';
import { FakeServer } from './fake-server.fixture.ts';

describe('why there is no connection', () => {
  it('a server that is not there is unreachable', async () => {
    await expect(connect({ address: { path: '/nowhere/s' } })).rejects.toMatchObject({
      code: 'ERR_NBD_CONNECT',
      reason: 'unreachable',
    });
  });

  it('one that hangs up within the handshake has closed it', async () => {
    await using server = await FakeServer.start({
      option: () => {
        server.connections[0]?.socket.destroy();
        return 'nothing';
      },
    });
    await expect(connect(server.endpoint)).rejects.toMatchObject({
      code: 'ERR_NBD_CONNECT',
      reason: 'closed',
    });
  });

  it.each([{ connectTimeoutMs: 30 }, { handshakeTimeoutMs: 30 }])(
    'one that says nothing is a timeout: %j',
    async (options) => {
      await using server = await FakeServer.start({ option: () => 'nothing' });
      await expect(connect(server.endpoint, options)).rejects.toMatchObject({
        code: 'ERR_NBD_CONNECT',
        reason: 'timeout',
      });
    },
  );
});
