import { libcCall } from "./host.ts";

const spawn = libcCall("posix_spawnp", "int bytes text bytes bytes texts texts");
const initActions = libcCall("posix_spawn_file_actions_init", "int bytes");
const addDup2 = libcCall("posix_spawn_file_actions_adddup2", "int bytes int int");
const addChdir = libcCall("posix_spawn_file_actions_addchdir_np", "int bytes text");
const destroyActions = libcCall("posix_spawn_file_actions_destroy", "int bytes");
const initAttributes = libcCall("posix_spawnattr_init", "int bytes");
const setFlags = libcCall("posix_spawnattr_setflags", "int bytes int");
const setDefaults = libcCall("posix_spawnattr_setsigdefault", "int bytes bytes");

const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;

/** What a program gets whoever starts it: no signal blocked, and none ignored, as Node ignores SIGPIPE. */
const attributes = new Uint8Array(512); // posix_spawnattr_t, 336 bytes in glibc
initAttributes(attributes);
setFlags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
setDefaults(attributes, new Uint8Array(128).fill(0xff)); // sigset_t

export interface Start {
  /** the program, looked for in this process's PATH unless it is a path, and its arguments */
  command: string[];
  /** the whole environment of the program */
  env: Record<string, string | undefined>;
  /** what becomes its standard input, output and error */
  fds: number[];
  cwd?: string | undefined;
}

/**
 * Readies a program, to be started once; what is returned does nothing but start it, and returns its process id or the
 * negative errno. Node starts a program by fork(2): it copies its page tables, and meets a fault at each page it
 * touches afterwards, which costs more than most programs of the tests. posix_spawn(3) shares the memory until the
 * program is executed, in the namespace of this thread.
 */
export function prepareStart({ command, env, fds, cwd }: Start): () => number {
  const actions = new Uint8Array(512); // posix_spawn_file_actions_t, 80 bytes in glibc
  initActions(actions);
  for (const [to, fd] of fds.entries()) addDup2(actions, fd, to);
  if (cwd !== undefined) addChdir(actions, cwd);
  const argv = [...command, null];
  const environment = [...Object.entries(env).map(([name, value]) => `${name}=${value}`), null];
  const pid = new Int32Array(1);
  const into = new Uint8Array(pid.buffer);
  return () => {
    const errno = spawn(into, command[0]!, actions, attributes, argv, environment);
    destroyActions(actions);
    return errno === 0 ? pid[0]! : -Math.abs(errno);
  };
}
