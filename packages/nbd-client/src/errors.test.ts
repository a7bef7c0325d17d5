import { expect, it } from 'vitest';
import { connect } from './connect.ts';
import { FakeServer } from './fake-server.fixture.ts';
import { NBD_ERROR } from './protocol/constants.ts';
import { error } from './wire.fixture.ts';

it('errors of one command carry the value of the wire and its name', async () => {
  const values = Object.entries(NBD_ERROR).filter(([name]) => name !== 'ESHUTDOWN');
  expect(values.length).toBe(7);
  await using server = await FakeServer.start({
    request: (request) => (request.offset > 0 ? error(request, request.offset, 'so it is') : undefined),
  });
  await using nbd = await connect(server.endpoint);
  for (const [errnoName, errno] of values)
    await expect(nbd.read(errno, 512)).rejects.toMatchObject({
      code: 'ERR_NBD_COMMAND',
      command: 'NBD_CMD_READ',
      errno,
      errnoName,
      serverMessage: 'so it is',
    });
});
