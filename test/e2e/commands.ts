import { spawn } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runAny, type RunResult } from '../harness/index.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const launcher = join(root, 'scripts/example.mjs');

if (!existsSync(join(root, 'packages/cli/bundle/main.js')))
  throw new Error('the commands are not built: run "npm run build" first');

/** Runs an example to its end, as its users do but without npm in front. */
export function example(name: string, args: readonly string[], cwd: string = root): Promise<RunResult> {
  return exampleWith(process.execPath, [], name, args, cwd);
}

/** The same with another Node, or with options for it. */
export function exampleWith(
  node: string,
  options: readonly string[],
  name: string,
  args: readonly string[],
  cwd: string = root,
): Promise<RunResult> {
  const env = { ...process.env, INIT_CWD: cwd };
  return runAny(node, [...options, launcher, name, ...args], { cwd: root, env });
}

/** Runs an example and returns its last line of output, parsed. Rejects unless it exits with 0. */
export async function exampleJson(name: string, args: readonly string[], cwd?: string): Promise<unknown> {
  const { code, stdout, stderr } = await example(name, args, cwd);
  if (code !== 0) throw new Error(`${name} ended with ${code ?? '?'}: ${stderr}`);
  return JSON.parse(stdout);
}

/** Bytes of all files in a folder that others are at work in. */
export function bytesIn(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const size = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  return files.reduce((sum, { parentPath, name }) => sum + size(join(parentPath, name)), 0);
}

/** Starts an example, sends it a signal when `ready` says so, and waits for its end. */
export async function interruptedExample(
  name: string,
  args: readonly string[],
  signal: NodeJS.Signals,
  ready: () => boolean,
): Promise<RunResult> {
  const child = spawn(process.execPath, [launcher, name, ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text: Buffer) => (stdout += text.toString()));
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString()));
  const timer = setInterval(() => {
    if (!ready()) return;
    clearInterval(timer);
    child.kill(signal);
  }, 2);
  return new Promise((resolve) => {
    child.once('close', (code, endedBy) => {
      clearInterval(timer);
      resolve({ code, signal: endedBy, stdout, stderr });
    });
  });
}
