/**
 * Makes the death of the npm that started us a SIGHUP to us.
 * npm passes SIGINT and SIGTERM on to the script, but SIGHUP just ends npm, and SIGKILL does anyway.
 * (The scripts of package.json begin with `exec` because the shell in between would swallow the others.)
 */
export function endWithNpm() {
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    process.kill(process.pid, 'SIGHUP');
  }, 200);
  timer.unref();
}
