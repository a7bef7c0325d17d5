import { connect } from 'nbd-ts-client';
import type { OpenExport } from '../../ports/block-source.ts';

/** Opens an export with `nbd-ts-client`. */
export const openNbdExport: OpenExport = async ({ socket, exportName }, options) => {
  const endpoint = { address: { path: socket }, exportName };
  const { metaContexts, idleTimeoutMs, signal } = options;
  const connection = await connect(endpoint, {
    metaContexts,
    ...(idleTimeoutMs !== undefined && { idleTimeoutMs }),
    ...(signal && { signal }),
  });
  const missing = metaContexts.filter((context) => !connection.metaContexts.includes(context));
  if (missing.length === 0) return connection;
  await connection.close();
  throw new Error(`the server does not offer the metadata context ${missing.join(', ')}`);
};
