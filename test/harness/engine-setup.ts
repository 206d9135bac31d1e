// Before any test file is loaded: src/kernel/host.ts takes its interface to Linux from here.
import { host } from "./host.ts";

Object.assign(globalThis, { host });
