import { readFile, removeFile, withFile } from "../kernel/file.ts";
import { fchmod, fsync, O, rename, stat, SystemError, writeAll } from "../kernel/linux.ts";
import { processId } from "../kernel/process.ts";
import { type Outcome, runProgram } from "../kernel/program.ts";
import { decodeUtf8, encodeUtf8 } from "../net/bytes.ts";

/** More than any executable of podwire's has. */
const MOST_BYTES = 256 << 20;

/**
 * Puts a copy of this executable at `target` so that at every moment a whole, working one is there: a runtime may start
 * it at any time, and the old one may be running (it keeps its inode; writing into it would be ETXTBSY).
 */
export function copySelf(target: string): void {
  const temporary = `${target}.new-${processId()}`;
  try {
    removeFile(temporary); // of an installation that was killed
    // O_EXCL follows no link. One large write, not copy_file_range: the page cache then holds the file in large folios,
    // and every later call is 5 % faster
    withFile(temporary, O.WRONLY | O.CREAT | O.EXCL, 0o700, (fd) => {
      writeAll(fd, readFile("/proc/self/exe", MOST_BYTES));
      fchmod(fd, 0o755);
      fsync(fd);
    });
    assertWorks(temporary);
    rename(temporary, target);
  } finally {
    removeFile(temporary);
  }
}

const TEST_DEADLINE_MS = 10_000;

/** Throws unless the copy runs here and answers VERSION. */
function assertWorks(path: string): void {
  const { exitCode, signal, timedOut, stdout, stderr } = askVersion(path);
  if (exitCode === 0 && decodeUtf8(stdout).includes('"supportedVersions"')) return;
  const end = timedOut
    ? `no end within ${TEST_DEADLINE_MS / 1000} s`
    : signal === undefined
      ? `exit ${exitCode}`
      : `killed by ${signal}`;
  throw new Error(
    `the copy ${path} does not answer VERSION (size ${stat(path).size}, ${end}): ` +
      `${decodeUtf8(stderr) || decodeUtf8(stdout)}`,
  );
}

function askVersion(path: string): Outcome {
  try {
    return runProgram(path, {
      argv0: "bridge",
      args: [],
      environment: ["CNI_COMMAND=VERSION"],
      input: encodeUtf8("{}"),
      deadlineMs: TEST_DEADLINE_MS,
    });
  } catch (error) {
    if (error instanceof SystemError) {
      throw new Error(`the copy ${path} does not run here: ${error.message}`, { cause: error });
    }
    throw error;
  }
}
