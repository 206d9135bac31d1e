import { join } from "node:path";
import { credentials, loadPackageDefinition, type Client, type ServiceError } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

export interface PortMapping {
  host_port: number;
  container_port: number;
  protocol?: "TCP" | "UDP" | "SCTP";
  host_ip?: string;
}

export interface Sandbox {
  id: string;
  state: "SANDBOX_READY" | "SANDBOX_NOTREADY";
  metadata: { name: string; attempt: number };
  network: { ip: string; additional_ips: { ip: string }[] } | null;
}

interface Calls {
  RunPodSandbox: [{ config: object }, { pod_sandbox_id: string }];
  StopPodSandbox: [{ pod_sandbox_id: string }, object];
  RemovePodSandbox: [{ pod_sandbox_id: string }, object];
  PodSandboxStatus: [{ pod_sandbox_id: string; verbose?: boolean }, { status: Sandbox; info: Record<string, string> }];
  ListPodSandbox: [object, { items: Sandbox[] }];
  Status: [object, { status: { conditions: { type: string; status: boolean; message: string }[] } }];
}

type Method = (
  request: object,
  options: { deadline: number },
  done: (error: ServiceError | null, response: unknown) => void,
) => void;
const definition = loadPackageDefinition(
  loadSync(join(import.meta.dirname, "cri.proto"), {
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    arrays: true,
  }),
);
const { RuntimeService } = (
  definition as unknown as { runtime: { v1: { RuntimeService: new (...args: unknown[]) => Client } } }
).runtime.v1;

/** A kubelet's end of the Container Runtime Interface. */
export class Cri {
  readonly #client: Client;

  constructor(socket: string) {
    this.#client = new RuntimeService(`unix://${socket}`, credentials.createInsecure());
  }

  /** Resolves when the runtime takes calls. */
  async ready(withinMs = 120_000): Promise<void> {
    await new Promise<void>((resolve, reject) =>
      this.#client.waitForReady(Date.now() + withinMs, (error) => (error ? reject(error) : resolve())),
    );
  }

  async call<M extends keyof Calls>(method: M, request: Calls[M][0]): Promise<Calls[M][1]> {
    const client = this.#client as unknown as Record<string, Method>;
    return new Promise((resolve, reject) => {
      client[method]!(request, { deadline: Date.now() + 240_000 }, (error, response) =>
        error ? reject(error) : resolve(response as Calls[M][1]),
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}
