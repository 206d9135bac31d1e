import { printCompactJson } from "./json.ts";

/** Levels by how much they let through: failed operations; warnings too; every operation; every step as it ends. */
export const logLevels = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof logLevels)[number];

/** Who an operation is about; what is "" is left out of the line. */
export interface LogSubject {
  verb: string;
  plugin: string;
  network: string;
  container: string;
  interface: string;
}

export type LogFacts = Record<string, string | number | boolean>;

/** What one operation leaves behind for people: one JSON line with the time of each step, and a line per warning. */
export interface Log {
  /** Runs `work` and, whether it returns or throws, remembers how long it took. */
  step<T>(name: string, work: () => T): T;
  /** Something a person should know that does not make the operation fail. */
  warn(message: string): void;
  /** A fact for the operation's line. Never a configuration or an argument: they may hold secrets. */
  note(key: string, value: string | number | boolean): void;
  /** The operation's line; "ok" or the error's message and code. */
  finish(outcome: "ok" | { code: number; msg: string }): void;
}

/** The log when none is asked for: steps are not even timed, warnings go to `complain` (standard error). */
export const quietLog = (complain: (message: string) => void = () => undefined): Log => ({
  step: (_name, work) => work(),
  warn: complain,
  note: () => undefined,
  finish: () => undefined,
});

/** What a log needs of the world. */
export interface LogEdges {
  /** takes a line of JSON, with its newline */
  write(line: string): void;
  /** milliseconds of a clock that only goes forward */
  now(): number;
}

/** A log that writes JSON lines. */
export function lineLog(subject: LogSubject, level: LogLevel, { write, now }: LogEdges): Log {
  const started = now();
  const steps: { name: string; ms: number; failed?: boolean }[] = [];
  const facts: LogFacts = {};
  const about = Object.fromEntries(Object.entries(subject).filter(([, value]) => value !== ""));
  const wants = (other: LogLevel): boolean => logLevels.indexOf(level) >= logLevels.indexOf(other);
  const line = (of: LogLevel, more: object): void => {
    if (wants(of)) write(`${printCompactJson({ time: new Date().toISOString(), level: of, ...about, ...more })}\n`);
  };
  return {
    step(name, work) {
      const from = now();
      let failed = true;
      try {
        const result = work();
        failed = false;
        return result;
      } finally {
        const step = { name, ms: round(now() - from), ...(failed && { failed }) };
        steps.push(step);
        line("debug", { step });
      }
    },
    warn: (message) => line("warn", { message }),
    note: (key, value) => void (facts[key] = value),
    finish(outcome) {
      const rest = { ms: round(now() - started), steps, ...(Object.keys(facts).length > 0 && { facts }) };
      if (outcome === "ok") line("info", { outcome, ...rest });
      else line("error", { outcome: "failed", ...outcome, ...rest });
    },
  };
}

/** Milliseconds to the microsecond. */
const round = (ms: number): number => Math.round(ms * 1000) / 1000;
