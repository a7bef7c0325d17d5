import type { SshEndpoint, SshMethod, SshProxy } from '../uri/endpoint.ts';

const HOST_KEYS = { known: 'yes', 'accept-new': 'accept-new', unchecked: 'no' } as const;

/** The arguments for ssh. Nothing of the URI stands where an option could. */
export function sshArguments(endpoint: SshEndpoint): readonly string[] {
  const { host, port, user, keyFile, knownHostsFile, hostKeys, methods, isUnattended } = endpoint;
  const options = [
    ...(isUnattended ? ['BatchMode=yes'] : []),
    ...(hostKeys === undefined ? [] : [`StrictHostKeyChecking=${HOST_KEYS[hostKeys]}`]),
    ...(knownHostsFile === undefined ? [] : [`UserKnownHostsFile="${knownHostsFile}"`]),
    ...(methods === undefined ? [] : methodOptions(methods)),
  ];
  return [
    ...(port === undefined ? [] : ['-p', String(port)]),
    ...(user === undefined ? [] : ['-l', user]),
    ...(keyFile === undefined ? [] : ['-i', keyFile]),
    // No terminal over there, and no character that is not passed on as it is.
    ...['-T', '-e', 'none'],
    ...options.flatMap((option) => ['-o', option]),
    ...['--', host, remoteCommand(endpoint.proxy, endpoint.readOnly)],
  ];
}

/** To ssh a key is a key, wherever it is kept: which ones are tried is said apart. */
function methodOptions(methods: readonly SshMethod[]): string[] {
  const names = methods.map((method) => (method === 'agent' || method === 'privkey' ? 'publickey' : method));
  const usesKeys = names.includes('publickey');
  return [
    `PreferredAuthentications=${[...new Set(names)].join(',')}`,
    ...(usesKeys && !methods.includes('agent') ? ['IdentityAgent=none'] : []),
    ...(usesKeys && !methods.includes('privkey') ? ['IdentityFile=none'] : []),
  ];
}

/**
 * What the host is to run. The user's shell there may be any one: it is given one program with one quoted
 * argument, and what that says is for sh.
 */
export function remoteCommand(proxy: SshProxy, readOnly: boolean): string {
  return `sh -c ${quote(script(proxy, readOnly))}`;
}

function script(proxy: SshProxy, readOnly: boolean): string {
  switch (proxy.kind) {
    case 'native':
      return runHelper(proxy.uri, readOnly);
    case 'netcat':
      return runNetcat(proxy);
    case 'auto': {
      const helper = runHelper(proxy.uri, readOnly);
      return `if command -v virt-ssh-helper >/dev/null 2>&1; then ${helper}; else ${runNetcat(proxy)}; fi`;
    }
  }
}

function runHelper(uri: string, readOnly: boolean): string {
  return `exec virt-ssh-helper ${readOnly ? '-r ' : ''}-- ${quote(uri)}`;
}

/** Some netcats stay when their input has ended, unless -q says otherwise, and others do not know -q. */
function runNetcat({ program, socket }: { readonly program: string; readonly socket: string }): string {
  const netcat = quote(program);
  const knowsQ = `${netcat} -q 2>&1 | grep "requires an argument" >/dev/null`;
  return `if ${knowsQ}; then q=-q0; else q=; fi; exec ${netcat} $q -U ${quote(socket)}`;
}

/** One word for a POSIX shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
