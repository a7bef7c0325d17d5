import { expect, it } from 'vitest';
import { exportInfo } from '../connect.ts';
import { FakeServer } from '../fake-server.fixture.ts';
import { NBD_FLAG, NBD_INFO, NBD_OPT, NBD_OPTION_REPLY_MAGIC, NBD_REP } from '../protocol/constants.ts';

/** One option reply. */
function reply(option: number, type: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(20);
  header.writeBigUInt64BE(NBD_OPTION_REPLY_MAGIC, 0);
  for (const [index, value] of [option, type, payload.length].entries())
    header.writeUInt32BE(value, 8 + 4 * index);
  return Buffer.concat([header, payload]);
}

/** Lists a context, whether or not it can be selected, and knows an export of 4096 bytes. */
function answer(option: number, payload: Buffer): Buffer | undefined {
  const context = Buffer.from('\0\0\0\0base:allocation');
  const shown = Buffer.alloc(12);
  shown.writeUInt16BE(NBD_INFO.EXPORT, 0);
  shown.writeBigUInt64BE(4096n, 2);
  shown.writeUInt16BE(NBD_FLAG.HAS_FLAGS, 10);
  const acknowledged = reply(option, NBD_REP.ACK);
  if (option === NBD_OPT.LIST_META_CONTEXT) {
    const queries = payload.readUInt32BE(4); // behind the empty name
    const listed = queries === 0 ? [reply(option, NBD_REP.META_CONTEXT, context)] : [];
    return Buffer.concat([...listed, acknowledged]);
  }
  if (option === NBD_OPT.INFO) return Buffer.concat([reply(option, NBD_REP.INFO, shown), acknowledged]);
  return option === NBD_OPT.ABORT ? acknowledged : undefined;
}

it.each([
  ['with structured replies', true, ['base:allocation']],
  ['without them, which nobody can select', false, []],
])('the contexts a server lists %s', async (_title, structured, metaContexts) => {
  await using server = await FakeServer.start({ structured, option: answer });
  expect(await exportInfo(server.endpoint)).toMatchObject({ size: 4096, metaContexts });
});
