import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { programs } from "../executable/configs.ts";
import { cacheFolder, Cnitool, cnitoolPath } from "./cnitool.ts";
import {
  available,
  executable,
  type Namespace,
  type NetworkList,
  Node,
  podwireFolder,
  temporaryFolder,
} from "./harness.ts";

// podwire run and cnitool, which is libcni, go on from one another, and tell plugins the same.

const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }];
const verbs = ["add", "check", "del", "gc", "status"] as const;

describe.runIf(available("cnitool", [cnitoolPath]))("podwire run beside cnitool", () => {
  let node: Node;
  let pod: Namespace;
  let tool: Cnitool;
  beforeEach(async () => {
    rmSync(cacheFolder, { recursive: true, force: true });
    node = await Node.create();
    pod = await node.pod();
    tool = new Cnitool(node);
  });

  const run = async (verb: (typeof verbs)[number], list: NetworkList, ...args: string[]) => {
    const file = join(temporaryFolder("run"), "pods.conflist");
    writeFileSync(file, JSON.stringify(list));
    return node.run(executable, ["run", verb, file, pod.path, ...args], { env: { CNI_PATH: podwireFolder() } });
  };
  const cached = (): string[] => (existsSync(cacheFolder) ? readdirSync(cacheFolder) : []);

  const network = (cniVersion: string): NetworkList => ({
    cniVersion,
    name: "pods",
    plugins: [
      { type: "bridge", ipam: { type: "host-local", dataDir: node.dataDir, subnet: "10.50.0.0/24" } },
      { type: "portmap", capabilities: { portMappings: true } },
    ] as NetworkList["plugins"],
  });

  describe.each(["0.3.1", "0.4.0", "1.0.0", "1.1.0"])("cniVersion %s", (cniVersion) => {
    test("what podwire added, cnitool checks and removes", async () => {
      const list = network(cniVersion);
      tool.network(list);
      expect(await run("add", list, "--port", "8080:80")).toMatchObject({ exitCode: 0, stderr: "" });
      const [file] = cached();
      const byPodwire = JSON.parse(readFileSync(join(cacheFolder, file!), "utf8")) as { result: object };
      const options = { capabilities: { portMappings } };
      if (cniVersion !== "0.3.1") expect(await tool.run("check", "pods", pod, options)).toMatchObject({ exitCode: 0 });
      expect(await tool.run("del", "pods", pod, options)).toMatchObject({ exitCode: 0 });
      expect([cached(), node.leases()]).toEqual([[], {}]);
      const { result } = await tool.run("add", "pods", pod, options);
      const byCnitool = JSON.parse(readFileSync(join(cacheFolder, file!), "utf8")) as { result: object };
      expect(cached()).toEqual([file]);
      // the addresses of links are drawn, and the leases go round
      const plain = (cache: { result: object }) =>
        JSON.parse(
          JSON.stringify(cache)
            .replaceAll(/(?:[0-9a-f]{2}:){5}[0-9a-f]{2}/g, "MAC")
            .replaceAll(/10\.50\.0\.[23]/g, "IP"),
        ) as Record<string, unknown>;
      expect({ ...plain(byPodwire), config: "" }).toEqual({ ...plain(byCnitool), config: "" });
      expect(byCnitool.result).toMatchObject({ cniVersion, ips: result!.ips });
    });

    test("what cnitool added, podwire checks and removes", async () => {
      const list = network(cniVersion);
      tool.network(list);
      await tool.run("add", "pods", pod, { capabilities: { portMappings } });
      if (cniVersion !== "0.3.1") expect(await run("check", list)).toMatchObject({ exitCode: 0 });
      expect(await run("del", list)).toMatchObject({ exitCode: 0, stderr: "" });
      expect([cached(), node.leases()]).toEqual([[], {}]);
      expect(await node.rulesetText()).not.toContain("cnitool-");
    });

    test("plugins are told the same, in the same order", async () => {
      const log = join(temporaryFolder("log"), "log");
      const ip = { ...(cniVersion.startsWith("0") && { version: "4" }), address: "10.7.0.5/24" };
      const record =
        `{ echo "\${0##*/} $CNI_COMMAND id=$CNI_CONTAINERID netns=$CNI_NETNS if=$CNI_IFNAME args=$CNI_ARGS"; cat; echo; } >> ${log}; ` +
        `[ $CNI_COMMAND != ADD ] || echo '${JSON.stringify({ ips: [ip] })}'`;
      const path = programs({ first: record, second: record });
      const plugins = [
        { type: "first", capabilities: { portMappings: true } },
        { type: "second", key: { deep: [1] } },
      ];
      const list = { cniVersion, name: "pods", plugins } as NetworkList;
      tool.network(list);
      const told = async (act: () => Promise<unknown>): Promise<unknown[]> => {
        rmSync(log, { force: true });
        await act();
        const lines = existsSync(log) ? readFileSync(log, "utf8").trimEnd().split("\n") : [];
        return lines.map((line) => (line.startsWith("{") ? (JSON.parse(line) as unknown) : line));
      };
      const options = { path, capabilities: { portMappings } };
      // gc: cnitool takes every attachment for one that is gone, and tells plugins of none
      for (const verb of ["add", "check", "del", "status"] as const) {
        const theirs = await told(() => tool.run(verb, "pods", pod, options));
        if (verb === "add") rmSync(cacheFolder, { recursive: true });
        if (verb === "del") await told(() => tool.run("add", "pods", pod, options));
        const ours = await told(() => run(verb, list, "--bin-dir", path, "--port", "8080:80"));
        expect(normal(ours)).toEqual(normal(theirs));
        if (verb !== "status" && !(verb === "check" && cniVersion === "0.3.1")) expect(ours.length).toBe(4);
      }
    });
  });
});

/** Go's types add what is empty to a result that goes through them. */
const normal = (told: unknown[]): unknown =>
  JSON.parse(
    JSON.stringify(told, (key, value: unknown) =>
      key === "dns" && JSON.stringify(value) === "{}" ? undefined : value,
    ),
  );
