// Imported before a program: writes down how long its event loop was held up, to the file that LOOP_DELAY names.
import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

const RESOLUTION_MS = 1;
const NS_PER_MS = 1e6;

const file = process.env.LOOP_DELAY;
if (isMainThread && file !== undefined) {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  process.on('exit', () => {
    // What is measured includes the time between two looks.
    const p99 = delay.percentile(99) / NS_PER_MS - RESOLUTION_MS;
    const max = delay.max / NS_PER_MS - RESOLUTION_MS;
    writeFileSync(file, JSON.stringify({ p99, max }));
  });
}
