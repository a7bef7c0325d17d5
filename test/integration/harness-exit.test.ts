import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterEach, describe, expect, test } from 'vitest';
import {
  isRunning,
  leftovers,
  makeTemporaryFolder,
  requireServers,
  startChild,
  waitUntil,
  type Child,
  type TemporaryFolder,
} from '../harness/index.ts';

const servers = requireServers('libvirtd', 'nbdkit');

// A process of its own that uses the harness and then ends in a way that runs no `finally`.
const SCRIPT = `
import { startLibvirtd } from './libvirtd.js';
import { startNbdkit } from './nbd-servers.js';
const libvirtd = await startLibvirtd();
const nbdkit = await startNbdkit({ plugin: 'memory', parameters: ['1M'] });
console.log(JSON.stringify({ pids: [libvirtd.pid, nbdkit.pid], paths: [libvirtd.dir, nbdkit.endpoint.path] }));
if (process.argv[2] === 'throw') setTimeout(() => { throw new Error('on purpose'); }, 50);
else if (process.argv[2] === 'exit') process.exit(7);
else setInterval(() => {}, 1000);
`;

/** Compiles the harness into `folder`, so that plain Node can run it. */
function compileHarness(folder: TemporaryFolder): string {
  const sources = fileURLToPath(new URL('../harness/', import.meta.url));
  for (const name of readdirSync(sources).filter((file) => file.endsWith('.ts'))) {
    const { outputText } = ts.transpileModule(readFileSync(join(sources, name), 'utf8'), {
      compilerOptions: {
        module: ts.ModuleKind.ESNext,
        target: ts.ScriptTarget.ES2023,
        rewriteRelativeImportExtensions: true,
      },
    });
    writeFileSync(join(folder.path, `${basename(name, '.ts')}.js`), outputText);
  }
  writeFileSync(join(folder.path, 'package.json'), '{ "type": "module" }');
  const script = join(folder.path, 'dying.js');
  writeFileSync(script, SCRIPT);
  return script;
}

interface Started {
  readonly pids: readonly number[];
  readonly paths: readonly string[];
}

async function untilStarted(child: Child): Promise<Started> {
  await waitUntil(() => child.output().includes('}') || !child.isRunning, 20_000, 'the servers to start');
  const started = /^\{.*\}$/m.exec(child.output());
  if (started === null) throw new Error(child.output());
  return JSON.parse(started[0]) as Started;
}

describe.skipIf(servers.skip)(servers.title('end of a process that uses the harness'), () => {
  afterEach(() => {
    expect(leftovers()).toEqual([]);
  });

  test.each(['throw', 'exit', 'SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    '%s ends its servers',
    async (cause) => {
      await using folder = makeTemporaryFolder();
      const child = await startChild(process.execPath, [compileHarness(folder), cause]);
      const { pids, paths } = await untilStarted(child);
      if (cause.startsWith('SIG')) child.kill(cause as NodeJS.Signals);
      const exit = await child.exited;
      if (cause === 'throw') expect(exit.code).toBe(1);
      else if (cause === 'exit') expect(exit.code).toBe(7);
      else expect(exit.signal).toBe(cause);
      expect(pids.filter((pid) => isRunning(pid))).toEqual([]);
      expect(paths.filter((path) => existsSync(path))).toEqual([]);
    },
  );
});
