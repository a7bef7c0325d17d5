// `node scripts/with-docker.mjs COMMAND ARGS` runs a command while a Docker engine is within its reach.
// Where none answers, root installs Debian's and starts a private one for the time: everything it has lies in a
// temporary folder, it touches neither firewall nor routes, and it is gone with the command.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { engineAnswers } from './engine.mjs';
import { PrepareError, prepareSystem } from './prepare.mjs';
import { startPrivateEngine } from './private-engine.mjs';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
let child;
let interruptedBy;

for (const signal of SIGNALS) {
  process.on(signal, () => {
    interruptedBy = signal;
    child?.kill(signal);
  });
}

const say = (text) => process.stderr.write(`${text}\n`);

/** Runs the command and resolves with its exit status. */
function runCommand([program, ...args], env) {
  return new Promise((resolve) => {
    child = spawn(program, args, { stdio: 'inherit', env });
    child.once('error', (error) => {
      say(`${program} could not be started: ${error.message}`);
      resolve(127);
    });
    child.once('exit', (code, signal) => {
      resolve(signal ? 128 + constants.signals[signal] : code);
    });
  });
}

/** An engine of our own, or undefined with the reason on stderr: the command itself decides what that means. */
async function privateEngine() {
  if (process.getuid?.() !== 0) {
    say('No container engine answers, and only root can start one.');
    return undefined;
  }
  try {
    await prepareSystem('containers');
    return await startPrivateEngine();
  } catch (error) {
    say(
      `No container engine: ${error instanceof PrepareError ? error.message : error instanceof Error ? error.stack : error}`,
    );
    return undefined;
  }
}

async function main(command) {
  if (await engineAnswers()) return runCommand(command, process.env);
  const engine = await privateEngine();
  try {
    if (interruptedBy) return 128 + constants.signals[interruptedBy];
    return await runCommand(command, { ...process.env, ...engine?.environment });
  } finally {
    await engine?.stop();
  }
}

const command = process.argv.slice(2);
if (command.length === 0) {
  say('Usage: node scripts/with-docker.mjs COMMAND ARGS');
  process.exit(2);
}
process.exitCode = await main(command);
