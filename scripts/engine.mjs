// The little of the Docker engine's HTTP interface that the scripts need.
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const DEFAULT_HOST = 'unix:///var/run/docker.sock';
const ANSWER_TIMEOUT_MS = 5_000;
const REMOVAL_TIMEOUT_MS = 10_000;

/** How node:http reaches an engine's address: `unix:///PATH` or `tcp://HOST:PORT`. */
function connectionTo(host) {
  const url = new URL(host);
  if (url.protocol === 'unix:') return { socketPath: decodeURIComponent(url.pathname) };
  return { host: url.hostname, port: url.port };
}

/** Sends a request without a body. Resolves with what the engine answered, parsed; rejects unless it is 2xx. */
export function askEngine(host, method, path, timeoutMs = 60_000) {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const outgoing = request({ ...connectionTo(host), method, path, signal }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => {
        const text = Buffer.concat(chunks).toString();
        const { statusCode = 0 } = response;
        if (statusCode < 200 || statusCode > 299)
          reject(new Error(`${method} ${path}: ${statusCode} ${text.trim()}`));
        else
          resolve(response.headers['content-type']?.startsWith('application/json') ? JSON.parse(text) : text);
      });
    });
    outgoing.once('error', reject);
    outgoing.end();
  });
}

/** Whether an engine answers: the one at `host`, else that of DOCKER_HOST, else the system's. */
export async function engineAnswers(host = process.env.DOCKER_HOST ?? DEFAULT_HOST) {
  try {
    await askEngine(host, 'GET', '/_ping', ANSWER_TIMEOUT_MS);
    return true;
  } catch {
    return false;
  }
}

/**
 * Removes containers, also running ones, networks and images: all of them, or those with a label. Tries again for a
 * while, because somebody else may be removing them too.
 */
export async function removeFromEngine(host, label) {
  for (const deadline = Date.now() + REMOVAL_TIMEOUT_MS; ; await sleep(200)) {
    try {
      await removeOnce(host, label);
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

async function removeOnce(host, label) {
  const filters = (more) => encodeURIComponent(JSON.stringify({ ...more, ...(label && { label: [label] }) }));
  for (const { Id } of await askEngine(host, 'GET', `/containers/json?all=true&filters=${filters()}`))
    await askEngine(host, 'DELETE', `/containers/${Id}?force=true&v=true`);
  for (const { Id } of await askEngine(host, 'GET', `/networks?filters=${filters({ type: ['custom'] })}`))
    await askEngine(host, 'DELETE', `/networks/${Id}`);
  for (const { Id } of await askEngine(host, 'GET', `/images/json?filters=${filters()}`))
    await askEngine(host, 'DELETE', `/images/${Id}?force=true`);
}
